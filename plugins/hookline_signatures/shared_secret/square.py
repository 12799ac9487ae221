"""Square's `x-square-hmacsha256-signature`."""

import hmac
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

import msgspec
from pydantic import BaseModel

from hookline.api import NoSettings, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.header_text import as_received, from_base64, required
from hookline_signatures.building_blocks.json_body import SignedJson
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_SIGNATURE: Final = "x-square-hmacsha256-signature"


class _Event(msgspec.Struct, frozen=True):
    event_id: str = ""


class Square(Scheme[MacCredential, NoSettings]):
    """Square's webhooks.

    At Square: the Developer Console, the application, Webhooks, Subscriptions, with the flow's URL as notification
    URL, exactly as under the server's `public_url`: it is signed. The credential's `secret` is the
    subscription's Signature Key.

    `x-square-hmacsha256-signature` signs the URL and the body. The dedupe key is `event_id`. Square retries for 24
    hours if it gets no 2xx within ten seconds.
    """

    name: ClassVar[str] = "square"
    title: ClassVar[str] = "Square"
    retries_for: ClassVar[timedelta] = timedelta(hours=24)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    signs_url: ClassVar[bool] = True

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the header, and begin the MAC."""
        signature = from_base64(required(request, _SIGNATURE))
        mac = Mac(as_bytes(credential.secret), "sha256", [signature], before=as_received(request.url))
        return SignedJson(mac, _Event, _identified)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, for the request's URL."""
        signed = as_received(request.url) + body
        mac = hmac.new(as_bytes(credential.secret)[0], signed, "sha256").digest()
        return [(_SIGNATURE, b64encode(mac).decode())]


def _identified(event: _Event | None, verified: Verified) -> Verified:
    return Verified(event.event_id or None) if event is not None else verified
