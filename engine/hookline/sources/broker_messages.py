"""The messages that a broker delivers: buffered, decoded, and turned into envelopes or recorded rejections."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from hookline.bodies.json import read_json
from hookline.bodies.media_types import OCTET_STREAM, Media, read_media
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text
from hookline.bodies.urlencoded import read_form
from hookline.bodies.xml import read_xml
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import broker_envelope
from hookline.kernel.errors import Malformed, RequestRejected, StoreError, TooLarge
from hookline.kernel.json import encode, is_heavy, is_heavy_value
from hookline.model.message import Attachment, Envelope, Message
from hookline.model.sources import ConsumeSettings
from hookline.plugin_host.large_value_work import Offloader
from hookline.plugin_host.result_conversion import NotJson, to_json
from hookline.sdk.triggers import BrokerMessage, ConsumeTrigger, Payload
from hookline.sources.source import SourceServices, plain_attachments, plain_headers, plain_text
from hookline.storage.blobs import Blobs

_Mode: TypeAlias = Literal["auto", "json", "text", "raw"]


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedMessage:
    """A message that is not acknowledged yet."""

    message: BrokerMessage
    received_at: datetime

    @property
    def redelivered(self) -> bool:
        """True if the broker delivers the message again unless it is acknowledged."""
        return self.message.accepted is not None


class MessageBuffer:
    """A bounded buffer of messages, in their order, between the function that receives them and their storing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._messages: deque[ReceivedMessage] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self.closed = False
        """True once no further messages come."""

    async def put(self, received: ReceivedMessage) -> None:
        """Add a message, as soon as there is room."""
        while len(self._messages) >= self._size:
            self._room.clear()
            await self._room.wait()
        if not self.closed or not received.redelivered:
            self._messages.append(received)
            self._filled.set()

    async def wait(self) -> list[ReceivedMessage]:
        """Return all buffered messages once there are any; empty once closed. They stay until `remove`."""
        while not self._messages and not self.closed:
            self._filled.clear()
            await self._filled.wait()
        return list(self._messages)

    def remove(self, received: Collection[ReceivedMessage]) -> None:
        """Remove the first messages, which are stored or rejected."""
        removed = set(received)
        while self._messages and self._messages[0] in removed:
            self._messages.popleft()
        self._room.set()

    def close(self) -> None:
        """Accept no further messages, and drop those that the broker delivers again."""
        self.closed = True
        self._messages = deque(one for one in self._messages if not one.redelivered)
        self._filled.set()
        self._room.set()


@dataclass(frozen=True, slots=True)
class DecodedMessage:
    """A decoded message: its envelope, or the reason why it is rejected."""

    received: ReceivedMessage
    envelope: Envelope | None
    rejected: str | None = None

    @property
    def has_files(self) -> bool:
        """True if the message has files, which nothing refers to before the commit."""
        return self.envelope is not None and bool(self.envelope.message.attachments)


class PayloadReader(msgspec.Struct, frozen=True):
    """Reads the payloads that a broker delivers, as the bodies of requests are read."""

    blobs: Blobs
    offloader: Offloader
    mode: _Mode
    exact: bool
    """True to read fractions in JSON as Decimals."""
    max_body: int

    async def read(self, payload: Payload) -> Received:
        """Read a payload. Raises Malformed, TooLarge, and StoreError if its file can't be stored."""
        media = read_media(payload.content_type)
        inline = self._inline(media, payload.data)
        if inline is None:
            return await self._file(payload, media.type)
        size = len(payload.data)
        if size > self.max_body:
            raise TooLarge(f"the body is larger than {self.max_body} bytes")
        received = await self.offloader.run(inline, large=is_heavy(payload.data))
        return received if received is not None else await self._file(payload, OCTET_STREAM)

    def _inline(self, media: Media, data: bytes) -> Callable[[], Received | None] | None:
        """Return the function that reads a body. It is None for a file, and so is its result."""
        charset, exact = media.charset, self.exact
        kind = media.kind if self.mode == "auto" else self.mode
        match kind:
            case "json":
                return lambda: read_json(data, charset, exact=exact)
            case "text":
                return lambda: Received(decode_text(data, charset), raw=data)
            case "xml":
                return lambda: read_xml(data, charset, ())
            case "properties":
                return lambda: read_form(data, charset)
            case "file" if self.mode == "auto" and not media.said and len(data) <= self.max_body:
                return lambda: _guessed(data, exact)
            case _:
                return None

    async def _file(self, payload: Payload, media_type: str) -> Received:
        writer = await self.blobs.create()
        try:
            await writer.write(payload.data)
            blob = await writer.commit()
        finally:
            await writer.abort()
        kept = Attachment(blob.id, "body", payload.filename, media_type, blob.size, blob.sha256)
        return Received(attachments=plain_attachments((kept,)))


