"""Mailgun's webhooks: a signature within the body, of a time and a token alone."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import ClassVar, Final, Protocol

import msgspec
from pydantic import BaseModel
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, QuerystringParser, parse_options_header

from hookline.api import NotVerified, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.freshness import WithinADay, check_fresh
from hookline_signatures.building_blocks.header_text import from_hex
from hookline_signatures.building_blocks.json_body import JsonBody, with_member
from hookline_signatures.building_blocks.mac_check import MISMATCH, UNREADABLE
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_FIELDS: Final = ("timestamp", "token", "signature")
#: Of a time in seconds, until the year 2286.
_DIGITS: Final = 10
_LONGEST_NAME: Final = 100
_LONGEST_VALUE: Final = 200


class _Signature(msgspec.Struct, frozen=True):
    timestamp: str | int
    token: str
    signature: str


class _Event(msgspec.Struct, frozen=True):
    signature: _Signature


class Mailgun(Scheme[MacCredential, WithinADay]):
    """Mailgun's webhooks and routes: HMAC-SHA256 of a time and a token, all within the body.

    At Mailgun: Sending, Webhooks, or the `forward` of a route, with the flow's URL. The credential's `secret` is the
    HTTP webhook signing key.

    The rest of the body isn't signed. So the token, which is used once, is the dedupe key: somebody who intercepted a
    message can't send another one with its signature. A flow with its own `dedupe_key` gives that up. Mailgun retries
    for eight hours, unless the response is a 200, which the scheme sends, or a 406.
    """

    name: ClassVar[str] = "mailgun"
    title: ClassVar[str] = "Mailgun"
    retries_for: ClassVar[timedelta] = timedelta(hours=8)
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = WithinADay
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse()

    def open(self, request: SignedRequest, credential: MacCredential, settings: WithinADay) -> RequestVerifier:
        """Read the signature from the body: JSON for events, a form for mails that a route forwards."""
        return _MailgunCheck(_reader(request), request, as_bytes(credential.secret), settings)

    def remembers(self, settings: WithinADay) -> timedelta:
        """Return a time that is long enough for a token to be too old once it is forgotten."""
        return max(self.retries_for, 2 * settings.tolerance)

    def complete(self, request: SignedRequest, body: bytes, credential: MacCredential, settings: WithinADay) -> bytes:
        """Add a `signature` by the first secret, at the request's time; the token is made from the body."""
        timestamp = str(int(request.received_at.timestamp()))
        token = hashlib.sha256(body).hexdigest()[:50]
        mac = hmac.new(as_bytes(credential.secret)[0], f"{timestamp}{token}".encode(), "sha256").hexdigest()
        return with_member(body, "signature", {"timestamp": timestamp, "token": token, "signature": mac})

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: WithinADay
    ) -> Sequence[tuple[str, str]]:
        """Return no headers: the signature is in the body."""
        return []


class _Reader(Protocol):
    def feed(self, chunk: bytes) -> None: ...

    def read(self) -> _Signature | None: ...


def _reader(request: SignedRequest) -> _Reader:
    try:
        kind, options = parse_options_header(request.header("content-type"))
    except ValueError:
        raise NotVerified("the content-type can't be read") from None
    if kind == b"application/x-www-form-urlencoded":
        return _FormFields()
    if kind == b"multipart/form-data":
        return _MultipartFields(options.get(b"boundary", b""))
    return _JsonMember()


class _JsonMember:
    def __init__(self) -> None:
        self._body = JsonBody(_Event)

    def feed(self, chunk: bytes) -> None:
        self._body.feed(chunk)

    def read(self) -> _Signature | None:
        event = self._body.read()
        return None if event is None else event.signature


