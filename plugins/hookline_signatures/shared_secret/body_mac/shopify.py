"""Shopify's `X-Shopify-Hmac-Sha256`."""

import hmac
import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import ClassVar, Final

from pydantic import BaseModel

from hookline.api import NoSettings, RequestVerifier, Scheme, SignedRequest
from hookline_signatures.building_blocks.header_text import from_base64, message_id, required
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_SIGNATURE: Final = "x-shopify-hmac-sha256"
_ID: Final = "x-shopify-event-id"
_TOPIC: Final = "x-shopify-topic"


class Shopify(Scheme[MacCredential, NoSettings]):
    """Shopify's webhooks.

    At Shopify: an app's webhook subscriptions, or Settings, Notifications, Webhooks, with the flow's URL. The
    credential's `secret` is the app's client secret; for webhooks of the admin it is the one shown below their list.

    `X-Shopify-Hmac-Sha256` signs the body. The dedupe key is `X-Shopify-Event-Id` together with `X-Shopify-Topic`,
    since one event may be sent under several topics; neither is signed. Shopify waits for five seconds, retries eight
    times within four hours, and then removes a subscription that an app created.
    """

    name: ClassVar[str] = "shopify"
    title: ClassVar[str] = "Shopify"
    retries_for: ClassVar[timedelta] = timedelta(hours=4)
    credential: ClassVar[type[BaseModel] | None] = MacCredential

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the headers, and begin the MAC."""
        event, topic = message_id(request, _ID), message_id(request, _TOPIC)
        # As a list, so that no two pairs read alike.
        key = None if event is None else json.dumps([event, topic])
        signature = from_base64(required(request, _SIGNATURE))
        return Mac(as_bytes(credential.secret), "sha256", [signature], dedupe_key=key)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret; the topic and the id are the request's, or the id is made from the body."""
        topic = request.header(_TOPIC)
        mac = hmac.new(as_bytes(credential.secret)[0], body, "sha256").digest()
        return [
            *([(_TOPIC, topic)] if topic else []),
            (_ID, request.header(_ID) or sha256(body).hexdigest()[:32]),
            (_SIGNATURE, b64encode(mac).decode()),
        ]
