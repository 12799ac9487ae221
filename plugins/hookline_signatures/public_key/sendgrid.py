"""SendGrid's Event Webhook."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from hookline.api import NotVerified, Reach, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.freshness import WithinADay, check_fresh
from hookline_signatures.building_blocks.header_text import as_received, from_base64, required
from hookline_signatures.building_blocks.mac_check import MISMATCH, UNREADABLE
from hookline_signatures.building_blocks.secret_fields import OWN_KEY_REMEDY, listed

_SIGNATURE: Final = "x-twilio-email-event-webhook-signature"
_TIMESTAMP: Final = "x-twilio-email-event-webhook-timestamp"


def _read_key(text: str) -> EllipticCurvePublicKey:
    try:
        key = load_der_public_key(b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("a verification key has to be the base64 that SendGrid shows") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError("a verification key has to be one of ECDSA over P-256")  # noqa: TRY004 - as pydantic asks for
    return key


def _readable(text: str) -> str:
    _read_key(text)
    return text


class SendGridCredential(BaseModel):
    """The key of one Event Webhook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_key: Annotated[
        tuple[Annotated[str, AfterValidator(_readable)], ...],
        Reach("pem"),
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(max_length=10),
    ] = Field(default=(), description="The Verification Key, in base64; or a list of keys, each of which is accepted.")
    private_key: Annotated[SecretStr | None, Reach("pem")] = Field(
        default=None,
        description="A private key in PEM, for tests, in place of a `public_key`: it signs as SendGrid would, "
        "and the flow accepts its signatures.",
    )

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if bool(self.public_key) == (self.private_key is not None):
            # Who can sign test requests must not be let in beside SendGrid, and be forgotten there.
            raise ValueError("give the public_key, or for tests a private_key in its place")
        if self.private_key is not None:
            _ = self.signing_key
        return self

    @cached_property
    def public(self) -> list[EllipticCurvePublicKey]:
        """The public keys."""
        if self.private_key is not None:
            return [self.signing_key.public_key()]
        return [_read_key(text) for text in self.public_key]

    @cached_property
    def signing_key(self) -> EllipticCurvePrivateKey:
        """The key for tests. Raises ValueError, and NotImplementedError if there is none."""
        if self.private_key is None:
            raise NotImplementedError(OWN_KEY_REMEDY)
        try:
            key = load_pem_private_key(self.private_key.get_secret_value().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The library's error may quote the key.
            raise ValueError("private_key: it is not an unencrypted private key in PEM") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ValueError("private_key: it is not one of ECDSA over P-256")  # noqa: TRY004 - a wrong value, as pydantic asks for
        return key


class SendGrid(Scheme[SendGridCredential, WithinADay]):
    """SendGrid's `X-Twilio-Email-Event-Webhook-Signature`: ECDSA of the time in `…-Timestamp` and the body.

    At SendGrid: Settings, Mail Settings, Event Webhooks, with the flow's URL as Post URL; enable Signed Event Webhook.
    The credential's `public_key` is the Verification Key that is shown then.

    A body is a list of events. Each has an id of its own (`sg_event_id`), so that no two bodies are alike, and the
    dedupe key is the hash of the body. SendGrid retries for 24 hours if it gets no 2xx.
    """

    name: ClassVar[str] = "sendgrid"
    title: ClassVar[str] = "SendGrid Event Webhook"
    retries_for: ClassVar[timedelta] = timedelta(hours=24)
    credential: ClassVar[type[BaseModel] | None] = SendGridCredential
    settings: ClassVar[type[BaseModel]] = WithinADay

    def open(self, request: SignedRequest, credential: SendGridCredential, settings: WithinADay) -> RequestVerifier:
        """Read the headers, and begin the hash."""
        timestamp = required(request, _TIMESTAMP)
        check_fresh(timestamp, request.received_at, settings.tolerance)
        return _SendGridCheck(credential.public, as_received(timestamp), from_base64(required(request, _SIGNATURE)))

    def sign(
        self, request: SignedRequest, body: bytes, credential: SendGridCredential, settings: WithinADay
    ) -> Sequence[tuple[str, str]]:
        """Sign with the credential's `private_key`, at the request's time."""
        timestamp = str(int(request.received_at.timestamp()))
        signature = credential.signing_key.sign(timestamp.encode() + body, ECDSA(hashes.SHA256()))
        return [(_TIMESTAMP, timestamp), (_SIGNATURE, b64encode(signature).decode())]


class _SendGridCheck:
    def __init__(self, keys: Sequence[EllipticCurvePublicKey], timestamp: bytes, signature: bytes) -> None:
        self._keys = keys
        self._signature = signature
        self._signed = hashlib.sha256(timestamp)
        self._body = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        self._signed.update(chunk)
        self._body.update(chunk)

    async def finish(self) -> Verified:
        for key in self._keys:
            try:
                key.verify(self._signature, self._signed.digest(), ECDSA(Prehashed(hashes.SHA256())))
            except InvalidSignature:
                continue
            return Verified(self._body.hexdigest())
        raise NotVerified(MISMATCH if self._signature else UNREADABLE)
