"""Waiting steps, their pages, and their callbacks: a call to a step's URL, or the end of a flow that a step started."""

from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from hookline.kernel.json import decode, encode
from hookline.model.execution import ErrorInfo, Outcome
from hookline.model.message import Attachment, Message
from hookline.model.webhook import FieldType

CHOICE: Final = "_choice"
"""The value of a form that has the number of the selected choice, from 0; no field has this name."""
MAX_PAGE: Final = 64 * 1024
"""Bytes of the JSON of a page."""


class WaitStatus(msgspec.Struct, frozen=True):
    """The progress of a step's wait. A step that neither waits nor has ended its wait has not begun to wait."""

    waits: bool
    called: bool = False
    """A callback has come."""
    timed_out: bool = False
    page: bytes | None = None
    """The page that a person sees at the step's URL, while it waits; encrypted if the flow redacts anything."""


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


class FormField(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field with its evaluated texts."""

    name: str
    type: FieldType
    label: str
    help: str = ""
    required: bool = False
    default: msgspec.Raw = msgspec.Raw(b"null")
    """JSON."""
    values: tuple[str, ...] = ()
    min: int | float | None = None
    max: int | float | None = None
    multiline: bool = False
    max_length: int = 10_000


class Choice(msgspec.Struct, frozen=True):
    """A button with its evaluated text."""

    label: str
    body: msgspec.Raw
    """JSON of an object."""


class Page(msgspec.Struct, frozen=True):
    """An evaluated page."""

    title: str
    text: str
    fields: tuple[FormField, ...]
    choices: tuple[Choice, ...]


Callback: TypeAlias = Call | FlowEnded | EncryptedCallback

_decoder: Final = msgspec.json.Decoder(Callback)
_page_decoder: Final = msgspec.json.Decoder(Page)
_encoder: Final = msgspec.json.Encoder()


def pack_callback(callback: Callback) -> bytes:
    """Encode a callback for the store."""
    return _encoder.encode(callback)


def unpack_callback(payload: bytes) -> Callback:
    """Decode a callback that `pack_callback` encoded."""
    callback: Callback = _decoder.decode(payload)
    return callback


def unpack_page(packed: bytes) -> Page:
    """Decode the JSON of a page."""
    return _page_decoder.decode(packed)


def raw_json(value: Any) -> msgspec.Raw:
    """A JSON value in a callback."""
    return msgspec.Raw(encode(value))
