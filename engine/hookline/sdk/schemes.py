"""Schemes, which verify the senders of webhooks."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Generic, Protocol, TypeVar
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict

from hookline.sdk.http_client import HttpClient

C = TypeVar("C", bound=BaseModel)
S = TypeVar("S", bound=BaseModel)

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class NoSettings(BaseModel):
    """The settings of a scheme that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request without its body, for verification."""

    method: str
    url: str
    """The public URL with its query. It is built from the server's settings, never from the Host header."""
    headers: Sequence[tuple[str, str]]
    """The headers in the order received. Names are in lower case, and bytes above 127 are decoded as Latin-1."""
    received_at: datetime
    http: HttpClient
    """For the data that verification needs, such as certificates. Follow no redirects, and only use known hosts."""

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. Raises NotVerified if there are several."""
        from hookline.kernel.errors import NotVerified

        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise NotVerified(f"the header {name} appears {len(values)} times")
        return values[0] if values else None

    @property
    def query(self) -> str:
        """The query as received, without the question mark; may be empty."""
        return self.url.partition("?")[2]

    def parameter(self, name: str) -> str | None:
        """Return the decoded value of a parameter of the query, or None.

        Raises NotVerified if there are several, or if the query isn't UTF-8.
        """
        from hookline.kernel.errors import NotVerified

        found: list[str] = []
        try:
            for pair in self.query.split("&"):
                key, _, value = pair.partition("=")
                if unquote_plus(key, errors="strict") == name:
                    found.append(unquote_plus(value, errors="strict"))
        except UnicodeDecodeError:
            raise NotVerified("the query isn't UTF-8") from None
        if len(found) > 1:
            raise NotVerified(f"the query has {name} {len(found)} times")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response that a scheme itself gives to a request, such as to a provider's handshake.

    Raises ValueError for invalid headers, so that an echoed value of the sender can't add headers.
    """

    status: int = 200
    body: bytes = b""
    media_type: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    """More headers than `Content-Type` and `Content-Length`. The server always sets `X-Content-Type-Options` and
    `Content-Security-Policy` itself."""

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"the status of a response is between 200 and 599, not {self.status}")
        for name, value in (*self.headers, ("content-type", self.media_type or "")):
            if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"the header {name!r} of a response is invalid")


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying a valid request."""

    dedupe_key: str | None = None
    """The provider's id of the message, from the signed part of the request if possible."""
    response: WebhookResponse | None = None
    """The response to a handshake, which is sent instead of starting the flow. Nothing is stored or parsed.

    The request must be verified, unless the provider doesn't sign its handshake. In that case anybody can choose an
    echoed value, so send it as text, never as HTML.
    """


class RequestVerifier(Protocol):
    """The verification of one request. It gets the body as it arrives."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, as received."""
        ...

    async def finish(self) -> Verified:
        """Return the result after the whole body. Raises NotVerified, or CannotVerify if it can't be known now.

        The messages of these errors are for operators; the sender never sees them. They must not have a secret, or a
        value with which one is compared.
        """
        ...


class Scheme(ABC, Generic[C, S]):
    """A way to verify requests.

    The result for any request must be Verified, NotVerified or CannotVerify, and never another error.
    """

    name: ClassVar[str]
    """The name that flows use, as in `"verify": {"scheme": "github"}`, and the name of its credential type."""
    title: ClassVar[str]
    credential: ClassVar[type[BaseModel] | None] = None
    """The model of its credential. Secret fields are `SecretStr`, and the model rejects empty or short keys."""
    credential_required: ClassVar[bool] = True
    """False if a flow need not name a credential. `open` and `sign` then get None."""
    settings: ClassVar[type[BaseModel]] = NoSettings
    """The model of the settings of `verify`, without `scheme` and `credential`."""
    reads_body: ClassVar[bool] = True
    """False if the headers are enough, so that requests are verified before the body is read."""
    handshake_methods: ClassVar[frozenset[str]] = frozenset()
    """The methods of the provider's handshake, such as `GET`, even if the flow doesn't accept them.

    The scheme responds to requests with a method that the flow doesn't accept. Without a response they are a 405.
    """
    handshake_parameter: ClassVar[str | None] = None
    """The parameter of the query that each such handshake has. A request without it is a 405."""

    json_as: ClassVar[str | None] = None
    """The media type with which the provider sends JSON, if it is not a JSON type. A flow then needs
    `"body": "json"`; otherwise `hookline check` warns."""
    signs_url: ClassVar[bool] = False
    """True if the signature covers the URL. `hookline check` warns if the server has no `public_url`."""
    accepted: ClassVar[WebhookResponse | None] = None
    """The response that the provider expects to a message or a duplicate; by default 202 or 200 with JSON."""
    challenge: ClassVar[str | None] = None
    """The `WWW-Authenticate` of each 401, for schemes that use HTTP authentication (RFC 9110)."""
    bare_rejections: ClassVar[bool] = False
    """True if the response to a rejected request must not have a body."""

    retries_for: ClassVar[timedelta] = timedelta()
    """The time for which the provider repeats a message that was not accepted."""

    @abstractmethod
    def open(self, request: SignedRequest, credential: C, settings: S) -> RequestVerifier:
        """Begin the verification of a request. Raises NotVerified if the headers are already wrong."""

    def remembers(self, settings: S) -> timedelta:
        """Return the shortest time for which dedupe keys are kept, also if the flow's `dedupe_window` is shorter.

        The default is the time for which the provider repeats messages. If an attacker could send a captured message
        with another id, it must be at least as long as a message counts as fresh.
        """
        return self.retries_for

    def secret_headers(self, settings: S) -> frozenset[str]:
        """Return the lower-case names of headers with secrets. Their values are masked before anything is stored."""
        return frozenset()

    def secret_query(self, settings: S) -> frozenset[str]:
        """Return the names of query parameters with secrets. They are masked too, also if the query is the body."""
        return frozenset()

    def secret_fields(self, settings: S) -> tuple[str, ...]:
        """Return JSON pointers to the fields of the body with secrets. They are masked too, in every format.

        `*` in a pointer matches each item of a list and each member of an object. If a value was masked, the raw bytes
        are not kept. A body without fields, such as a file, is rejected with 415.
        """
        return ()

    def complete(self, request: SignedRequest, body: bytes, credential: C, settings: S) -> bytes:
        """Return the body with the values that the provider adds, such as a time or a signature, to try a flow.

        The default is the unchanged body. Raises ValueError if it can't be a body of this provider.
        """
        return body

    def sign(self, request: SignedRequest, body: bytes, credential: C, settings: S) -> Sequence[tuple[str, str]]:
        """Return the headers with which the provider would send this complete body.

        Raises NotImplementedError if only the provider can sign; its message may name an alternative. Raises
        ValueError if the provider would never send this body.
        """
        raise NotImplementedError
