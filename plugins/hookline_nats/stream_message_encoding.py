"""Messages of the stream: an envelope, or a reference to the blob that has it.

The subject has the flow, and tells whether order counts. The headers have what is needed without decoding the envelope:
the id of its execution, and the end of the window of its dedupe key.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from hookline.api_storage import Envelope, pack, unpack

LARGEST: Final = 256 * 1024
"""The most bytes of an envelope in the stream; a larger one is in the blob store."""

MESSAGE_ID: Final = "Nats-Msg-Id"
"""By it, the server recognizes a message that is published twice."""
EXECUTION: Final = "Hookline-Execution-Id"
WINDOW: Final = "Hookline-Dedupe-Until"
BLOB: Final = "Hookline-Blob"


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """An envelope in the stream, or in a blob. New fields come last, with a default."""

    execution_id: str
    flow_id: str
    accepted_at: datetime
    dedupe_key: str | None
    dedupe_until: datetime | None
    order_key: str | None
    order_holds: bool
    data_key: bytes | None
    payload: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


def encode(envelope: Envelope) -> bytes:
    """Encode an envelope."""
    return _encode(
        _Kept(
            envelope.execution_id,
            envelope.flow_id,
            envelope.accepted_at,
            envelope.dedupe_key,
            envelope.dedupe_until,
            envelope.order_key,
            envelope.order_holds,
            envelope.data_key,
            pack(envelope),
        )
    )


def decode(data: bytes) -> Envelope:
    """Decode an envelope. Raises ValueError."""
    kept = _decode(data)
    return unpack(
        kept.payload,
        execution_id=kept.execution_id,
        flow_id=kept.flow_id,
        accepted_at=kept.accepted_at,
        dedupe_key=kept.dedupe_key,
        dedupe_until=kept.dedupe_until,
        order_key=kept.order_key,
        order_holds=kept.order_holds,
        data_key=kept.data_key,
    )


def message_id(envelope: Envelope, *, new: bool) -> str:
    """The id of a message: its flow and its dedupe key; or its execution, if it has no key or is known to be new."""
    if envelope.dedupe_key is None or new:
        return envelope.execution_id
    return f"{envelope.flow_id}:{hashlib.sha256(envelope.dedupe_key.encode()).hexdigest()}"


def headers(envelope: Envelope, *, new: bool, blob_id: str | None) -> dict[str, str]:
    """The headers of a message."""
    made = {MESSAGE_ID: message_id(envelope, new=new), EXECUTION: envelope.execution_id}
    if envelope.dedupe_until is not None:
        made[WINDOW] = envelope.dedupe_until.astimezone(UTC).isoformat()
    if blob_id is not None:
        made[BLOB] = blob_id
    return made


def is_open(given: Mapping[str, str], at: datetime) -> bool:
    """True if the window of a message's dedupe key is open at a time."""
    until = given.get(WINDOW)
    return until is not None and at < datetime.fromisoformat(until)
