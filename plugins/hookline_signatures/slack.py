"""Slack's `X-Slack-Signature`, and its question whether a URL is the right one."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

import msgspec
from pydantic import BaseModel

from hookline.api import Answer, Check, Scheme, SignedRequest, Verified
from hookline_signatures.body_mac import MacCredential, read_mac
from hookline_signatures.checks import Mac
from hookline_signatures.freshness import Within5Minutes
from hookline_signatures.handshake import Answered
from hookline_signatures.header_text import as_received, check_fresh, required
from hookline_signatures.json_body import SignedJson
from hookline_signatures.secret_values import as_bytes

_SIGNATURE: Final = "x-slack-signature"
_TIMESTAMP: Final = "x-slack-request-timestamp"
_PREFIX: Final = "v0="


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    challenge: str = ""
    event_id: str = ""


class Slack(Scheme[MacCredential, Within5Minutes]):
    """Slack's events, slash commands and interactions.

    At Slack: Your Apps, the app; the flow's URL goes to Event Subscriptions, Slash Commands or Interactivity. The
    credential's `secret` is the Signing Secret under Basic Information. Slack asks whether the URL is right
    (`url_verification`, `ssl_check`): the scheme answers, and no flow starts.

    `X-Slack-Signature` signs the time of sending and the body. The dedupe key is `event_id`, which commands and
    interactions don't have: Slack sends those once. It waits for three seconds; an event that isn't taken is tried
    three times more within about five minutes. What is accepted is answered with an empty 200, since Slack shows the
    body of an answer to its user.
    """

    name: ClassVar[str] = "slack"
    title: ClassVar[str] = "Slack"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = Within5Minutes
    handshake_methods: ClassVar[frozenset[str]] = frozenset({"GET"})
    handshake_parameter: ClassVar[str | None] = "ssl_check"
    accepted: ClassVar[Answer | None] = Answer()

    def open(self, request: SignedRequest, credential: MacCredential, settings: Within5Minutes) -> Check:
        """Read the headers, and begin the MAC."""
        # Its check of our TLS certificate isn't signed, and asks for nothing but a 200.
        if request.method == "GET" and request.parameter("ssl_check") == "1":
            return Answered(Answer())
        timestamp = required(request, _TIMESTAMP)
        check_fresh(timestamp, request.received_at, settings.tolerance)
        signature = read_mac(required(request, _SIGNATURE), _PREFIX, "hex")
        before = b"v0:" + as_received(timestamp) + b":"
        mac = Mac(as_bytes(credential.secret), "sha256", [signature], before=before)
        return SignedJson(mac, _Event, _answered)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: Within5Minutes
    ) -> Sequence[tuple[str, str]]:
        """With the first secret, at the request's time."""
        timestamp = str(int(request.received_at.timestamp()))
        mac = hmac.new(as_bytes(credential.secret)[0], f"v0:{timestamp}:".encode() + body, "sha256").hexdigest()
        return [(_TIMESTAMP, timestamp), (_SIGNATURE, _PREFIX + mac)]


def _answered(event: _Event | None, verified: Verified) -> Verified:
    if event is None:  # a form: a command or an interaction
        return verified
    if event.type == "url_verification":
        return Verified(answer=Answer(200, event.challenge.encode(), "text/plain; charset=utf-8"))
    return Verified(event.event_id or None)
