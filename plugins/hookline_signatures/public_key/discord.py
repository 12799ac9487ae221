"""Discord's `X-Signature-Ed25519`, and its pings."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from hookline.api import NotVerified, Reach, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.freshness import Within15Minutes, check_fresh
from hookline_signatures.building_blocks.header_text import as_received, from_hex, required
from hookline_signatures.building_blocks.json_body import read_json
from hookline_signatures.building_blocks.mac_check import MISMATCH, UNREADABLE
from hookline_signatures.building_blocks.secret_fields import OWN_KEY_REMEDY, listed

_SIGNATURE: Final = "x-signature-ed25519"
_TIMESTAMP: Final = "x-signature-timestamp"
_KEY: Final = 32
#: Ed25519 takes a message whole, so that it has to be kept until then; Discord sends some kilobytes.
_LONGEST_BODY: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"


def _ed25519(text: str) -> str:
    if len(from_hex(text.strip())) != _KEY:
        raise ValueError(f"a public key has to be the hex of {_KEY} bytes")
    return text.strip()


class DiscordCredential(BaseModel):
    """The key of one Discord application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_key: Annotated[
        tuple[Annotated[str, AfterValidator(_ed25519)], ...],
        Reach("pem"),
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(max_length=10),
    ] = Field(
        default=(), description="The application's public key, in hex; or a list of keys, each of which is accepted."
    )
    private_key: Annotated[SecretStr | None, Reach("pem")] = Field(
        default=None,
        description="A private key in hex, for tests, in place of a `public_key`: it signs as Discord would, "
        "and the flow accepts its signatures.",
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if bool(self.public_key) == (self.private_key is not None):
            # Who can sign test requests must not be let in beside Discord, and be forgotten there.
            raise ValueError("give the public_key, or for tests a private_key in its place")
        if self.private_key is not None and len(from_hex(self.private_key.get_secret_value().strip())) != _KEY:
            raise ValueError(f"private_key: it has to be the hex of {_KEY} bytes")
        return self

    @cached_property
    def public(self) -> list[Ed25519PublicKey]:
        """The public keys."""
        if self.private_key is not None:
            return [self.signing_key.public_key()]
        return [Ed25519PublicKey.from_public_bytes(from_hex(key)) for key in self.public_key]

    @cached_property
    def signing_key(self) -> Ed25519PrivateKey:
        """The key for tests. Raises NotImplementedError if there is none."""
        if self.private_key is None:
            raise NotImplementedError(OWN_KEY_REMEDY)
        return Ed25519PrivateKey.from_private_bytes(from_hex(self.private_key.get_secret_value().strip()))


class _Event(msgspec.Struct, frozen=True):
    type: int
    id: str = ""
    event: msgspec.Raw | None = None


class Discord(Scheme[DiscordCredential, Within15Minutes]):
    """Discord's `X-Signature-Ed25519`: an Ed25519 signature of the time in `X-Signature-Timestamp` and the body.

    In the Developer Portal, give the flow's URL as the application's Interactions Endpoint URL or, under Webhooks, as
    the endpoint of its events. The credential's `public_key` is on the page General Information. Discord then pings the
    URL, and sends wrong signatures on purpose, which have to be rejected; the scheme answers the pings, and no flow
    starts.

    The dedupe key is an interaction's id; events have none. Discord waits for three seconds. An interaction isn't
    retried, and needs a reply, which a flow sends with `"respond": "reply"`; an event is retried for ten minutes, and
    is answered with an empty 204.
    """

    name: ClassVar[str] = "discord"
    title: ClassVar[str] = "Discord"
    retries_for: ClassVar[timedelta] = timedelta(minutes=10)
    credential: ClassVar[type[BaseModel] | None] = DiscordCredential
    settings: ClassVar[type[BaseModel]] = Within15Minutes
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(204, media_type=_JSON)

    def open(self, request: SignedRequest, credential: DiscordCredential, settings: Within15Minutes) -> RequestVerifier:
        """Read the headers."""
        timestamp = required(request, _TIMESTAMP)
        check_fresh(timestamp, request.received_at, settings.tolerance)
        return _DiscordCheck(credential.public, as_received(timestamp), from_hex(required(request, _SIGNATURE)))

    def sign(
        self, request: SignedRequest, body: bytes, credential: DiscordCredential, settings: Within15Minutes
    ) -> Sequence[tuple[str, str]]:
        """Sign with the credential's `private_key`, at the request's time."""
        timestamp = str(int(request.received_at.timestamp()))
        signature = credential.signing_key.sign(timestamp.encode() + body)
        return [(_TIMESTAMP, timestamp), (_SIGNATURE, signature.hex())]


class _DiscordCheck:
    def __init__(self, keys: Sequence[Ed25519PublicKey], timestamp: bytes, signature: bytes) -> None:
        self._keys = keys
        self._timestamp = timestamp
        self._signature = signature
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        if len(self._body) <= _LONGEST_BODY:
            self._body += chunk

    async def finish(self) -> Verified:
        body = bytes(self._body)
        if len(body) > _LONGEST_BODY:
            raise NotVerified(f"a body of more than {_LONGEST_BODY} bytes can't be verified")
        if not any(self._signed(key, body) for key in self._keys):
            raise NotVerified(MISMATCH if self._signature else UNREADABLE)
        event = read_json(body, _Event)
        if event is None:
            return Verified()
        # Events have the types 0 and 1 too: their ping is 0, and 1 is what has an `event`.
        if event.type == 0:
            return Verified(response=WebhookResponse(204, media_type=_JSON))
        if event.type == 1 and event.event is None:
            return Verified(response=WebhookResponse(200, b'{"type":1}', _JSON))
        return Verified(event.id or None)

    def _signed(self, key: Ed25519PublicKey, body: bytes) -> bool:
        try:
            key.verify(self._signature, self._timestamp + body)
        except InvalidSignature:
            return False
        return True
