"""What comes for a step that waits: a call to its URL, or the end of a flow that it started."""

from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from hookline.kernel.json import decode, encode
from hookline.model.execution import ErrorInfo, Outcome
from hookline.model.message import Attachment, Message


class Call(msgspec.Struct, frozen=True, tag="call", omit_defaults=True):
    """A request to the step's URL."""

    body: msgspec.Raw
    """JSON."""
    headers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    method: str = "POST"
    query: dict[str, Any] = {}
    received_at: datetime | None = None
    verified_by: str | None = None
    client: str | None = None

    def message(self, *, exact: bool) -> Message:
        """The request as a message, for a flow whose numbers are exact or aren't."""
        return Message(decode(bytes(self.body), exact=exact), self.headers, self.attachments)


class FlowEnded(msgspec.Struct, frozen=True, tag="flow_ended", omit_defaults=True):
    """The flow that the step started has ended."""

    execution_id: str
    outcome: Outcome
    body: msgspec.Raw = msgspec.Raw(b"null")
    """JSON: its last body; null where it failed."""
    attachments: tuple[Attachment, ...] = ()
    error: ErrorInfo | None = None


# The stored form keeps the names that it had first.
class EncryptedCallback(
    msgspec.Struct, frozen=True, tag="sealed", rename={"encrypted": "sealed", "data_key": "seal_key"}
):
    """A call, or the end of a flow, that may hold redacted values."""

    encrypted: bytes
    data_key: bytes
    """The callback's own data key, encrypted by the vault."""


Callback: TypeAlias = Call | FlowEnded | EncryptedCallback

_decoder: Final = msgspec.json.Decoder(Callback)
_encoder: Final = msgspec.json.Encoder()


def pack_callback(callback: Callback) -> bytes:
    """A callback as a store keeps it."""
    return _encoder.encode(callback)


def unpack_callback(payload: bytes) -> Callback:
    """What `pack_callback` packed."""
    callback: Callback = _decoder.decode(payload)
    return callback


def raw_json(value: Any) -> msgspec.Raw:
    """A JSON value as it stands in a callback."""
    return msgspec.Raw(encode(value))
