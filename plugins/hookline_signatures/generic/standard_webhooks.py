"""Standard Webhooks (standardwebhooks.com): symmetric `v1` and asymmetric `v1a` signatures, under two sets of names."""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar, Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from hookline.api import Duration, NotVerified, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.freshness import check_fresh
from hookline_signatures.building_blocks.header_text import as_received, from_base64, required
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import AnySecrets

_SYMMETRIC, _PUBLIC, _PRIVATE = "whsec_", "whpk_", "whsk_"
_SHORTEST_KEY: Final = 16
_ED25519_KEY: Final = 32
#: No sender has as many keys; each Ed25519 signature costs us some 100 µs.
_MOST_ENTRIES: Final = 32
#: Ed25519 takes a message whole, so that it has to be kept until then.
_LONGEST_BODY: Final = 16 * 1024 * 1024
#: A full stop would leave open where the id ends and the time begins.
_ID = re.compile(r"[!-\-/-~]{1,200}")


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value().strip()
    for prefix in (_SYMMETRIC, _PUBLIC, _PRIVATE):
        text = text.removeprefix(prefix)
    return from_base64(text.replace("-", "+").replace("_", "/"))


def _readable(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for secret in secrets:
        text, size = secret.get_secret_value().strip(), len(_key(secret))
        if text.startswith(_PUBLIC):
            if size != _ED25519_KEY:
                raise ValueError(f"a key that begins with {_PUBLIC} has to be the base64 of {_ED25519_KEY} bytes")
        elif text.startswith(_PRIVATE):
            # 32 bytes, or the 64 in which the public key follows.
            if size not in (_ED25519_KEY, 2 * _ED25519_KEY):
                raise ValueError(f"a key that begins with {_PRIVATE} has to be the base64 of {_ED25519_KEY} bytes")
        elif size < _SHORTEST_KEY:
            raise ValueError(f"a secret has to be base64, after {_SYMMETRIC}, of at least {_SHORTEST_KEY} bytes")
    return secrets


StandardSecrets: TypeAlias = Annotated[AnySecrets, AfterValidator(_readable)]
"""One key, or a list of them, as Standard Webhooks writes them."""


class StandardCredential(BaseModel):
    """The keys of one endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: StandardSecrets = Field(
        description="The secret `whsec_…`, or a public key `whpk_…`; or a list of them, each of which is accepted. "
        "`whsk_…` is a private key, for tests: it signs, and verifies its own signatures."
    )

    def shared(self) -> list[bytes]:
        """The symmetric keys."""
        return [_key(secret) for secret in self.secret if not _starts(secret, _PUBLIC, _PRIVATE)]

    def private(self) -> list[Ed25519PrivateKey]:
        """The private keys."""
        return [
            Ed25519PrivateKey.from_private_bytes(_key(secret)[:_ED25519_KEY])
            for secret in self.secret
            if _starts(secret, _PRIVATE)
        ]

    def public(self) -> list[Ed25519PublicKey]:
        """The public keys, including those of the private keys."""
        given = [_key(secret) for secret in self.secret if _starts(secret, _PUBLIC)]
        return [Ed25519PublicKey.from_public_bytes(key) for key in given] + [key.public_key() for key in self.private()]


def _starts(secret: SecretStr, *prefixes: str) -> bool:
    return secret.get_secret_value().strip().startswith(prefixes)


class StandardSettings(BaseModel):
    """The settings of the scheme."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(
        default=timedelta(seconds=300), description="The largest difference between the times of sending and receipt."
    )


