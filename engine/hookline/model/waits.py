"""Callbacks of waiting steps: a call to the step's URL, or the end of a flow that the step started."""

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
        """Return the request as a message, for a flow with or without exact numbers."""
        return Message(decode(bytes(self.body), exact=exact), self.headers, self.attachments)


class FlowEnded(msgspec.Struct, frozen=True, tag="flow_ended", omit_defaults=True):
    """The flow that the step started has ended."""

    execution_id: str
    outcome: Outcome
    body: msgspec.Raw = msgspec.Raw(b"null")
    """JSON of its last body; null if it failed."""
    attachments: tuple[Attachment, ...] = ()
    error: ErrorInfo | None = None


class EncryptedCallback(msgspec.Struct, frozen=True, tag="encrypted"):
    """A call, or the end of a flow, that may hold redacted values."""

    encrypted: bytes
    data_key: bytes
    """The callback's own data key, encrypted by the vault."""


Callback: TypeAlias = Call | FlowEnded | EncryptedCallback

_decoder: Final = msgspec.json.Decoder(Callback)
_encoder: Final = msgspec.json.Encoder()


def pack_callback(callback: Callback) -> bytes:
    """Encode a callback for the store."""
    return _encoder.encode(callback)


def unpack_callback(payload: bytes) -> Callback:
    """Decode a callback that `pack_callback` encoded."""
    callback: Callback = _decoder.decode(payload)
    return callback


def raw_json(value: Any) -> msgspec.Raw:
    """A JSON value in a callback."""
    return msgspec.Raw(encode(value))
