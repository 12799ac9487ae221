"""Bitbucket's webhooks."""

from datetime import timedelta
from typing import ClassVar

from hookline_signatures.generic.body_mac import BodyMac, Layout


class Bitbucket(BodyMac):
    """Bitbucket's `X-Hub-Signature`: HMAC-SHA256 of the body.

    In the repository's settings, under Webhooks, give the flow's URL and a secret. Without a secret Bitbucket signs
    nothing, and everything that it sends is rejected.

    The dedupe key is `X-Request-UUID`. Bitbucket waits 10 seconds for a response, and retries twice if it gets none, or
    a 5xx. For Bitbucket Data Center, whose id is `X-Request-Id`, set `"dedupe_key": "$.headers['x-request-id']"`.
    """

    name: ClassVar[str] = "bitbucket"
    title: ClassVar[str] = "Bitbucket"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    layout: ClassVar[Layout] = Layout("x-hub-signature", prefix="sha256=", id_header="x-request-uuid")
