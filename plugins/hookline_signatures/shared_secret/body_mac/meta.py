"""Meta's webhooks: WhatsApp, Messenger, Instagram, Facebook pages."""

from datetime import timedelta
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from hookline.api import NoSettings, NotVerified, RequestVerifier, Scheme, SignedRequest, WebhookResponse
from hookline_signatures.building_blocks.handshake import Answered, echo
from hookline_signatures.building_blocks.secret_fields import Secrets, as_bytes
from hookline_signatures.generic.body_mac import Layout, MacCredential
from hookline_signatures.generic.header_only import among


class MetaCredential(MacCredential):
    """The credential of one Meta app."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Secrets = Field(description="The app secret; or a list of secrets, each of which is accepted.")
    verify_token: Secrets = Field(
        description="A text of your own choice, which Meta sends when it checks the URL; or a list of texts."
    )


class Meta(Scheme[MetaCredential, NoSettings]):
    """Meta's `X-Hub-Signature-256`: HMAC-SHA256 of the body under the app secret.

    In the app's dashboard, under Webhooks, give the flow's URL and the verify token. Meta then sends a `GET` with
    `hub.mode=subscribe`, which is answered with its `hub.challenge` if the token is right; the flow needn't accept
    `GET`, and isn't started. The app secret is under App settings, Basic.

    One request may contain several changes, so that Meta has no id for it: there is no dedupe key except the flow's
    own, such as `"dedupe_key": "$.body.entry[0].changes[0].value.messages[0].id"` for single WhatsApp messages.
    Meta retries, less and less often, for up to 36 hours, and WhatsApp for 7 days.
    """

    name: ClassVar[str] = "meta"
    title: ClassVar[str] = "Meta"
    credential: ClassVar[type[BaseModel] | None] = MetaCredential
    handshake_methods: ClassVar[frozenset[str]] = frozenset({"GET"})
    handshake_parameter: ClassVar[str | None] = "hub.mode"
    retries_for: ClassVar[timedelta] = timedelta(days=7)
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(200)
    layout: ClassVar[Layout] = Layout("x-hub-signature-256", prefix="sha256=")

    def open(self, request: SignedRequest, credential: MetaCredential, settings: NoSettings) -> RequestVerifier:
        """Answer the handshake, or begin the MAC."""
        if request.method == "GET" and (mode := request.parameter("hub.mode")) is not None:
            return _handshake(request, credential, mode)
        return self.layout.open(request, credential)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MetaCredential, settings: NoSettings
    ) -> list[tuple[str, str]]:
        """Sign with the first secret."""
        return list(self.layout.sign(request, body, credential))


def _handshake(request: SignedRequest, credential: MetaCredential, mode: str) -> Answered:
    token = (request.parameter("hub.verify_token") or "").encode()
    if not among(token, as_bytes(credential.verify_token)):
        raise NotVerified("hub.verify_token is wrong")
    if mode != "subscribe":
        raise NotVerified("hub.mode isn't subscribe")
    return echo(request.parameter("hub.challenge"))
