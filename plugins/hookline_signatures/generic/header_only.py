"""Schemes that recognize the sender only by a header: `basic`, `bearer` and `api-key`."""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hookline.api import NoSettings, NotVerified, Reach, Scheme, SignedRequest
from hookline_signatures.building_blocks.header_text import as_received, from_base64, required
from hookline_signatures.building_blocks.mac_check import Settled
from hookline_signatures.building_blocks.secret_fields import Secrets, as_bytes

BEARER: Final = 'Bearer realm="hookline"'
"""The challenge to a sender without a valid token (RFC 6750)."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def header_name(name: str) -> str:
    """A header's name, in lower case. Raises ValueError for a text that can't be one."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("a header's name consists of letters, digits and dashes")
    return name.lower()


def among(given: bytes, known: Iterable[bytes]) -> bool:
    """Return true if the given secret is a known one, compared in constant time."""
    # Hashes have one length, so that the comparison doesn't tell the secret's.
    hashed = hashlib.sha256(given).digest()
    holds = False
    for one in known:
        holds |= hmac.compare_digest(hashed, hashlib.sha256(one).digest())
    return holds


class BasicCredential(BaseModel):
    """A user's name and password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: str = Field(
        min_length=1, pattern=r"^[^:\x00-\x1f\x7f]+$", description="The user's name, without a colon."
    )
    password: Secrets = Field(description="The password; or a list of passwords, each of which is accepted.")


class Basic(Scheme[BasicCredential, NoSettings]):
    """`Authorization: Basic …` (RFC 7617), in UTF-8.

    At the sender, give the flow's URL, a user's name and a password. They verify the sender, not the content: there is
    no dedupe key except the flow's own, and no time. Anyone who intercepts a request can send others: use it only over
    TLS.
    """

    name: ClassVar[str] = "basic"
    title: ClassVar[str] = "Basic authentication"
    credential: ClassVar[type[BaseModel] | None] = BasicCredential
    reads_body: ClassVar[bool] = False
    challenge: ClassVar[str | None] = 'Basic realm="hookline", charset="UTF-8"'

    def open(self, request: SignedRequest, credential: BasicCredential, settings: NoSettings) -> Settled:
        """Compare the user and the password."""
        kind, _, encoded = required(request, "authorization").partition(" ")
        given = from_base64(encoded.strip(" "))
        # As one text: a password may hold a colon, a name may not, so that only one pair reads like this.
        if kind.lower() != "basic":
            raise NotVerified("the header authorization isn't Basic")
        if not among(given, _pairs(credential)):
            raise NotVerified("the user or the password is wrong")
        return Settled()

    def secret_headers(self, settings: NoSettings) -> frozenset[str]:
        """Return the header with the password."""
        return frozenset({"authorization"})

    def sign(
        self, request: SignedRequest, body: bytes, credential: BasicCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Return the header with the first password."""
        return [("authorization", f"Basic {b64encode(_pairs(credential)[0]).decode()}")]


def _pairs(credential: BasicCredential) -> list[bytes]:
    return [f"{credential.username}:".encode() + password for password in as_bytes(credential.password)]


class BearerCredential(BaseModel):
    """A token that is sent as `Authorization: Bearer …`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Secrets = Field(
        description="The token; or a list of tokens, each of which is accepted. Hookline itself sends the first one."
    )


class Bearer(Scheme[BearerCredential, NoSettings]):
    """`Authorization: Bearer …` (RFC 6750) with a token that the sender was given.

    At the sender, give the flow's URL and the token. The token verifies the sender, not the content: there is no dedupe
    key except the flow's own, and no time. Anyone who intercepts a request can send others: use it only over TLS.
    """

    name: ClassVar[str] = "bearer"
    title: ClassVar[str] = "Bearer token"
    credential: ClassVar[type[BaseModel] | None] = BearerCredential
    reads_body: ClassVar[bool] = False
    challenge: ClassVar[str | None] = BEARER

    def open(self, request: SignedRequest, credential: BearerCredential, settings: NoSettings) -> Settled:
        """Compare the token."""
        kind, _, token = required(request, "authorization").partition(" ")
        if kind.lower() != "bearer":
            raise NotVerified("the header authorization isn't Bearer")
        if not among(as_received(token.strip(" ")), as_bytes(credential.token)):
            raise NotVerified("the token is wrong")
        return Settled()

    def secret_headers(self, settings: NoSettings) -> frozenset[str]:
        """Return the header with the token."""
        return frozenset({"authorization"})

    def sign(
        self, request: SignedRequest, body: bytes, credential: BearerCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Return the header with the first token."""
        return [("authorization", f"Bearer {as_bytes(credential.token)[0].decode('latin-1')}")]


class ApiKeyCredential(BaseModel):
    """A key that the sender shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Secrets = Field(description="The key; or a list of keys, each of which is accepted.")


class ApiKeySettings(BaseModel):
    """The header or query parameter that has the key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: Annotated[str, Reach("read_header"), AfterValidator(header_name)] = Field(
        default="x-api-key", description="The header that holds the key."
    )
    query: Annotated[str | None, Reach("read_header")] = Field(
        default=None,
        min_length=1,
        description="The parameter of the query that holds the key, in place of a header: for senders that can't set "
        "one. Hookline masks it, but it may appear in the logs of proxies.",
    )
    prefix: str = Field(default="", description="The text before the key, such as `Bearer ` with its space.")


class ApiKey(Scheme[ApiKeyCredential, ApiKeySettings]):
    """A header that holds a key.

    At the sender, give the flow's URL and the key. The key verifies the sender, not the content: there is no dedupe key
    except the flow's own, and no time. Anyone who intercepts a request can send others: use it only over TLS.
    """

    name: ClassVar[str] = "api-key"
    title: ClassVar[str] = "API key"
    credential: ClassVar[type[BaseModel] | None] = ApiKeyCredential
    settings: ClassVar[type[BaseModel]] = ApiKeySettings
    reads_body: ClassVar[bool] = False

    def open(self, request: SignedRequest, credential: ApiKeyCredential, settings: ApiKeySettings) -> Settled:
        """Compare the key."""
        given = _shown(request, settings)
        prefix = settings.prefix.encode()
        if not among(given, (prefix + key for key in as_bytes(credential.key))):
            raise NotVerified("the key or its prefix is wrong")
        return Settled()

    def secret_headers(self, settings: ApiKeySettings) -> frozenset[str]:
        """Return the header with the key."""
        return frozenset() if settings.query is not None else frozenset({settings.header})

    def secret_query(self, settings: ApiKeySettings) -> frozenset[str]:
        """Return the parameter with the key, if it isn't in a header."""
        return frozenset() if settings.query is None else frozenset({settings.query})

    def sign(
        self, request: SignedRequest, body: bytes, credential: ApiKeyCredential, settings: ApiKeySettings
    ) -> Sequence[tuple[str, str]]:
        """Return the header with the first key. Raises ValueError if the key is in the query."""
        if settings.query is not None:
            raise ValueError(f"the key is in the query: send it there, with --query {settings.query}=… and --sign none")
        value = settings.prefix.encode() + as_bytes(credential.key)[0]
        return [(settings.header, value.decode("latin-1"))]


def _shown(request: SignedRequest, settings: ApiKeySettings) -> bytes:
    if settings.query is None:
        return as_received(required(request, settings.header))
    given = request.parameter(settings.query)
    if given is None:
        raise NotVerified(f"the query has no {settings.query}")
    return given.encode()
