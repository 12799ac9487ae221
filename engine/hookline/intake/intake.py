"""Accepting messages: is there such a flow, may it take one more, and is it durable?"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from hookline.catalog.flow_states import state_in_file
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.envelopes import manual_envelope, with_order_key
from hookline.intake.limits import DrainRate, RateLimit
from hookline.intake.queue_depth import LineLengths
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import CannotTake, FlowInvalid, FlowNotFound, FlowUnknown, StoreError, TooMany
from hookline.kernel.json import is_large
from hookline.kernel.time import Clock
from hookline.model.flow import FlowState
from hookline.model.message import Envelope, Message
from hookline.plugin_host.offload import Offloader
from hookline.secrets.redaction import Sealing
from hookline.storage.changes import Accept, Accepted, Change, Duplicate
from hookline.storage.queue import Queue
from hookline.storage.store import Store
from hookline.telemetry.events import Events
from hookline.telemetry.metrics import Metrics

#: Bytes of a body in which looking for what is redacted takes long.
_LARGE: Final = 64 * 1024
#: Seconds after which a sender may try again, where nothing better is known.
RETRY_AFTER: Final = 30.0
_log: Final = structlog.get_logger("hookline.runtime")


class Intake:
    """The door: whatever starts executions hands its messages in here."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        clock: Clock,
        metrics: Metrics,
        current: Callable[[str], CompiledFlow],
        max_backlog: int,
        max_backlog_total: int,
        state_of: Callable[[CompiledFlow], FlowState] = state_in_file,
        events: Events | None = None,
        sealing: Sealing | None = None,
    ) -> None:
        """`current` gives a flow's current version; raises FlowNotFound, and FlowInvalid where it can't run."""
        self._state_of = state_of
        self._events = events
        self._sealing = sealing
        self._offloader = Offloader()
        self._store = store
        self._queue = queue
        self._clock = clock
        self._metrics = metrics
        self._current = current
        self._max_backlog = max_backlog
        self._max_backlog_total = max_backlog_total
        self._queued: dict[str, int] = {}
        self._total = 0
        self._drains: dict[str, DrainRate] = {}
        self._drain = DrainRate(clock.monotonic())
        self._lines = LineLengths(store, clock)
        self._rates: dict[str, tuple[str, RateLimit]] = {}
        self.full: Callable[[], str | None] = lambda: None
        """Why nothing more can be stored, where that is so."""
        self.open = False
        """Whether messages are taken: not before the engine has started, and no more once it stops."""

    def flow(self, flow_id: str) -> CompiledFlow:
        """The version of a flow that a message would run on.

        Raises FlowUnknown where there is none or it is stopped, and CannotTake where it can't take messages now.
        """
        if not self.open:
            raise CannotTake("the server is starting or stopping", retry_after=5)
        if self.full() is not None:
            raise CannotTake("there is no room for more messages now", retry_after=60, flow_id=flow_id)
        try:
            flow = self._current(flow_id)
        except FlowNotFound as error:
            raise FlowUnknown(f"no flow {flow_id!r} takes messages here") from error
        except FlowInvalid as error:
            raise CannotTake(
                f"flow {flow_id!r} can't run now; the server's log says why", retry_after=60, flow_id=flow_id
            ) from error
        if self.is_stopped(flow):
            raise FlowUnknown(f"no flow {flow_id!r} takes messages here", flow_id=flow_id, reason="the flow is stopped")
        return flow

    def is_stopped(self, flow: CompiledFlow) -> bool:
        """Whether a flow takes nothing, for now."""
        return self._state_of(flow) == "stopped"

    async def accept(self, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Make a message durable.

        Raises SchemaViolation where it has no order key and the flow wants one, TooMany over the flow's rate or a
        backlog's limit, and CannotTake.
        """
        if not self.open:
            raise CannotTake("the server is stopping", retry_after=5)
        envelope = with_order_key(flow, envelope)
        large = flow.redaction is not None and (
            len(envelope.body_json or envelope.raw or b"") > _LARGE or is_large(envelope.message.body)
        )
        envelope = await self._offloader.run(partial(self.sealed, flow, envelope), large=large)
        rate = self._rate(flow)
        try:
            rejection = await self._line_is_full(flow, envelope.order_key) or self._rejection(flow, rate)
            if rejection is not None:
                # A sender that repeats itself is told so, however busy the flow is.
                known = await self._known(envelope)
                if known is None:
                    raise rejection
                return known
            # Counted before anybody else is asked about; and it may be stored although the sender hangs up meanwhile.
            self._reserve(envelope, rate)
            return await shielded(self._put(envelope, rate))
        except StoreError as error:
            # The sender only learns that it may try again; why it has to, the operator reads here.
            _log.error("a message can't be stored", flow_id=flow.id, error=error.message)
            raise CannotTake("the message can't be stored now", retry_after=RETRY_AFTER) from error

    async def start(
        self, flow: CompiledFlow, message: Message, *, execution_id: str, by: str, dedupe_key: str | None = None
    ) -> Accepted | Duplicate:
        """Accept a message with which an operator starts a flow; `by` names what authorized the operator.

        A message with the same `dedupe_key` starts nothing within 7 days. Raises SchemaViolation, and the errors of
        `accept`.
        """
        flow.check_body(message.body)
        envelope = manual_envelope(
            flow,
            message,
            execution_id=execution_id,
            now=self._clock.now(),
            verified_by=by,
            dedupe_key=dedupe_key,
        )
        return await self.accept(flow, envelope)

    def _reserve(self, envelope: Envelope, rate: RateLimit | None) -> None:
        if rate is not None:
            rate.spend(self._clock.monotonic())
        self._count(envelope.flow_id, 1)
        if envelope.order_key is not None:
            self._lines.join(envelope.flow_id, envelope.order_key)

    async def _put(self, envelope: Envelope, rate: RateLimit | None) -> Accepted | Duplicate:
        """Store what is counted already; what isn't stored after all is no longer counted."""
        result: Accepted | Duplicate | None = None
        try:
            pressed = rate is not None and rate.pressed(self._clock.monotonic())
            result = await self._queue.put(envelope, patient=pressed)
        finally:
            self._settle(envelope, rate, result)
        return result

    def _settle(self, envelope: Envelope, rate: RateLimit | None, result: object) -> None:
        """Count what became of a message: `result` is neither Accepted nor Duplicate where it couldn't be stored."""
        flow_id, stored = envelope.flow_id, isinstance(result, Accepted)
        if envelope.order_key is not None:
            self._lines.joined(flow_id, envelope.order_key, stored=stored)
        if stored:
            self._metrics.accepted(flow_id)
            if self._events is not None and self._events.listening:
                self._events.accepted(flow_id, envelope.execution_id)
            return
        self._count(flow_id, -1)
        if rate is not None:
            rate.give_back()
        if isinstance(result, Duplicate):
            self._metrics.duplicate(flow_id)

    def room_in(self, flow: CompiledFlow, count: int) -> float:
        """Seconds after which so many messages of the flow's own trigger may be tried; 0 where they may come now.

        Where more come at once than the flow has room for at all, they come when nothing else is queued.
        """
        if self.full() is not None:
            return RETRY_AFTER
        now = self._clock.monotonic()
        rate = self._rate(flow)
        if rate is not None and (wait := rate.wait(now)) > 0:
            return wait
        queued, limit = self.backlog(flow.id), self._limit(flow)
        if queued and queued + count > limit:
            return self._drain_of(flow.id, now).wait(queued, limit, now)
        if self._total and self._total + count > self._max_backlog_total:
            return self._drain.wait(self._total, self._max_backlog_total, now)
        return 0.0

    def room(self, flow: CompiledFlow, count: int) -> int:
        """How many of so many messages of the flow's own trigger may come now; those of a broker wait there."""
        if self.full() is not None:
            return 0
        rate = self._rate(flow)
        if rate is not None:
            count = min(count, rate.free(self._clock.monotonic()))
        count = min(count, self._limit(flow) - self.backlog(flow.id), self._max_backlog_total - self._total)
        return max(0, count)

    async def take_in(self, flow: CompiledFlow, envelopes: Sequence[Envelope], progress: Change | None = None) -> int:
        """Store messages of a flow's source together with its progress; return the number of new messages.

        The envelopes have their order keys, and no two have the same execution id. Nothing is rejected for rates or
        backlogs: the caller asks `room_in` first. Raises StoreError; then the call may be repeated, and messages that
        were stored after all are duplicates.
        """
        return await shielded(self._take_in(flow, envelopes, progress))

    async def _take_in(self, flow: CompiledFlow, envelopes: Sequence[Envelope], progress: Change | None) -> int:
        rate = self._rate(flow)
        envelopes = [self.sealed(flow, envelope) for envelope in envelopes]
        for envelope in envelopes:
            self._reserve(envelope, rate)
        results: Sequence[object] = [None] * len(envelopes)
        try:
            results = await self._store.commit([*map(Accept, envelopes), *([] if progress is None else [progress])])
        finally:
            for envelope, result in zip(envelopes, results, strict=False):
                self._settle(envelope, rate, result)
        return sum(isinstance(result, Accepted) for result in results)

    def emit(self, flow: CompiledFlow, envelope: Envelope) -> Accept:
        """The change that accepts a message of the engine's own, which is committed with what it comes from.

        It counts as queued from now on, and is never rejected for how many there are: nobody could be told to come
        again. Raises SchemaViolation where it has no order key and the flow wants one.
        """
        envelope = self.sealed(flow, with_order_key(flow, envelope))
        self._count(flow.id, 1)
        self._metrics.accepted(flow.id)
        return Accept(envelope)

    def sealed(self, flow: CompiledFlow, envelope: Envelope) -> Envelope:
        """A message as its flow lets it be stored: what the flow redacts is masked, and encrypted beside it."""
        return envelope if self._sealing is None else self._sealing.sealed(flow.redaction, envelope)

    def backlog(self, flow_id: str) -> int:
        """How many executions of a flow are queued."""
        return self._queued.get(flow_id, 0)

    def queued(self, flow_id: str, count: int) -> None:
        """Set how many executions of a flow are queued: known from the store when the engine starts."""
        self._count(flow_id, count - self.backlog(flow_id))

    def started(self, flow_id: str) -> None:
        """One of them has left the queue."""
        self._count(flow_id, -1)
        now = self._clock.monotonic()
        self._drain.left(now)
        self._drain_of(flow_id, now).left(now)

    def _count(self, flow_id: str, change: int) -> None:
        before = self.backlog(flow_id)
        after = self._queued[flow_id] = max(0, before + change)
        self._total += after - before

    def _drain_of(self, flow_id: str, now: float) -> DrainRate:
        drain = self._drains.get(flow_id)
        if drain is None:
            drain = self._drains[flow_id] = DrainRate(now)
        return drain

    def _rate(self, flow: CompiledFlow) -> RateLimit | None:
        text = flow.document.rate
        if text is None:
            return None
        known = self._rates.get(flow.id)
        if known is None or known[0] != text:
            known = self._rates[flow.id] = (text, RateLimit(text))
        return known[1]

    def _limit(self, flow: CompiledFlow) -> int:
        return flow.document.max_queued or self._max_backlog

    async def _line_is_full(self, flow: CompiledFlow, order_key: str | None) -> TooMany | None:
        """Reject the key that has as many executions in its line as the flow has room left.

        So no key takes the last of it from the others: one that is held up takes half the room at most, and each
        further one half of the rest. Raises StoreError.
        """
        if order_key is None:
            return None
        queued = self.backlog(flow.id)
        room = self._limit(flow) - queued
        if not 0 < room <= queued or not await self._lines.reaches(flow.id, order_key, room):
            return None
        return TooMany(
            f"flow {flow.id!r} has as many messages of this order key queued as it has room left for others",
            retry_after=RETRY_AFTER,
        )

    def _rejection(self, flow: CompiledFlow, rate: RateLimit | None) -> TooMany | None:
        now = self._clock.monotonic()
        if rate is not None and (wait := rate.wait(now)) > 0:
            return TooMany(f"flow {flow.id!r} takes {flow.document.rate}", retry_after=wait)
        limit = self._limit(flow)
        if (queued := self.backlog(flow.id)) >= limit:
            wait = self._drain_of(flow.id, now).wait(queued, limit, now)
            return TooMany(f"flow {flow.id!r} has {limit} messages queued", retry_after=wait)
        if self._total >= self._max_backlog_total:
            wait = self._drain.wait(self._total, self._max_backlog_total, now)
            return TooMany("the server has as many messages queued as it takes", retry_after=wait)
        return None

    async def _known(self, envelope: Envelope) -> Duplicate | None:
        if envelope.dedupe_key is None:
            return None
        first = await self._store.accepted_as(envelope.flow_id, envelope.dedupe_key, self._clock.now())
        if first is None:
            return None
        self._metrics.duplicate(envelope.flow_id)
        return Duplicate(first)
