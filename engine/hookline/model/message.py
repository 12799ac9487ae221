"""What travels: messages, their attachments, and the envelope in which one is accepted."""

from datetime import datetime
from typing import Any

import msgspec

from hookline.kernel.json import JsonObject, decode, encode, reader, to_binary64, to_decimal


class Attachment(msgspec.Struct, frozen=True):
    """A file beside the body. Its bytes are in the blob store under `id`."""

    id: str
    name: str
    """The form field's name, or `body` where the request was the file."""
    filename: str | None
    type: str
    """The declared media type."""
    size: int
    sha256: str


class Message(msgspec.Struct, frozen=True):
    """What a step takes and gives. Header names are lower-case."""

    body: Any = None
    """A JSON value."""
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()

    def attachments_like(self, wanted: Any) -> list[Attachment]:
        """Those of its attachments that a step means: by name, or as an expression gave one (`$.attachments[0]`)."""
        if isinstance(wanted, str):
            return [attachment for attachment in self.attachments if attachment.name == wanted]
        given = wanted.get("id") if isinstance(wanted, dict) else None
        return [attachment for attachment in self.attachments if attachment.id == given]


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a finished step gave: `steps.<id>` in expressions, `output` in the API.

    It is kept as a JSON object with these keys, those that hold nothing left out, and beside them what the action
    gave besides a body: the `status` of an HTTP response, say.
    """

    body: Any = None
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    error: dict[str, Any] | None = None
    """Set where the step failed and the flow went on: `code, message, step, retryable`."""


class Parent(msgspec.Struct, frozen=True):
    """The execution that started another, and the step by which it did."""

    execution_id: str
    flow_id: str
    path: str
    step_id: str
    depth: int
    """How many executions stand above: 1 where the parent has none itself."""
    waits_at: str | None = None
    """The path under which the step waits for the end; None where it doesn't."""


class Arrival(msgspec.Struct, frozen=True):
    """How the first message came in."""

    use: str
    """The trigger's name."""
    method: str | None = None
    path: str = ""
    """What follows the flow's id in the URL."""
    query: dict[str, Any] = {}
    received_at: datetime | None = None
    verified_by: str | None = None
    client: str | None = None
    """The address of the sender, behind the proxies that the server trusts."""
    scheme_id: str | None = None
    """The id that the provider itself gave the message."""
    parent: Parent | None = None
    """The execution that gave the message, where it came from none outside."""
    replay_of: str | None = None
    """The execution that this one does again."""


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
    """Executions of the flow with an equal key run one at a time, in the order in which they were accepted."""
    order_holds: bool = False
    """A failure doesn't make way for the next."""
    body_json: bytes | None = None
    """The body as JSON text where that is at hand (as received), so that it is not encoded again."""
    raw: bytes | None = None
    """The body's bytes as received, where they are neither `body_json` nor an attachment's."""
    raw_headers: tuple[tuple[str, str], ...] = ()
    """The headers as received, secrets masked."""
    exact: bool = False
    """Fractions in its body are Decimals."""
    hidden: tuple[str, ...] = ()
    """Texts that no view may show, besides those that its flow redacts; they are stored only encrypted."""
    encrypted: bytes | None = None
    """The message before something in it was masked, encrypted with the data key."""
    data_key: bytes | None = None
    """The execution's data key, encrypted by the vault. None if nothing is encrypted, or if the key is erased."""


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    body: bytes
    headers: dict[str, str]
    attachments: tuple[Attachment, ...]
    arrival: Arrival
    raw: bytes | None
    raw_headers: tuple[tuple[str, str], ...]
    exact: bool = False
    encrypted: bytes | None = None


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Payload)
_decode_exact = reader(Any, exact=True).decode


def pack(envelope: Envelope) -> bytes:
    """The part of an envelope that a store keeps as one opaque value (the rest is columns)."""
    message = envelope.message
    return _pack.encode(
        _Payload(
            body=envelope.body_json if envelope.body_json is not None else encode(message.body),
            headers=message.headers,
            attachments=message.attachments,
            arrival=envelope.arrival,
            raw=envelope.raw,
            raw_headers=envelope.raw_headers,
            exact=envelope.exact,
            encrypted=envelope.encrypted,
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
    """The envelope that `pack` packed."""
    kept = _unpack.decode(payload)
    return Envelope(
        execution_id=execution_id,
        flow_id=flow_id,
        message=Message(_decode_exact(kept.body) if kept.exact else decode(kept.body), kept.headers, kept.attachments),
        arrival=kept.arrival,
        accepted_at=accepted_at,
        dedupe_key=dedupe_key,
        dedupe_until=dedupe_until,
        order_key=order_key,
        order_holds=order_holds,
        body_json=kept.body,
        raw=kept.raw,
        raw_headers=kept.raw_headers,
        exact=kept.exact,
        encrypted=kept.encrypted,
        data_key=data_key,
    )


def with_numbers(envelope: Envelope, *, exact: bool) -> Envelope:
    """The message for a flow whose numbers are exact or aren't, which may have changed since it was accepted.

    Where they are, its fractions have the digits of the text as it came, if that is kept.
    """
    if envelope.exact is exact:
        return envelope
    message = envelope.message
    if exact:
        try:
            body = decode(envelope.body_json or b"", exact=True)
        except ValueError:
            # It didn't come as JSON, or has longer numbers than are exact anywhere.
            body = to_decimal(message.body)
    else:
        body = to_binary64(message.body)
    return msgspec.structs.replace(envelope, message=msgspec.structs.replace(message, body=body), exact=exact)


def arrival_view(payload: bytes) -> JsonObject:
    """How the message of a packed payload came in, for the API."""
    view: JsonObject = msgspec.to_builtins(_unpack.decode(payload).arrival)
    return view


class CallerReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer: what an action returns to give one, and what the journal keeps of it."""

    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    """A JSON value; a text goes out as it is."""
    attachment: Attachment | None = None
    """Instead of a body: a file of the message."""
    delivered: bool = False
    """Whether a caller was waiting for it."""
