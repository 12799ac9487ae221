"""Linear's webhooks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from hookline.api import Duration, NotVerified, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.json_body import SignedJson, with_member
from hookline_signatures.generic.body_mac import Layout, MacCredential

_TIME = "webhookTimestamp"


class _Payload(msgspec.Struct):
    time: int | None = msgspec.field(name=_TIME, default=None)


class LinearSettings(BaseModel):
    """The settings of the scheme."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(
        default=timedelta(seconds=60), description="The largest difference between the times of sending and receipt."
    )


class Linear(Scheme[MacCredential, LinearSettings]):
    """Linear's `Linear-Signature`: HMAC-SHA256 of the body, in which `webhookTimestamp` is the time of sending.

    In Linear's settings, under API, create a webhook with the flow's URL; the secret is shown on its page.

    A body whose time is further than `tolerance` from the time of receipt is rejected, and so is one without a time.
    The dedupe key is `Linear-Delivery`. Linear waits 5 seconds for a 200, and retries after a minute, an hour and six
    hours.
    """

    name: ClassVar[str] = "linear"
    title: ClassVar[str] = "Linear"
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = LinearSettings
    retries_for: ClassVar[timedelta] = timedelta(hours=8)
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(200)
    layout: ClassVar[Layout] = Layout("linear-signature", id_header="linear-delivery")

    def open(self, request: SignedRequest, credential: MacCredential, settings: LinearSettings) -> RequestVerifier:
        """Read the headers, and begin the MAC."""
        received, tolerance = request.received_at.timestamp(), settings.tolerance.total_seconds()

        def fresh(payload: _Payload | None, verified: Verified) -> Verified:
            # In whole milliseconds, since a number may be too large for a float.
            if payload is None or payload.time is None:
                raise NotVerified("the body has no webhookTimestamp")
            if abs(round(received * 1000) - payload.time) > tolerance * 1000:
                raise NotVerified(f"webhookTimestamp is more than {tolerance:.0f} s from the time of receipt")
            return verified

        return SignedJson(self.layout.open(request, credential), _Payload, fresh)

    def complete(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: LinearSettings
    ) -> bytes:
        """Add the request's time to the body."""
        return with_member(body, _TIME, round(request.received_at.timestamp() * 1000))

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: LinearSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret."""
        return self.layout.sign(request, body, credential)