class _Fields:
    """The three fields of a form, however large the others are: a route forwards mails with their attachments."""

    def __init__(self) -> None:
        self._name = bytearray()
        self._value = bytearray()
        self._found: dict[str, str] = {}
        self._broken = False

    def in_name(self, data: bytes, start: int, end: int) -> None:
        if len(self._name) <= _LONGEST_NAME:
            self._name += data[start:end]

    def in_value(self, data: bytes, start: int, end: int) -> None:
        if len(self._value) <= _LONGEST_VALUE:
            self._value += data[start:end]

    def end(self) -> None:
        name, value = self._name.decode("latin-1"), self._value.decode("latin-1")
        if name in _FIELDS:
            # One that comes twice could be read in two ways. None of them holds anything that a form would escape.
            self._broken |= name in self._found or not (value.isascii() and value.isalnum())
            self._found[name] = value
        self._name.clear()
        self._value.clear()

    def write(self, parser: Callable[[bytes], object], chunk: bytes) -> None:
        if not self._broken:
            try:
                parser(chunk)
            except (FormParserError, ValueError):
                self._broken = True

    def read(self) -> _Signature | None:
        if self._broken or len(self._found) < len(_FIELDS):
            return None
        return _Signature(**self._found)


class _FormFields:
    def __init__(self) -> None:
        self._fields = _Fields()
        self._parser = QuerystringParser(
            {
                "on_field_name": self._fields.in_name,
                "on_field_data": self._fields.in_value,
                "on_field_end": self._fields.end,
            }
        )

    def feed(self, chunk: bytes) -> None:
        self._fields.write(self._parser.write, chunk)

    def read(self) -> _Signature | None:
        self._fields.write(lambda _: self._parser.finalize(), b"")
        return self._fields.read()


class _MultipartFields:
    def __init__(self, boundary: bytes) -> None:
        self._fields = _Fields()
        self._header_name = bytearray()
        self._header_value = bytearray()
        # A boundary that can't be one is like one that never comes.
        self._parser = MultipartParser(
            boundary[:_LONGEST_NAME] or b"-",
            {
                "on_part_begin": self._begin,
                "on_header_field": self._in_header_name,
                "on_header_value": self._in_header_value,
                "on_header_end": self._header,
                "on_part_data": self._fields.in_value,
                "on_part_end": self._fields.end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        self._fields.write(self._parser.write, chunk)

    def read(self) -> _Signature | None:
        return self._fields.read()

    def _begin(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _in_header_name(self, data: bytes, start: int, end: int) -> None:
        if len(self._header_name) <= _LONGEST_NAME:
            self._header_name += data[start:end]

    def _in_header_value(self, data: bytes, start: int, end: int) -> None:
        if len(self._header_value) <= 2 * _LONGEST_VALUE:
            self._header_value += data[start:end]

    def _header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._header_value))
            name = options.get(b"name", b"")
            if b"filename" not in options:
                self._fields.in_name(name, 0, len(name))
        self._begin()


class _MailgunCheck:
    def __init__(self, reader: _Reader, request: SignedRequest, keys: Sequence[bytes], settings: WithinADay) -> None:
        self._reader = reader
        self._received_at = request.received_at
        self._keys = keys
        self._tolerance = settings.tolerance

    def feed(self, chunk: bytes) -> None:
        self._reader.feed(chunk)

    async def finish(self) -> Verified:
        said = self._reader.read()
        if said is None or not (said.token.isascii() and said.token.isalnum()):
            raise NotVerified("the body has no signature with timestamp, token and signature, or has them twice")
        timestamp = str(said.timestamp)
        # Nothing stands between time and token: were a digit taken from one for the other, a token that came before
        # would pass for a new one.
        if len(timestamp) != _DIGITS:
            raise NotVerified(f"the signature's timestamp doesn't have {_DIGITS} digits")
        check_fresh(timestamp, self._received_at, self._tolerance)
        signed = f"{timestamp}{said.token}".encode()
        signature = from_hex(said.signature)
        holds = False
        for key in self._keys:
            holds |= hmac.compare_digest(hmac.new(key, signed, "sha256").digest(), signature)
        if not holds:
            raise NotVerified(MISMATCH if signature else UNREADABLE)
        return Verified(said.token)
