"""What a broker's deliveries become: messages, or rejections that are recorded."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from hookline.bodies.text import Received
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.envelopes import broker_envelope, with_order_key
from hookline.kernel.errors import Malformed, RequestRejected, StoreError
from hookline.kernel.json import encode
from hookline.model.message import Attachment, Envelope, Message
from hookline.model.sources import ConsumeSettings
from hookline.plugin_host.results import NotJson, to_json
from hookline.sdk.triggers import BrokerMessage, ConsumeTrigger, Payload
from hookline.sources.payload import PayloadReader
from hookline.sources.source import SourceServices


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A delivery that isn't acknowledged yet."""

    delivery: BrokerMessage
    came_at: datetime

    @property
    def comes_again(self) -> bool:
        """Whether the broker delivers it once more where it is not acknowledged."""
        return self.delivery.accepted is not None


class Inbox:
    """Holds at most so many, in the order in which they came: who brings more waits. One brings, and one takes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: deque[Held] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self.closed = False
        """Nothing comes any more."""

    async def put(self, held: Held) -> None:
        """Bring one, as soon as there is room."""
        while len(self._held) >= self._most:
            self._room.clear()
            await self._room.wait()
        if not self.closed or not held.comes_again:
            self._held.append(held)
            self._some.set()

    async def some(self) -> list[Held]:
        """All that are there, once there are any; none where none come any more. They stay until they are `done`."""
        while not self._held and not self.closed:
            self._some.clear()
            await self._some.wait()
        return list(self._held)

    def done(self, held: Collection[Held]) -> None:
        """The first of them are durable, or rejected."""
        done = set(held)
        while self._held and self._held[0] in done:
            self._held.popleft()
        self._room.set()

    def close(self) -> None:
        """Nothing comes any more, and nothing can be acknowledged: what will come again by itself is let go."""
        self.closed = True
        self._held = deque(held for held in self._held if not held.comes_again)
        self._some.set()
        self._room.set()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivery, read."""

    held: Held
    envelope: Envelope | None
    """None where it is rejected."""
    rejected: str | None = None
    """Why it is."""

    @property
    def holds_files(self) -> bool:
        """Whether it brings files that nothing refers to before the commit."""
        return self.envelope is not None and bool(self.envelope.message.attachments)


class Deliveries:
    """Reads the deliveries of one flow."""

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

    async def read(self, held: Held) -> Delivered:
        """Read a delivery, and record it if it is rejected. Raises StoreError if its file can't be kept."""
        flow, services = self._flow, self._services
        received = Received()
        try:
            received = await self._received(held)
            envelope = self._envelope(held, received)
            flow.check_body(envelope.message.body)
            return Delivered(held, with_order_key(flow, envelope))
        except RequestRejected as rejected:
            body = held.delivery.body
            data = body.data if isinstance(body, Payload) and isinstance(body.data, bytes) else received.json or b""
            keep = self._settings.keep_rejected_bodies
            name = held.delivery.id
            key = name if isinstance(name, str) else None
            reason = services.reject(flow, rejected, key, data, keep=keep)
            services.engine.metrics.rejected(flow.id, rejected.code)
        await self._drop_files(received)
        return Delivered(held, None, reason)

    def new(self, delivered: Sequence[Delivered]) -> list[Envelope]:
        """The messages among them; of two with one key the first."""
        found: dict[str, Envelope] = {}
        for one in delivered:
            if one.envelope is not None:
                found.setdefault(one.envelope.dedupe_key or f"\n{one.envelope.execution_id}", one.envelope)
        return list(found.values())

    async def _received(self, held: Held) -> Received:
        body = held.delivery.body
        if isinstance(body, Payload):
            if not isinstance(body.data, bytes):
                raise self._defect(f"the data of a Payload is {type(body.data).__name__}, and no bytes")
            return await self._reader.read(body)
        try:
            value = to_json(body, "the body", exact=self._flow.exact)
        except NotJson as error:
            raise self._defect(str(error)) from error
        return Received(value, json=encode(value))

    def _envelope(self, held: Held, received: Received) -> Envelope:
        delivery, flow, settings = held.delivery, self._flow, self._settings
        try:
            headers = {_plain(str(name)).lower(): _plain(str(value)) for name, value in delivery.headers.items()}
            attachments = (*delivery.attachments, *received.attachments)
        except (AttributeError, TypeError) as error:
            raise self._defect(f"headers or attachments of a BrokerMessage are none: {error}") from error
        if not all(isinstance(attachment, Attachment) for attachment in attachments):
            raise self._defect("attachments of a BrokerMessage are Attachments")
        if delivery.id is not None and not isinstance(delivery.id, str):
            raise self._defect(f"the id of a BrokerMessage is {type(delivery.id).__name__}, and no text")
        name = _plain(delivery.id) if delivery.id else None
        message = Message(received.body, headers, attachments)
        return broker_envelope(
            flow,
            message,
            use=self._trigger.name,
            # New ids increase, and executions that were accepted at the same time run in the order of their ids.
            execution_id=self._services.engine.new_id(),
            message_id=name,
            received_at=held.came_at,
            accepted_at=self._next(),
            dedupe_window=settings.dedupe_window,
            body_json=received.json,
            raw=received.raw,
        )

    def _next(self) -> datetime:
        """The time, unless the clock was put back: executions run in the order of these."""
        now = self._services.engine.clock.now()
        self._last = now if self._last is None else max(now, self._last)
        return self._last

    async def _drop_files(self, received: Received) -> None:
        for attachment in received.attachments:
            try:
                await self._services.engine.blobs.delete(attachment.id)
            except StoreError as error:
                self._services.engine.log.warning("blob.delete_failed", error=error.message)

    def _defect(self, message: str) -> Malformed:
        plugin = self._services.describe(self._trigger.name)
        return Malformed(f"{self._trigger.name} of {plugin} has a defect: {message}")


def _plain(text: str) -> str:
    """Text without halves of surrogate pairs, which no store takes."""
    return text.encode("utf-8", "replace").decode()