class MessageDecoder:
    """Decodes the messages of one flow's broker."""

    def __init__(
        self, flow: CompiledFlow, trigger: ConsumeTrigger, settings: ConsumeSettings, services: SourceServices
    ) -> None:
        self._flow = flow
        self._trigger = trigger
        self._settings = settings
        self._services = services
        self._last: datetime | None = None
        engine = services.engine
        self._reader = PayloadReader(engine.blobs, engine.offloader, settings.body, flow.exact, settings.max_body)

    async def decode(self, message: ReceivedMessage) -> DecodedMessage:
        """Decode a message, and record it if it is rejected. Raises StoreError if its file can't be stored."""
        flow, services = self._flow, self._services
        received = Received()
        try:
            received = await self._received(message)
            envelope = self._envelope(message, received)
            return DecodedMessage(message, await services.checked(flow, envelope))
        except RequestRejected as rejected:
            body = message.message.body
            data = body.data if isinstance(body, Payload) and isinstance(body.data, bytes) else received.json or b""
            keep = self._settings.keep_rejected_bodies
            name = message.message.id
            key = plain_text(name) if isinstance(name, str) else None
            reason = services.reject(flow, rejected, key, data, keep=keep)
        await self._drop_files(received)
        return DecodedMessage(message, None, reason)

    def envelopes(self, messages: Sequence[DecodedMessage]) -> list[Envelope]:
        """Return the envelopes of the messages that are not rejected; the first of those with equal dedupe keys."""
        found: dict[str, Envelope] = {}
        for one in messages:
            if one.envelope is not None:
                found.setdefault(one.envelope.dedupe_key or f"\n{one.envelope.execution_id}", one.envelope)
        return list(found.values())

    async def _received(self, message: ReceivedMessage) -> Received:
        body = message.message.body
        if isinstance(body, Payload):
            if not isinstance(body.data, bytes):
                raise self._defect(f"the data of a Payload is {type(body.data).__name__}, not bytes")
            return await self._reader.read(body)

        def read() -> Received:
            value = to_json(body, "the body", exact=self._flow.exact)
            return Received(value, json=encode(value))

        try:
            return await self._reader.offloader.run(read, large=is_heavy_value(body))
        except UnicodeEncodeError as error:
            raise self._defect(f"a text in the body is no Unicode: {error}") from error
        except NotJson as error:
            raise self._defect(str(error)) from error

    def _envelope(self, message: ReceivedMessage, received: Received) -> Envelope:
        delivered, flow = message.message, self._flow
        try:
            headers = plain_headers(delivered.headers)
            attachments = (*plain_attachments(delivered.attachments), *received.attachments)
        except (AttributeError, TypeError) as error:
            raise self._defect(f"the headers or attachments of a BrokerMessage are invalid: {error}") from error
        if delivered.id is not None and not isinstance(delivered.id, str):
            raise self._defect(f"the id of a BrokerMessage is {type(delivered.id).__name__}, not text")
        name = plain_text(delivered.id) if delivered.id else None
        return broker_envelope(
            flow,
            Message(received.body, headers, attachments),
            use=self._trigger.name,
            # New ids increase, and executions that were accepted at the same time run in the order of their ids.
            execution_id=self._services.engine.new_id(),
            message_id=name,
            received_at=message.received_at,
            accepted_at=self._accepted_at(),
            dedupe_window=self._settings.dedupe_window,
            body_json=received.json,
            raw=received.raw,
        )

    def _accepted_at(self) -> datetime:
        """Return the time, or the last one if the clock was put back: executions run in the order of these times."""
        now = self._services.engine.clock.now()
        self._last = now if self._last is None else max(now, self._last)
        return self._last

    async def _drop_files(self, received: Received) -> None:
        for attachment in received.attachments:
            try:
                await self._services.engine.blobs.delete(attachment.id)
            except StoreError as error:
                self._services.engine.log.warning("a file can't be deleted", error=error.message)

    def _defect(self, message: str) -> Malformed:
        defect = self._services.engine.plugin_calls.defect("trigger", self._trigger.name, message)
        return Malformed(defect.message)


def _guessed(data: bytes, exact: bool) -> Received | None:
    """Read bytes without a media type as JSON or as text; return None if they are neither."""
    try:
        return read_json(data, exact=exact)
    except (Malformed, TooLarge):
        pass
    # Text has no NUL.
    if b"\0" in data:
        return None
    try:
        return Received(decode_text(data, None), raw=data)
    except Malformed:
        return None
