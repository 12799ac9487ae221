"""Schemes: how a provider signs its webhooks, or else says who it is."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Generic, Protocol, TypeVar
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict

from hookline.sdk.http import HttpClient

C = TypeVar("C", bound=BaseModel)
S = TypeVar("S", bound=BaseModel)

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class NoSettings(BaseModel):
    """A scheme without settings of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a scheme may judge by, besides the body."""

    method: str
    url: str
    """The public URL, query included; built from the server's settings, never from the Host header."""
    headers: Sequence[tuple[str, str]]
    """As received and in order; names in lower case, bytes above 127 decoded as Latin-1."""
    received_at: datetime
    http: HttpClient
    """For what must be fetched to verify: guarded; follow no redirects, and allow-list the host."""

    def header(self, name: str) -> str | None:
        """The one value of a header; None where there is none. Raises NotVerified where there are several."""
        from hookline.kernel.errors import NotVerified

        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise NotVerified(f"the header {name} is there {len(values)} times")
        return values[0] if values else None

    @property
    def query(self) -> str:
        """The query as it was received, without its question mark; empty where there is none."""
        return self.url.partition("?")[2]

    def parameter(self, name: str) -> str | None:
        """The one value of a parameter of the query, decoded; None where there is none.

        Raises NotVerified where there are several, or where it isn't UTF-8.
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
    """What a scheme answers itself, where a provider asks whether this is the right place: a handshake.

    Raises ValueError for what HTTP can't carry, so that what a sender wants echoed can't become a header of ours.
    """

    status: int = 200
    body: bytes = b""
    media_type: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    """Besides `Content-Type` and `Content-Length`; `X-Content-Type-Options: nosniff` is always sent."""

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"an answer's status is between 200 and 599, not {self.status}")
        for name, value in (*self.headers, ("content-type", self.media_type or "")):
            if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"an answer's header {name!r} can't be sent")


@dataclass(frozen=True, slots=True)
class Verified:
    """A request that holds."""

    dedupe_key: str | None = None
    """The scheme's own id for the message, from what is signed wherever it has any."""
    response: WebhookResponse | None = None
    """Where it is a handshake: given to the sender in place of starting the flow. Nothing is stored, nothing parsed.

    To be answered once the request holds, or where the provider doesn't sign its handshake. What is echoed is then
    what a sender who knows nothing may choose: it is sent as text, and never as a page.
    """


class RequestVerifier(Protocol):
    """One request's verification: it is fed the body as it arrives, then asked."""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body, as on the wire."""
        ...

    async def finish(self) -> Verified:
        """Judge. Raises NotVerified, or CannotVerify where it can't be known now.

        Either says why, in words for an operator and never for the sender; without a secret, or what it is compared
        with.
        """
        ...


class Scheme(ABC, Generic[C, S]):
    """A way of verifying requests.

    Total: whatever a sender sends, it is NotVerified, CannotVerify or Verified, and never another error.
    """

    name: ClassVar[str]
    """As in `"verify": {"scheme": "github"}`; also the name of its credential type."""
    title: ClassVar[str]
    credential: ClassVar[type[BaseModel] | None] = None
    """The model of its credential, keys of which may be `SecretStr`; it rejects keys that are empty or short."""
    credential_required: ClassVar[bool] = True
    """False: a flow may name no credential. `open` and `sign` are then given None."""
    settings: ClassVar[type[BaseModel]] = NoSettings
    """The model of what `verify` may say besides `scheme` and `credential`."""
    reads_body: ClassVar[bool] = True
    """False: judged by the headers alone, before the body is read."""
    handshake_methods: ClassVar[frozenset[str]] = frozenset()
    """Methods with which the provider makes its handshake, such as `GET`, whether or not the flow takes them.

    What comes with one that the flow doesn't take is answered by the scheme; where it gives no answer it is a 405.
    """
    handshake_parameter: ClassVar[str | None] = None
    """The parameter of the query that each of these handshakes has: what comes without it is a 405 as well."""

    json_as: ClassVar[str | None] = None
    """The media type as which the provider sends its JSON, where that is no type of JSON's: a flow that takes it says
    `"body": "json"`, and `hookline check` warnings where it doesn't."""
    signs_url: ClassVar[bool] = False
    """The URL is among what is signed: `hookline check` warnings where the server has no `public_url`."""
    accepted: ClassVar[WebhookResponse | None] = None
    """What the provider insists on where a message was accepted, or came before; 202 or 200 with JSON by default."""
    challenge: ClassVar[str | None] = None
    """The `WWW-Authenticate` of each 401, where it verifies by a way to authenticate that HTTP has (RFC 9110)."""
    bare_rejections: ClassVar[bool] = False
    """The provider wants no body in the answer to what is rejected."""

    retries_for: ClassVar[timedelta] = timedelta()
    """How long the provider tries again to send a message."""

    @abstractmethod
    def open(self, request: SignedRequest, credential: C, settings: S) -> RequestVerifier:
        """Begin to verify a request. Raises NotVerified where the headers already show that it doesn't hold."""

    def remembers(self, settings: S) -> timedelta:
        """How long dedupe keys are kept at least, whatever the flow says.

        By default as long as the provider tries again. Where one who has caught a message could send another with its
        signature, it is also as long as that one counts as fresh.
        """
        return self.retries_for

    def secret_headers(self, settings: S) -> frozenset[str]:
        """Lower-case names of headers that hold secrets: their values are masked before anything is stored."""
        return frozenset()

    def secret_query(self, settings: S) -> frozenset[str]:
        """Names of parameters of the query that hold secrets: masked likewise, also where the query is the body."""
        return frozenset()

    def secret_fields(self, settings: S) -> tuple[str, ...]:
        """JSON pointers to the fields of the body that hold secrets: masked likewise, in whatever form the body came.

        `*` in a pointer is each item of a list and each member of an object. Where something was masked the raw bytes
        are not kept; a body that has no fields, such as a file, is rejected with 415.
        """
        return ()

    def complete(self, request: SignedRequest, body: bytes, credential: C, settings: S) -> bytes:
        """The body with what the provider itself puts into it, such as a time or a signature: for trying a flow.

        By default as it is. Raises ValueError where it can't be a body of this provider's.
        """
        return body

    def sign(self, request: SignedRequest, body: bytes, credential: C, settings: S) -> Sequence[tuple[str, str]]:
        """The headers with which the provider would send this body, once it is complete.

        Raises NotImplementedError where only the provider can sign; its text, where it has one, says what a user may
        do instead. Raises ValueError where the provider would never send this.
        """
        raise NotImplementedError
