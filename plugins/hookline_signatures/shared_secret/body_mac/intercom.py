"""Intercom's webhooks."""

from datetime import timedelta
from typing import ClassVar

import msgspec

from hookline.api import NoSettings, RequestVerifier, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.json_body import SignedJson
from hookline_signatures.generic.body_mac import BodyMac, Layout, MacCredential


class _Notification(msgspec.Struct):
    id: str | None = None


class Intercom(BodyMac):
    """Intercom's `X-Hub-Signature`: HMAC-SHA1 of the body.

    In the Developer Hub, under Configure, Webhooks, give the flow's URL and choose topics. The secret is the app's
    client secret, under Basic information.

    The dedupe key is the `id` of the notification, which is signed. Intercom waits 5 seconds for a response, and
    retries once after a minute. After seven days of errors it suspends the subscription.
    """

    name: ClassVar[str] = "intercom"
    title: ClassVar[str] = "Intercom"
    #: So long it holds a notification back at most after a 429.
    retries_for: ClassVar[timedelta] = timedelta(hours=2)
    layout: ClassVar[Layout] = Layout("x-hub-signature", algorithm="sha1", prefix="sha1=")
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(200)

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the header, and begin the MAC."""
        return SignedJson(self.layout.open(request, credential), _Notification, _with_its_id)


def _with_its_id(notification: _Notification | None, verified: Verified) -> Verified:
    # Intercom's ping has no id, and a body that isn't JSON is rejected when it is parsed.
    return Verified(notification.id or None) if notification is not None else verified
