"""PayPal's webhooks: RSA over ids, a time and a checksum of the body."""

import re
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from hashlib import sha256
from typing import Annotated, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hookline.api import Duration, NotVerified, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.header_text import as_received, from_base64, required, rfc3339_time
from hookline_signatures.building_blocks.mac_check import MISMATCH, UNREADABLE
from hookline_signatures.building_blocks.secret_fields import listed
from hookline_signatures.public_key.paypal_certificates import PayPalCertificates, is_paypals
from hookline_signatures.public_key.pinned_certificates import PinnedCertificates, Signer

_ALGORITHM = "SHA256withRSA"
#: A bar would leave open where one part of what is signed ends and the next begins.
_WEBHOOK_ID = r"^[A-Za-z0-9_-]{1,100}$"
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TEST_URL = "https://api.paypal.com/v1/notifications/certs/CERT-test"


class PayPalCredential(PinnedCertificates):
    """The credential of one webhook of a PayPal app."""

    webhook_id: Annotated[
        tuple[Annotated[str, Field(pattern=_WEBHOOK_ID)], ...],
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(min_length=1, max_length=10),
    ] = Field(description="The webhook's id in PayPal's developer portal; or a list of ids, each of which is accepted.")


class PayPalSettings(BaseModel):
    """The settings of the scheme."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    oldest: Duration = Field(
        default=timedelta(days=7),
        description="The greatest age of a message, by its time of sending. PayPal retries for three days.",
    )


class PayPal(Scheme[PayPalCredential, PayPalSettings]):
    """PayPal's `PAYPAL-TRANSMISSION-*` headers: RSA over an id, a time, the webhook's id and the body's CRC32.

    At PayPal: the Developer Dashboard, the app, Add Webhook, with the flow's URL. The credential's `webhook_id` is
    shown there afterwards. PayPal's certificates are fetched from its own hosts, checked and cached. PayPal retries
    up to 25 times in three days.

    The signature covers only the CRC32 of the body, and somebody with one signed message can make another body with the
    same CRC32. The transmission's id and time are signed themselves. So the dedupe key is that id and not the event's:
    a message that is intercepted and sent again, altered or not, starts nothing. A message is accepted until it is
    older than `oldest`, by default as long as dedupe keys are remembered; a shorter time could reject PayPal's own
    retries. An event that is sent anew, as with the portal's Resend, may have a new transmission: a flow that goes by
    the event sets `"dedupe_key": "$.body.id"`.
    """

    name: ClassVar[str] = "paypal"
    title: ClassVar[str] = "PayPal"
    retries_for: ClassVar[timedelta] = timedelta(days=3)
    credential: ClassVar[type[BaseModel] | None] = PayPalCredential
    settings: ClassVar[type[BaseModel]] = PayPalSettings

    def __init__(self, certificates: PayPalCertificates | None = None) -> None:
        self._certificates = certificates or PayPalCertificates()

    def open(self, request: SignedRequest, credential: PayPalCredential, settings: PayPalSettings) -> "_PayPalCheck":
        """Read the headers, and begin the checksum."""
        transmission_id = required(request, "paypal-transmission-id")
        sent_at = required(request, "paypal-transmission-time")
        signature = from_base64(required(request, "paypal-transmission-sig"))
        cert_url = required(request, "paypal-cert-url")
        if required(request, "paypal-auth-algo") != _ALGORITHM:
            raise NotVerified(f"paypal-auth-algo isn't {_ALGORITHM}")
        if not signature:
            raise NotVerified(UNREADABLE)
        if not _ID.fullmatch(transmission_id):
            raise NotVerified("paypal-transmission-id isn't an id of PayPal's")
        if not is_paypals(cert_url):
            raise NotVerified("paypal-cert-url isn't a URL of PayPal's certificates")
        passed = request.received_at - rfc3339_time(sent_at)
        if passed > settings.oldest:
            raise NotVerified(f"it was sent {passed} before receipt, and `oldest` allows {settings.oldest}")
        return _PayPalCheck(
            self._certificates, request, credential, cert_url, transmission_id, as_received(sent_at), signature
        )

    def remembers(self, settings: PayPalSettings) -> timedelta:
        """Return a time that is long enough for a transmission to be too old once it is forgotten."""
        return max(self.retries_for, settings.oldest)

    def sign(
        self, request: SignedRequest, body: bytes, credential: PayPalCredential, settings: PayPalSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the `private_key`, at the request's time; the id is the request's, or made from the body."""
        key = credential.signing_key
        transmission_id = request.header("paypal-transmission-id") or sha256(body).hexdigest()[:32]
        sent_at = request.received_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = _signed(transmission_id.encode(), sent_at.encode(), credential.webhook_id[0], zlib.crc32(body))
        return [
            ("paypal-transmission-id", transmission_id),
            ("paypal-transmission-time", sent_at),
            ("paypal-transmission-sig", b64encode(key.sign(message, PKCS1v15(), hashes.SHA256())).decode()),
            ("paypal-cert-url", _TEST_URL),
            ("paypal-auth-algo", _ALGORITHM),
        ]


@dataclass(slots=True)
class _PayPalCheck:
    certificates: PayPalCertificates
    request: SignedRequest
    credential: PayPalCredential
    cert_url: str
    transmission_id: str
    sent_at: bytes
    signature: bytes
    crc: int = 0

    def feed(self, chunk: bytes) -> None:
        self.crc = zlib.crc32(chunk, self.crc)

    async def finish(self) -> Verified:
        for one in await self._signers():
            for webhook_id in self.credential.webhook_id:
                message = _signed(self.transmission_id.encode(), self.sent_at, webhook_id, self.crc)
                try:
                    one.key.verify(self.signature, message, PKCS1v15(), hashes.SHA256())
                except InvalidSignature:
                    continue
                return Verified(self.transmission_id)
        raise NotVerified(f"{MISMATCH}; or it is for another webhook than the credential's webhook_id")

    async def _signers(self) -> list[Signer]:
        at = self.request.received_at
        pinned = self.credential.signers_at(at)
        return pinned or [await self.certificates.signer(self.cert_url, at, self.request.http)]


def _signed(transmission_id: bytes, sent_at: bytes, webhook_id: str, crc: int) -> bytes:
    return b"|".join((transmission_id, sent_at, webhook_id.encode(), str(crc).encode()))