class StandardWebhooks(Scheme[StandardCredential, StandardSettings]):
    """`webhook-id`, `webhook-timestamp` and `webhook-signature`, as many providers sign: HMAC-SHA256, or Ed25519.

    At the provider, give the flow's URL as an endpoint. The credential's `secret` is the endpoint's, including
    `whsec_`; if the provider publishes a public key, `whpk_…`, it is that.

    The id, the time and the body are signed. The id is the dedupe key. A time further than `tolerance` from the time
    of receipt is rejected. Providers retry for a day or more, and sign anew each time.
    """

    name: ClassVar[str] = "standard-webhooks"
    title: ClassVar[str] = "Standard Webhooks"
    #: Svix's default, which many follow.
    retries_for: ClassVar[timedelta] = timedelta(hours=28)
    credential: ClassVar[type[BaseModel] | None] = StandardCredential
    settings: ClassVar[type[BaseModel]] = StandardSettings
    family: ClassVar[str] = "webhook"

    def open(
        self, request: SignedRequest, credential: StandardCredential, settings: StandardSettings
    ) -> "_StandardCheck":
        """Read the headers, and begin the MAC."""
        message_id = required(request, f"{self.family}-id")
        timestamp = required(request, f"{self.family}-timestamp")
        entries = required(request, f"{self.family}-signature").split(" ")
        check_fresh(timestamp, request.received_at, settings.tolerance)
        if not _ID.fullmatch(message_id):
            raise NotVerified(f"{self.family}-id isn't an id of at most 200 characters without a full stop")
        if len(entries) > _MOST_ENTRIES:
            raise NotVerified(f"{self.family}-signature has more than {_MOST_ENTRIES} entries")
        signatures: dict[str, list[bytes]] = {"v1": [], "v1a": []}
        for entry in entries:
            # Versions that we don't know, and entries that can't be read, may stand beside one that is right.
            version, _, text = entry.partition(",")
            if version in signatures:
                signatures[version].append(from_base64(text))
        before = as_received(f"{message_id}.{timestamp}.")
        mac = Mac(credential.shared(), "sha256", signatures["v1"], before=before)
        keys = credential.public() if signatures["v1a"] else []
        return _StandardCheck(message_id, mac, keys, signatures["v1a"], bytearray(before))

    def sign(
        self, request: SignedRequest, body: bytes, credential: StandardCredential, settings: StandardSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with each key that can, at the request's time; the id is the request's, or made from the body."""
        message_id = request.header(f"{self.family}-id") or f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
        timestamp = str(int(request.received_at.timestamp()))
        signed = f"{message_id}.{timestamp}.".encode() + body
        made = [("v1", hmac.new(key, signed, "sha256").digest()) for key in credential.shared()]
        made += [("v1a", key.sign(signed)) for key in credential.private()]
        if not made:
            raise NotImplementedError(
                "for tests, give the credential a secret `whsec_…`, or a private key `whsk_…` of your own, in place of "
                "the public one"
            )
        return [
            (f"{self.family}-id", message_id),
            (f"{self.family}-timestamp", timestamp),
            (f"{self.family}-signature", " ".join(f"{version},{b64encode(one).decode()}" for version, one in made)),
        ]


class Svix(StandardWebhooks):
    """Standard Webhooks under the names that Svix and the services built on it use: `svix-id` and so on.

    At the provider (Clerk and Resend are among them), give the flow's URL as an endpoint. The credential's `secret`
    is the endpoint's, including `whsec_`.

    `svix-id` is the dedupe key. A time further than `tolerance` from the time of receipt is rejected. Svix retries for
    28 hours, and signs anew each time.
    """

    name: ClassVar[str] = "svix"
    title: ClassVar[str] = "Svix"
    family: ClassVar[str] = "svix"


@dataclass(slots=True)
class _StandardCheck:
    message_id: str
    mac: Mac
    keys: Sequence[Ed25519PublicKey]
    signatures: Sequence[bytes]
    message: bytearray
    """The content that Ed25519 signs; collected only if there is a key for it."""

    def feed(self, chunk: bytes) -> None:
        self.mac.feed(chunk)
        if self.keys and len(self.message) <= _LONGEST_BODY:
            self.message += chunk

    async def finish(self) -> Verified:
        verified = Verified(self.message_id)
        if self._signed():
            return verified
        await self.mac.finish()
        return verified

    def _signed(self) -> bool:
        if len(self.message) > _LONGEST_BODY:
            return False
        message = bytes(self.message)
        for key in self.keys:
            for signature in self.signatures:
                try:
                    key.verify(signature, message)
                except InvalidSignature:
                    continue
                return True
        return False
