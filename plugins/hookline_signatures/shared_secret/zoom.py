"""Zoom's webhooks."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

import msgspec
from pydantic import BaseModel

from hookline.api import NotVerified, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.freshness import WithinADay, check_fresh
from hookline_signatures.building_blocks.header_text import as_received, required
from hookline_signatures.building_blocks.json_body import JsonBody
from hookline_signatures.building_blocks.mac_check import MISMATCH, Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential, read_mac

_SIGNATURE, _TIME = "x-zm-signature", "x-zm-request-timestamp"
_VALIDATION = "endpoint.url_validation"


class _Payload(msgspec.Struct):
    plain_token: str = msgspec.field(name="plainToken", default="")


class _Event(msgspec.Struct):
    event: str = ""
    payload: _Payload | None = None


class Zoom(Scheme[MacCredential, WithinADay]):
    """Zoom's `x-zm-signature`: HMAC-SHA256 of `v0:`, the time in `x-zm-request-timestamp`, `:` and the body.

    In the App Marketplace, under the app's Access, give the flow's URL as event notification endpoint; the secret is
    the Secret Token on the same page. On Validate, and every three days, Zoom sends `endpoint.url_validation`, which
    is answered with the token that proves the secret; no flow is started.

    A time further than `tolerance` from the time of receipt is rejected; Zoom doesn't document if it signs anew when it
    retries, so that the default covers all its retries. Zoom has no id that all its retries share: there is no dedupe
    key except the flow's own. It waits 3 seconds for 200 or 204, and retries three times within an hour and a half.
    """

    name: ClassVar[str] = "zoom"
    title: ClassVar[str] = "Zoom"
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = WithinADay
    retries_for: ClassVar[timedelta] = timedelta(hours=2)
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(200)

    def open(self, request: SignedRequest, credential: MacCredential, settings: WithinADay) -> RequestVerifier:
        """Read the headers, and begin the MACs."""
        timestamp = required(request, _TIME)
        check_fresh(timestamp, request.received_at, settings.tolerance)
        signature = read_mac(required(request, _SIGNATURE), "v0=", "hex")
        before = as_received(f"v0:{timestamp}:")
        return _ZoomCheck(as_bytes(credential.secret), signature, before)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: WithinADay
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, at the request's time."""
        timestamp = str(int(request.received_at.timestamp()))
        mac = hmac.new(as_bytes(credential.secret)[0], f"v0:{timestamp}:".encode() + body, "sha256").hexdigest()
        return [(_TIME, timestamp), (_SIGNATURE, f"v0={mac}")]


class _ZoomCheck:
    def __init__(self, keys: Sequence[bytes], signature: bytes, before: bytes) -> None:
        # Apart for each key: the answer to a validation is made with the key that Zoom signed with.
        self._macs = [(key, Mac([key], "sha256", [signature], before=before)) for key in keys]
        self._body = JsonBody(_Event)

    def feed(self, chunk: bytes) -> None:
        for _, mac in self._macs:
            mac.feed(chunk)
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        held: bytes | None = None
        for key, mac in self._macs:
            try:
                await mac.finish()
            except NotVerified:
                continue
            held = key
        if held is None:
            raise NotVerified(MISMATCH)
        event = self._body.read()
        if event is None or event.event != _VALIDATION or event.payload is None:
            return Verified()
        # Only for Zoom itself: with this answer anybody could have a body of his own signed, as the plain token.
        token = event.payload.plain_token
        proof = hmac.new(held, token.encode(), "sha256").hexdigest()
        body = msgspec.json.encode({"plainToken": token, "encryptedToken": proof})
        return Verified(response=WebhookResponse(200, body, "application/json"))
