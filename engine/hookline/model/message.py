"""Messages, their attachments, and the envelopes in which they are accepted."""

import hashlib
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.kernel.json import (
    MANY,
    OFF_THE_LOOP,
    decode,
    encode,
    is_heavy_value,
    reader,
    to_binary64,
    to_decimal,
)


class Attachment(msgspec.Struct, frozen=True):
    """A file beside the body. Its bytes are in the blob store under `id`."""

    id: str
    name: str
    """The name of the form field, or `body` if the request was the file."""
    filename: str | None
    type: str
    """The declared media type."""
    size: int
    sha256: str


class Message(msgspec.Struct, frozen=True):
    """The data that travels through a flow. Header names are lower-case."""

    body: Any = None
    """A JSON value."""
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()

    def attachments_like(self, wanted: Any) -> list[Attachment]:
        """Return the attachments that a step selects: by name, or as an expression gives one (`$.attachments[0]`)."""
        if isinstance(wanted, str):
            return [attachment for attachment in self.attachments if attachment.name == wanted]
        given = wanted.get("id") if isinstance(wanted, dict) else None
        return [attachment for attachment in self.attachments if attachment.id == given]


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a finished step: `steps.<id>` in expressions, `output` in the API.

    It is stored as a JSON object with these keys, without those that are empty, and with the other values that the
    action returned, such as the `status` of an HTTP response.
    """

    body: Any = None
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    error: dict[str, Any] | None = None
    """Set if the step failed and the flow went on: `code, message, step, retryable`."""


class Parent(msgspec.Struct, frozen=True):
    """The execution that started this one, and the step that did it."""

    execution_id: str
    flow_id: str
    path: str
    step_id: str
    depth: int
    """The number of executions above: 1 if the parent has none itself."""
    waits_at: str | None = None
    """The path of the step that waits for the end; None if it doesn't wait."""


class Arrival(msgspec.Struct, frozen=True):
    """The arrival of the message."""

    use: str
    """The trigger's name."""
    method: str | None = None
    path: str = ""
    """The part of the URL after the flow's id."""
    query: dict[str, Any] = {}
    received_at: datetime | None = None
    verified_by: str | None = None
    client: str | None = None
    """The address of the sender, in front of the proxies that the server trusts."""
    scheme_id: str | None = None
    """The provider's own id of the message."""
    parent: Parent | None = None
    """The execution that sent the message, if it came from another flow."""
    replay_of: str | None = None
    """The execution that this one replays."""


_MAX_KEY: Final = 200
MAX_TAGS: Final = 10
MAX_TAG: Final = 100
"""The most characters of a tag; a longer one is cut off."""


class Envelope(msgspec.Struct, frozen=True):
    """An accepted message on its way to its flow. Its execution has the same id."""

    execution_id: str
    flow_id: str
    message: Message
    arrival: Arrival
    accepted_at: datetime
    dedupe_key: str | None = None
    dedupe_until: datetime | None = None
    order_key: str | None = None
    """Executions of the flow with the same key run one at a time, in the order in which they were accepted."""
    order_holds: bool = False
    """A failed execution holds the key until it is retried or releases it."""
    body_json: bytes | None = None
    """The body as JSON text if that is at hand (as received), so that it isn't encoded again. A text needs none."""
    raw: bytes | None = None
    """The body's bytes as received, if they are neither `body_json` nor those of an attachment."""
    raw_headers: tuple[tuple[str, str], ...] = ()
    """The headers as received, with secrets masked."""
    exact: bool = False
    """Fractions in its body are Decimals."""
    tags: dict[str, str] = {}
    """Values by which people find its execution."""
    hidden: tuple[str, ...] = ()
    """Texts that no view may show, besides those that its flow redacts; they are stored only encrypted."""
    encrypted: bytes | None = None
    """The message before something in it was masked, encrypted with the data key."""
    data_key: bytes | None = None
    """The execution's data key, encrypted by the vault. None if nothing is encrypted, or if the key is erased."""


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    body: Any
    """Bytes of JSON, or a text: see `stored_body`. msgspec has no type for the two."""
    headers: dict[str, str]
    attachments: tuple[Attachment, ...]
    arrival: Arrival
    raw: bytes | None
    raw_headers: tuple[tuple[str, str], ...]
    exact: bool = False
    encrypted: bytes | None = None
    tags: dict[str, str] = {}


class PayloadHead(msgspec.Struct, frozen=True, array_like=True):
    """The parts of a packed message that lists show; what they don't show isn't decoded."""

    body: msgspec.Raw
    headers: msgspec.Raw
    attachments: msgspec.Raw
    arrival: Arrival
    raw: msgspec.Raw
    raw_headers: msgspec.Raw
    exact: bool = False
    encrypted: msgspec.Raw = msgspec.Raw()
    tags: dict[str, str] = {}


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Payload)
_unpack_head = msgspec.msgpack.Decoder(PayloadHead)
_decode_exact = reader(Any, exact=True).decode


