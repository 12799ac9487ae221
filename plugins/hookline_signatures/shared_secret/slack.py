"""Slack's `X-Slack-Signature`, and its checks of the URL and the certificate."""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel

from hookline.api import NotVerified, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.freshness import Within5Minutes, check_fresh
from hookline_signatures.building_blocks.handshake import Answered
from hookline_signatures.building_blocks.header_text import as_received, required
from hookline_signatures.building_blocks.json_body import SignedJson
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential, read_mac

_SIGNATURE: Final = "x-slack-signature"
_TIMESTAMP: Final = "x-slack-request-timestamp"
_PREFIX: Final = "v0="
_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST_CHECK: Final = 1000
"""Bytes. A check of the certificate has two fields; a longer form is something else."""


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    challenge: str = ""
    event_id: str = ""


class Slack(Scheme[MacCredential, Within5Minutes]):
    """Slack's events, slash commands and interactions.

    At Slack: Your Apps, the app; the flow's URL goes to Event Subscriptions, Slash Commands or Interactivity. The
    credential's `secret` is the Signing Secret under Basic Information. Slack checks the URL
    (`url_verification`), and from time to time its certificate (`ssl_check`, by GET or as a form, which it doesn't
    sign): the scheme answers, and no flow starts.

    `X-Slack-Signature` signs the time of sending and the body. The dedupe key is `event_id`, which commands and
    interactions don't have: Slack sends those once. It waits for three seconds; an event that isn't accepted is
    retried three times within about five minutes. An accepted request is answered with an empty 200, since Slack shows
    the body of a response to its user.
    """

    name: ClassVar[str] = "slack"
    title: ClassVar[str] = "Slack"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = Within5Minutes
    handshake_methods: ClassVar[frozenset[str]] = frozenset({"GET"})
    handshake_parameter: ClassVar[str | None] = "ssl_check"
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse()

    def open(self, request: SignedRequest, credential: MacCredential, settings: Within5Minutes) -> RequestVerifier:
        """Read the headers, and begin the MAC."""
        # Its check of our TLS certificate isn't signed, and asks for nothing but a 200.
        if request.method == "GET" and request.parameter("ssl_check") == "1":
            return Answered(WebhookResponse())
        if not _is_form(request):
            return self._signed(request, credential, settings)
        try:
            return _FormCheck(self._signed(request, credential, settings))
        except NotVerified as rejected:
            return _FormCheck(rejected)

    def _signed(self, request: SignedRequest, credential: MacCredential, settings: Within5Minutes) -> RequestVerifier:
        timestamp = required(request, _TIMESTAMP)
        check_fresh(timestamp, request.received_at, settings.tolerance)
        signature = read_mac(required(request, _SIGNATURE), _PREFIX, "hex")
        before = b"v0:" + as_received(timestamp) + b":"
        mac = Mac(as_bytes(credential.secret), "sha256", [signature], before=before)
        return SignedJson(mac, _Event, _answered)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: Within5Minutes
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, at the request's time."""
        timestamp = str(int(request.received_at.timestamp()))
        mac = hmac.new(as_bytes(credential.secret)[0], f"v0:{timestamp}:".encode() + body, "sha256").hexdigest()
        return [(_TIMESTAMP, timestamp), (_SIGNATURE, _PREFIX + mac)]


def _is_form(request: SignedRequest) -> bool:
    return (request.header("content-type") or "").partition(";")[0].strip().lower() == _FORM


class _FormCheck:
    """A form: a check of the certificate, or else a request with a signature."""

    def __init__(self, signature: RequestVerifier | NotVerified) -> None:
        self._signature = signature
        self._beginning = b""

    def feed(self, chunk: bytes) -> None:
        if not isinstance(self._signature, NotVerified):
            self._signature.feed(chunk)
        self._beginning += chunk[: _LONGEST_CHECK + 1 - len(self._beginning)]

    async def finish(self) -> Verified:
        if self._asks():
            return Verified(response=WebhookResponse())
        if isinstance(self._signature, NotVerified):
            raise self._signature
        return await self._signature.finish()

    def _asks(self) -> bool:
        if len(self._beginning) > _LONGEST_CHECK:
            return False
        try:
            fields = parse_qsl(self._beginning.decode("ascii"), max_num_fields=10)
        except ValueError:
            return False
        return [value for name, value in fields if name == "ssl_check"] == ["1"]


def _answered(event: _Event | None, verified: Verified) -> Verified:
    if event is None:  # a form: a command or an interaction
        return verified
    if event.type == "url_verification":
        return Verified(response=WebhookResponse(200, event.challenge.encode(), "text/plain; charset=utf-8"))
    return Verified(event.event_id or None)
