"""Xero's webhooks."""

from datetime import timedelta
from typing import ClassVar

import msgspec

from hookline.api import NoSettings, RequestVerifier, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.json_body import SignedJson
from hookline_signatures.generic.body_mac import BodyMac, Layout, MacCredential

_NOTHING = WebhookResponse(200)


class _Payload(msgspec.Struct):
    events: list[msgspec.Raw] | None = None


class Xero(BodyMac):
    """Xero's `x-xero-signature`: HMAC-SHA256 of the body, in base64.

    In the developer portal, under the app's Webhooks, give the flow's URL; the secret is the webhooks key. Xero then
    sends bodies without events, with right and with wrong signatures, the "intent to receive": the right ones are
    answered with 200 and the wrong ones with 401, and no flow is started.

    Xero rejects a response with a body, so that an accepted request is answered with an empty 200. A body may contain
    several events, none of which has an id, so that there is no dedupe key. Xero waits 5 seconds for a response,
    retries for 24 hours, and then turns the webhook off.
    """

    name: ClassVar[str] = "xero"
    title: ClassVar[str] = "Xero"
    retries_for: ClassVar[timedelta] = timedelta(hours=24)
    accepted: ClassVar[WebhookResponse | None] = _NOTHING
    bare_rejections: ClassVar[bool] = True
    layout: ClassVar[Layout] = Layout("x-xero-signature", encoding="base64")

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the header, and begin the MAC."""
        return SignedJson(self.layout.open(request, credential), _Payload, _intent_or_events)


def _intent_or_events(payload: _Payload | None, verified: Verified) -> Verified:
    if payload is not None and payload.events is not None and not payload.events:
        return Verified(response=_NOTHING)
    return verified