def json_to_store(body: Any) -> bytes | None:
    """Return the JSON with which a body is stored; None for a text, which is stored as it is.

    The JSON of a text can be six times as long, and takes as much longer to write and to read.
    """
    return None if type(body) is str else encode(body)


def stored_body(envelope: Envelope) -> bytes | str:
    """Return the body as it is stored: its JSON, or a text as it is."""
    if envelope.body_json is not None:
        return envelope.body_json
    body: Any = envelope.message.body
    return body if type(body) is str else encode(body)


def read_stored_body(stored: bytes | str, *, exact: bool) -> tuple[Any, bytes | None]:
    """Return a stored body, and its JSON if it was stored as JSON."""
    if isinstance(stored, str):
        return stored, None
    return _decode_exact(stored) if exact else decode(stored), stored


def pack(envelope: Envelope) -> bytes:
    """Encode the part of an envelope that a store keeps as one opaque value."""
    message = envelope.message
    return _pack.encode(
        _Payload(
            body=stored_body(envelope),
            headers=message.headers,
            attachments=message.attachments,
            arrival=envelope.arrival,
            raw=envelope.raw,
            raw_headers=envelope.raw_headers,
            exact=envelope.exact,
            encrypted=envelope.encrypted,
            tags=envelope.tags,
        )
    )


def unpack(
    payload: bytes,
    *,
    execution_id: str,
    flow_id: str,
    accepted_at: datetime,
    dedupe_key: str | None = None,
    dedupe_until: datetime | None = None,
    order_key: str | None = None,
    order_holds: bool = False,
    data_key: bytes | None = None,
) -> Envelope:
    """Decode an envelope that `pack` encoded."""
    kept = _unpack.decode(payload)
    body, json = read_stored_body(kept.body, exact=kept.exact)
    return Envelope(
        execution_id=execution_id,
        flow_id=flow_id,
        message=Message(body, kept.headers, kept.attachments),
        arrival=kept.arrival,
        accepted_at=accepted_at,
        dedupe_key=dedupe_key,
        dedupe_until=dedupe_until,
        order_key=order_key,
        order_holds=order_holds,
        body_json=json,
        raw=kept.raw,
        raw_headers=kept.raw_headers,
        exact=kept.exact,
        tags=kept.tags,
        encrypted=kept.encrypted,
        data_key=data_key,
    )


def without_body(payload: bytes) -> bytes:
    """Return a packed message whose body is null, without decoding the body."""
    return _pack.encode(msgspec.structs.replace(_unpack.decode(payload), body=b"null", raw=None))


def has_body(payload: bytes) -> bool:
    """Return true if a packed message has a body other than null."""
    body: bytes | str = _unpack.decode(payload).body
    return body != b"null"


def with_numbers(envelope: Envelope, *, exact: bool) -> Envelope:
    """Convert the numbers of a message for its flow, whose `numbers` may have changed since the message was accepted.

    For exact numbers, fractions get the digits of the received text if that is stored.
    """
    if envelope.exact is exact:
        return envelope
    message = envelope.message
    if exact:
        try:
            body = decode(envelope.body_json or b"", exact=True)
        except ValueError:
            # It wasn't received as JSON, or has numbers with too many digits.
            body = to_decimal(message.body)
    else:
        body = to_binary64(message.body)
    return msgspec.structs.replace(envelope, message=msgspec.structs.replace(message, body=body), exact=exact)


def head_of(payload: bytes) -> PayloadHead:
    """Decode the arrival and the tags of a packed message, and nothing else."""
    return _unpack_head.decode(payload)


def shortened_key(key: str) -> str:
    """The key, hashed if it is longer than 200 characters or contains NUL, which some databases reject."""
    if len(key) <= _MAX_KEY and "\0" not in key:
        return key
    return "h:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def search_terms(envelope: Envelope) -> dict[str, str]:
    """Return the tags by which the execution of a message is found; that without a name is its order key."""
    key = envelope.order_key
    return envelope.tags if key is None else {**envelope.tags, "": key if key.startswith("h:") else key[2:]}


def order_key_term(value: str) -> str:
    """Return an order key as `search_terms` has it. Long keys are known by their hash alone."""
    key = shortened_key(f"s:{value}")
    return key if key.startswith("h:") else value


class CallerReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reply to the caller: an action returns it, and the journal records it."""

    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    """A JSON value; a text is sent as it is."""
    attachment: Attachment | None = None
    """A file of the message, in place of a body."""
    delivered: bool = False
    """True if a caller was waiting for it."""


def is_heavy_message(envelope: Envelope, beside: int = 0) -> bool:
    """Return True if a message is so large that masking or decoding it takes milliseconds.

    `beside`: the stored bytes that are read with it.
    """
    text = envelope.body_json or b""
    stored = len(text) + len(envelope.encrypted or b"") + len(envelope.raw or b"")
    if stored + beside > OFF_THE_LOOP:
        return True
    # A short text can't stand for so many values that they need to be counted.
    return not 0 < len(text) <= MANY and is_heavy_value(envelope.message.body)
