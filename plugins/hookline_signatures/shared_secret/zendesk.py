"""Zendesk's `X-Zendesk-Webhook-Signature`."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, timedelta
from hashlib import sha256
from typing import ClassVar, Final

from pydantic import BaseModel

from hookline.api import RequestVerifier, Scheme, SignedRequest
from hookline_signatures.building_blocks.freshness import Within15Minutes, check_near
from hookline_signatures.building_blocks.header_text import as_received, from_base64, message_id, required, rfc3339_time
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_SIGNATURE: Final = "x-zendesk-webhook-signature"
_TIMESTAMP: Final = "x-zendesk-webhook-signature-timestamp"
_ID: Final = "x-zendesk-webhook-invocation-id"


class Zendesk(Scheme[MacCredential, Within15Minutes]):
    """Zendesk's webhooks.

    At Zendesk: Admin Center, Apps and integrations, Webhooks, Create webhook, with the flow's URL as its endpoint. The
    credential's `secret` is the one that the webhook's page reveals.

    `X-Zendesk-Webhook-Signature` signs the time of sending and the body, which may be empty. The dedupe key is
    `X-Zendesk-Webhook-Invocation-Id`, which isn't signed. Zendesk waits for twelve seconds, and retries a few times
    after a timeout, a 409, and a 429 or 503 with `Retry-After`.
    """

    name: ClassVar[str] = "zendesk"
    title: ClassVar[str] = "Zendesk"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = Within15Minutes

    def open(self, request: SignedRequest, credential: MacCredential, settings: Within15Minutes) -> RequestVerifier:
        """Read the headers, and begin the MAC."""
        timestamp = required(request, _TIMESTAMP)
        check_near(request.received_at - rfc3339_time(timestamp), settings.tolerance)
        signature = from_base64(required(request, _SIGNATURE))
        return Mac(
            as_bytes(credential.secret),
            "sha256",
            [signature],
            before=as_received(timestamp),
            dedupe_key=message_id(request, _ID),
        )

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: Within15Minutes
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, at the request's time; the id is the request's, or made from the body."""
        timestamp = request.received_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        mac = hmac.new(as_bytes(credential.secret)[0], timestamp.encode() + body, "sha256").digest()
        return [
            (_ID, request.header(_ID) or sha256(body).hexdigest()[:26].upper()),
            (_TIMESTAMP, timestamp),
            (_SIGNATURE, b64encode(mac).decode()),
        ]
