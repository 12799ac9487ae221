"""GitHub's webhooks."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from hookline.api import RequestVerifier, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.generic.body_mac import BodyMac, Layout, MacCredential


class GitHubSettings(BaseModel):
    """The settings of the scheme `github`: the treatment of pings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pings: Literal["kept", "answered"] = Field(
        default="kept",
        description="The treatment of a ping: it starts the flow (`kept`), or is only answered (`answered`).",
    )


class _Ping:
    """A ping that is answered once its signature is verified."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac

    def feed(self, chunk: bytes) -> None:
        self._mac.feed(chunk)

    async def finish(self) -> Verified:
        await self._mac.finish()
        return Verified(response=WebhookResponse(200, b"pong", "text/plain"))


class GitHub(BodyMac):
    """GitHub's `X-Hub-Signature-256`: HMAC-SHA256 of the body.

    At GitHub: a repository's, an organization's or an app's settings, Webhooks, with the flow's URL as payload URL,
    `application/json` as content type, and a secret.

    The dedupe key is `X-GitHub-Delivery`, which isn't signed; a delivery that somebody repeats has the same key. GitHub
    waits for ten seconds, and doesn't retry by itself.

    GitHub tests a new webhook with a ping: it is a message like others, unless `pings` is `answered`; then it starts
    nothing.
    """

    name: ClassVar[str] = "github"
    title: ClassVar[str] = "GitHub"
    settings: ClassVar[type[BaseModel]] = GitHubSettings
    layout: ClassVar[Layout] = Layout("x-hub-signature-256", prefix="sha256=", id_header="x-github-delivery")

    def open(self, request: SignedRequest, credential: MacCredential, settings: Any) -> RequestVerifier:
        """Read the header, and begin the MAC."""
        mac = self.layout.open(request, credential)
        answered = isinstance(settings, GitHubSettings) and settings.pings == "answered"
        return _Ping(mac) if answered and request.header("x-github-event") == "ping" else mac
