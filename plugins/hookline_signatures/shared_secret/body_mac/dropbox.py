"""Dropbox's webhooks."""

from datetime import timedelta
from typing import ClassVar

from hookline.api import NoSettings, RequestVerifier, SignedRequest, WebhookResponse
from hookline_signatures.building_blocks.handshake import echo
from hookline_signatures.generic.body_mac import BodyMac, Layout, MacCredential


class Dropbox(BodyMac):
    """Dropbox's `X-Dropbox-Signature`: HMAC-SHA256 of the body under the app secret.

    In the App Console, under Webhooks, give the flow's URL. Dropbox then sends a `GET` with a `challenge`, which is
    answered with the same text; the flow needn't accept `GET`, and isn't started. The secret is the app secret.

    A request names the accounts whose files have changed, not the changes, and has no id: there is no dedupe key.
    Dropbox waits 10 seconds for a 200, and retries for some ten minutes.
    """

    name: ClassVar[str] = "dropbox"
    title: ClassVar[str] = "Dropbox"
    handshake_methods: ClassVar[frozenset[str]] = frozenset({"GET"})
    handshake_parameter: ClassVar[str | None] = "challenge"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(200)
    layout: ClassVar[Layout] = Layout("x-dropbox-signature")

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Answer the handshake, or begin the MAC."""
        if request.method == "GET" and (challenge := request.parameter("challenge")) is not None:
            # Dropbox doesn't sign it. The sender gets back what it sent, as text.
            return echo(challenge)
        return self.layout.open(request, credential)
