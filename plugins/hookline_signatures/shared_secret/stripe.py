"""Stripe's `Stripe-Signature`."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

import msgspec
from pydantic import BaseModel

from hookline.api import NotVerified, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.freshness import Within5Minutes, check_fresh
from hookline_signatures.building_blocks.header_text import as_received, from_hex, required
from hookline_signatures.building_blocks.json_body import SignedJson
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_HEADER: Final = "stripe-signature"
#: Two secrets live side by side while one is rolled; no header holds more entries than this.
_MOST_ENTRIES: Final = 32


class _Event(msgspec.Struct, frozen=True):
    id: str = ""


class Stripe(Scheme[MacCredential, Within5Minutes]):
    """Stripe's webhooks, as snapshot and as thin events.

    At Stripe: Developers, Webhooks, Add destination, with the flow's URL. The credential's `secret` is that endpoint's
    signing secret, `whsec_` included; the CLI's `stripe listen` shows one of its own. While a secret is rolled, Stripe
    signs with both.

    `Stripe-Signature` signs the time of sending and the body. The dedupe key is the event's id. If Stripe gets no 2xx,
    it retries for three days, and signs anew each time; it doesn't keep events in order.
    """

    name: ClassVar[str] = "stripe"
    title: ClassVar[str] = "Stripe"
    retries_for: ClassVar[timedelta] = timedelta(days=3)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = Within5Minutes

    def open(self, request: SignedRequest, credential: MacCredential, settings: Within5Minutes) -> RequestVerifier:
        """Read the header, and begin the MAC."""
        entries = [entry.partition("=") for entry in required(request, _HEADER).split(",", _MOST_ENTRIES)]
        times = [value for name, _, value in entries if name.strip(" ") == "t"]
        if len(entries) > _MOST_ENTRIES or len(times) != 1:
            raise NotVerified(f"{_HEADER} doesn't have exactly one `t`, or has more than {_MOST_ENTRIES} entries")
        check_fresh(times[0], request.received_at, settings.tolerance)
        # Entries that can't be read, and versions that we don't know, may stand beside one that is right.
        signatures = [from_hex(value) for name, _, value in entries if name.strip(" ") == "v1"]
        mac = Mac(as_bytes(credential.secret), "sha256", signatures, before=as_received(times[0]) + b".")
        return SignedJson(mac, _Event, _identified)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: Within5Minutes
    ) -> Sequence[tuple[str, str]]:
        """Sign with every secret, as Stripe does while one is rolled."""
        timestamp = str(int(request.received_at.timestamp()))
        signed = f"{timestamp}.".encode() + body
        macs = [hmac.new(key, signed, "sha256").hexdigest() for key in as_bytes(credential.secret)]
        return [(_HEADER, ",".join([f"t={timestamp}", *(f"v1={mac}" for mac in macs)]))]


def _identified(event: _Event | None, verified: Verified) -> Verified:
    return Verified(event.id or None) if event is not None else verified
