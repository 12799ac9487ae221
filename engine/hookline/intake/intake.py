"""Accepting messages: finding the flow, applying its limits, and making the message durable."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from hookline.access.audit import About, entry
from hookline.catalog.versions_and_states import state_in_file
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.backlog import Backlog
from hookline.intake.envelope_creation import manual_envelope, with_keys
from hookline.intake.limits import QueueDepth, RateLimit
from hookline.intake.queue_publisher import Publisher
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import (
    FlowInvalid,
    FlowNotFound,
    FlowUnknown,
    ServiceUnavailable,
    StoreError,
    TooManyRequests,
    VersionOutdated,
)
from hookline.kernel.ids import derived_id
from hookline.model.access import Actor, AuditEntry
from hookline.model.flow import ServingState
from hookline.model.message import Envelope, Message, is_heavy_message, json_to_store
from hookline.plugin_host.large_value_work import Offloader
from hookline.secrets.redaction import Redaction
from hookline.storage.change_declarations import Accept, Accepted, Change, Duplicate
from hookline.storage.cluster import Alone, Membership
from hookline.storage.queue import ImmediateStart, Queue, Stored
from hookline.storage.store import Store
from hookline.telemetry.live_events import Events
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.store_problem import StoreProblem

_COUNT_AGAIN: Final = 2.0
"""Seconds between two counts of what is queued, if other nodes accept and run some, too, or the numbers are
uncertain."""
_TRIES: Final = 10
_TRY_AGAIN: Final = 0.3
"""Seconds until a command looks again for parts that other nodes have given."""
RETRY_AFTER: Final = 30.0
"""Seconds after which a sender may try again, if nothing better is known."""
_NOT_CURRENT: Final = "this node was cut off from the database, and is reading the changes that it missed"


class Place(ImmediateStart, Protocol):
    """A place for an execution whose message is being stored."""

    def release(self) -> None:
        """Free the place, unless the execution runs in it."""
        ...


class Places(Protocol):
    """Finds places in which executions may start at once."""

    def place(self, flow: CompiledFlow, execution_id: str) -> Place | None:
        """Take a place for an execution; None if it has to be queued."""
        ...


class _NoPlaces:
    def place(self, flow: CompiledFlow, execution_id: str) -> Place | None:
        return None


NO_PLACES: Final = _NoPlaces()
"""Has every execution queued."""


class Intake:
    """Accepts the messages of requests, sources, operators and other executions."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        clock: Clock,
        metrics: Metrics,
        current: Callable[[str], CompiledFlow],
        backlog: Backlog,
        state_of: Callable[[CompiledFlow], ServingState] = state_in_file,
        events: Events | None = None,
        redaction: Redaction | None = None,
        store_problem: StoreProblem | None = None,
    ) -> None:
        """`current` returns a flow's current version, or raises FlowNotFound or FlowInvalid."""
        self._state_of = state_of
        self._events = events
        self._redaction = redaction
        self._store_problem = store_problem
        self.membership: Membership = Alone()
        """The place of this node among those that accept messages, too."""
        self._offloader = Offloader()
        self._store = store
        self._queue = queue
        self._clock = clock
        self._metrics = metrics
        self._current = current
        self._backlog = backlog
        self._depths = QueueDepth(store, clock)
        self._starting: set[asyncio.Task[Accepted | Duplicate]] = set()
        self.places: Places = NO_PLACES
        """Finds places for executions that may start at once."""
        self.publisher: Publisher | None = None
        """Takes the messages of flows that answer at once, in front of the store."""
        self.full: str | None = None
        self.full_flows: Mapping[str, str] = {}
        """The reasons why nothing more can be stored (`full`), and why nothing of single flows can."""
        self.open = False
        """True while messages are accepted: after the engine has started, and until it stops."""

    @property
    def limits(self) -> SharedLimits:
        """The limits that this node shares with others."""
        return self._backlog.limits

    def set_full(self, reason: str | None, flows: Mapping[str, str]) -> None:
        """Accept nothing more for a reason, or nothing of single flows for theirs, or accept messages again."""
        self.full, self.full_flows = reason, flows

    def _is_full(self, flow_id: str) -> bool:
        return self.full is not None or flow_id in self.full_flows

    def flow(self, flow_id: str) -> CompiledFlow:
        """Return the version of a flow that accepts messages now.

        Raises FlowUnknown if there is none or the flow is stopped, and ServiceUnavailable if it can't accept messages
        now.
        """
        if not self.open:
            raise ServiceUnavailable("the server is starting or stopping", retry_after=5)
        if self._is_full(flow_id):
            raise ServiceUnavailable("there is no space for more messages now", retry_after=60, flow_id=flow_id)
        try:
            flow = self._current(flow_id)
        except FlowNotFound as error:
            raise FlowUnknown(f"no flow {flow_id!r} takes messages here") from error
        except FlowInvalid as error:
            raise ServiceUnavailable(
                f"flow {flow_id!r} can't run now; the server's log says why", retry_after=60, flow_id=flow_id
            ) from error
        if self.is_stopped(flow):
            raise FlowUnknown(f"no flow {flow_id!r} takes messages here", flow_id=flow_id, reason="the flow is stopped")
        return flow

    def called_flow(self, flow_id: str) -> CompiledFlow:
        """Return the version of a flow that a step or an error handler calls.

        Raises FlowNotFound if there is no such flow or it is stopped, and FlowInvalid if it can't run.
        """
        flow = self._current(flow_id)
        if self.is_stopped(flow):
            raise FlowNotFound(f"flow {flow_id!r} is stopped")
        return flow

    def is_stopped(self, flow: CompiledFlow) -> bool:
        """True if the flow accepts nothing."""
        return self._state_of(flow) == "stopped"

    async def accept(
        self, flow: CompiledFlow, envelope: Envelope, *, audit: AuditEntry | None = None
    ) -> Accepted | Duplicate:
        """Make a message durable, with the entry about the operator who sent it, if it isn't a duplicate.

        Raises SchemaViolation if the flow has an `order_by` and the message gives no value, TooManyRequests above the
        flow's rate limit or a limit of the backlog, and ServiceUnavailable.
        """
        if not self.open:
            raise ServiceUnavailable("the server is stopping", retry_after=5)
        envelope = with_keys(flow, envelope)
        envelope = await self._stored_form(flow, envelope)
        if audit is None and self.publisher is not None and _answers_at_once(flow):
            return await self._publish(self.publisher, flow, envelope)
        if not self.membership.current:
            raise ServiceUnavailable(_NOT_CURRENT, retry_after=5, flow_id=flow.id)
        rate = self._rate(flow)
        try:
            rejection = await self._order_key_is_full(flow, envelope.order_key) or await self._limited(flow, rate)
            if rejection is not None:
                self._note_rejected(flow, rate)
                # A duplicate gets its usual answer, however busy the flow is.
                duplicate = await self._duplicate(envelope)
                if duplicate is None:
                    raise rejection
                return duplicate
            # Counted before the next message is checked. Storing goes on even if the sender hangs up.
            place = None if audit is not None else self._place(flow, envelope)
            if place is not None:
                if rate is not None:
                    rate.use(self._clock.monotonic())
                return await shielded(self._put_started(envelope, rate, place))
            self._reserve(envelope, rate)
            return await shielded(self._put(envelope, rate, audit))
        except StoreError as error:
            raise self._not_stored(flow.id, error) from error

    def direct_flow(self, flow_id: str) -> CompiledFlow | None:
        """Return the flow if a message of it may be stored now by `begin`; None if only `accept` can tell.

        Raises as `flow` does.
        """
        flow = self.flow(flow_id)
        if not flow.direct or not self.membership.current or self._rejection(flow, self._rate(flow)) is not None:
            return None
        return flow

    def begin(self, flow: CompiledFlow, envelope: Envelope, stored: Stored) -> None:
        """Begin to make a message durable, and return at once; `direct_flow` has just given its flow.

        `stored` is called with the result, or with the error that `accept` would raise. Raises StoreError, and then
        calls nothing.
        """
        if self.publisher is not None and _answers_at_once(flow):
            self._begin_task(flow.id, self._publish(self.publisher, flow, envelope), stored)
            return
        rate = self._rate(flow)
        place = self._place(flow, envelope)
        if place is not None:
            if rate is not None:
                rate.use(self._clock.monotonic())
            self._begin_task(flow.id, self._put_started(envelope, rate, place), stored)
            return
        self._reserve(envelope, rate)
        try:
            exceeded = rate is not None and rate.exceeded(self._clock.monotonic())
            self._queue.begin(envelope, partial(self._ended, envelope, rate, stored), patient=exceeded)
        except BaseException:
            self._settle(envelope, rate, None)
            raise

    def _begin_task(self, flow_id: str, work: Coroutine[Any, Any, Accepted | Duplicate], stored: Stored) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._starting.add(task)
        task.add_done_callback(partial(self._started, flow_id, stored))

    def _started(self, flow_id: str, stored: Stored, task: "asyncio.Task[Accepted | Duplicate]") -> None:
        self._starting.discard(task)
        if not task.cancelled():
            error = task.exception()
            stored(task.result() if error is None else self._told(flow_id, error))

    def _ended(
        self,
        envelope: Envelope,
        rate: RateLimit | None,
        stored: Stored,
        result: Accepted | Duplicate | BaseException,
    ) -> None:
        self._settle(envelope, rate, result)
        stored(self._told(envelope.flow_id, result) if isinstance(result, BaseException) else result)

    def _told(self, flow_id: str, error: BaseException) -> BaseException:
        return self._not_stored(flow_id, error) if isinstance(error, StoreError) else error

    def _not_stored(self, flow_id: str, error: StoreError) -> ServiceUnavailable:
        """The error for the sender, who only learns that it may try again; the reason is for the operator."""
        if self._store_problem is not None:
            self._store_problem.report(error, flow_id=flow_id)
        return error.for_sender(RETRY_AFTER)

    async def start(
        self,
        flow: CompiledFlow,
        message: Message,
        *,
        execution_id: str,
        by: Actor,
        dedupe_key: str | None = None,
    ) -> Accepted | Duplicate:
        """Accept a message with which an operator starts a flow; `by` is recorded.

        The caller has checked its body against the flow's schema.
        A message with the same `dedupe_key` starts nothing within 7 days. Raises the errors of `accept`.
        """
        now = self._clock.now()
        envelope = manual_envelope(
            flow, message, execution_id=execution_id, now=now, verified_by=str(by), dedupe_key=dedupe_key
        )
        entry_id = derived_id(now, "audit", execution_id)
        about: About = {"flow_id": flow.id, "flow_version": flow.version, "subject": execution_id}
        audit = entry(entry_id, now, by, "flow.start", **about)
        return await self.accept(flow, envelope, audit=audit)

    def _place(self, flow: CompiledFlow, envelope: Envelope) -> Place | None:
        """A place in which the execution may start as soon as the message is stored; None if it has to be queued."""
        if envelope.order_key is not None or self._backlog.of(flow.id):
            return None
        return self.places.place(flow, envelope.execution_id)

    async def _put_started(self, envelope: Envelope, rate: RateLimit | None, place: Place) -> Accepted | Duplicate:
        """Store a message whose execution starts at once, so that it is never queued."""
        try:
            return await self._put_in_place(envelope, rate, place)
        except VersionOutdated:
            # Another node has deployed the flow just now. The execution starts when this one knows it, too.
            self._reserve(envelope, rate)
            return await self._put(envelope, rate, None)

    async def _put_in_place(self, envelope: Envelope, rate: RateLimit | None, place: Place) -> Accepted | Duplicate:
        flow_id, result = envelope.flow_id, None
        try:
            result = await self._queue.put(envelope, at_once=place)
        finally:
            place.release()
            _settle_rate(rate, result)
        if isinstance(result, Accepted):
            self._metrics.accepted(flow_id)
            if self._events is not None and self._events.listening:
                self._events.accepted(flow_id, envelope.execution_id)
                self._events.committed(flow_id, envelope.execution_id, (place.change,))
        else:
            self._metrics.duplicate(flow_id)
        return result

    async def _publish(self, publisher: Publisher, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Make a message durable in the intake queue. It counts as queued when it is inserted into the store.

        Raises TooManyRequests above the flow's rate limit or a limit of the backlog, and ServiceUnavailable.
        """
        rate = self._rate(flow)
        rejection = await self._full_if_known(flow, envelope) or self._rejection(flow, rate)
        if rejection is not None and self.limits.is_new(flow.id, flow.settings.rate):
            with contextlib.suppress(StoreError):  # then it keeps what it has
                rejection = await self._limited(flow, rate)
        if rejection is not None:
            self._note_rejected(flow, rate)
            try:
                duplicate = await self._duplicate(envelope)
            except StoreError as error:
                raise self._not_stored(flow.id, error) from error
            if duplicate is None:
                raise rejection
            return duplicate
        if rate is not None:
            rate.use(self._clock.monotonic())
        return await shielded(self._published(publisher, envelope, rate))

    async def _published(
        self, publisher: Publisher, envelope: Envelope, rate: RateLimit | None
    ) -> Accepted | Duplicate:
        result: Accepted | Duplicate | None = None
        try:
            result = await publisher.publish(envelope)
        finally:
            _settle_rate(rate, result)
        if isinstance(result, Accepted):
            self._metrics.accepted(envelope.flow_id)
        else:
            self._metrics.duplicate(envelope.flow_id)
        return result

    async def _full_if_known(self, flow: CompiledFlow, envelope: Envelope) -> TooManyRequests | None:
        try:
            return await self._order_key_is_full(flow, envelope.order_key)
        except StoreError as error:
            if self._store_problem is not None:
                self._store_problem.report(error, flow_id=flow.id)
            return None

    def _reserve(self, envelope: Envelope, rate: RateLimit | None) -> None:
        if rate is not None:
            rate.use(self._clock.monotonic())
        self._backlog.reserve(envelope.flow_id)
        if envelope.order_key is not None:
            self._depths.begin(envelope.flow_id, envelope.order_key)

    async def _put(self, envelope: Envelope, rate: RateLimit | None, audit: AuditEntry | None) -> Accepted | Duplicate:
        """Store a message that is counted already, and count it no more if that fails."""
        result: Accepted | Duplicate | None = None
        try:
            exceeded = rate is not None and rate.exceeded(self._clock.monotonic())
            if audit is None:
                result = await self._queue.put(envelope, patient=exceeded)
            else:
                result = await self._put_audited(envelope, audit)
        finally:
            self._settle(envelope, rate, result)
        return result

    async def _put_audited(self, envelope: Envelope, audit: AuditEntry) -> Accepted | Duplicate:
        (result,) = await self._store.commit((Accept(envelope, audit=audit),))
        assert isinstance(result, Accepted | Duplicate)  # noqa: S101 - an Accept has no other result
        return result

    def _settle(self, envelope: Envelope, rate: RateLimit | None, result: object) -> None:
        """Count the result of storing a message; it is neither Accepted nor Duplicate if storing failed."""
        flow_id, stored = envelope.flow_id, isinstance(result, Accepted)
        _settle_rate(rate, result)
        # A commit that has failed may have taken place after all.
        self._backlog.settle(flow_id, queued=stored if isinstance(result, Accepted | Duplicate) else None)
        if envelope.order_key is not None:
            self._depths.end(flow_id, envelope.order_key, stored=stored)
        if stored:
            self._metrics.accepted(flow_id)
            if self._events is not None and self._events.listening:
                self._events.accepted(flow_id, envelope.execution_id)
        elif isinstance(result, Duplicate):
            self._metrics.duplicate(flow_id)

    def seconds_until_room(self, flow: CompiledFlow, count: int) -> float:
        """Seconds after which a source may try to store so many messages; 0 if there is room now.

        More messages than the flow's limit are stored when nothing else is queued.
        """
        if self._is_full(flow.id):
            return RETRY_AFTER
        rate = self._rate(flow)
        if rate is not None and (wait := rate.wait(self._clock.monotonic())) > 0:
            self.limits.missed(rate)
            return wait
        return self._backlog.seconds_until_room(flow, count)

    def room(self, flow: CompiledFlow, count: int) -> int:
        """The number of messages, of `count`, that a source may store now; the others stay at its broker."""
        if self._is_full(flow.id):
            return 0
        rate = self._rate(flow)
        if rate is not None:
            available = rate.available(self._clock.monotonic())
            if available < count:
                self.limits.missed(rate)
            count = min(count, available)
        return max(0, min(count, self._backlog.room(flow)))

    async def store_from_source(self, flow: CompiledFlow, envelopes: Sequence[Envelope], *changes: Change) -> int:
        """Store messages of a flow's source together with changes of its progress; return the number of new messages.

        The envelopes have their order keys, and no two have the same execution id. Nothing is rejected for rates or
        backlogs: the caller asks `seconds_until_room` or `room` first. Raises StoreError; then the call may be
        repeated, and messages that were stored after all are duplicates.
        """
        return await shielded(self._store_from_source(flow, envelopes, changes))

    async def _store_from_source(
        self, flow: CompiledFlow, envelopes: Sequence[Envelope], changes: Sequence[Change]
    ) -> int:
        rate = self._rate(flow)
        envelopes = [await self._stored_form(flow, envelope) for envelope in envelopes]
        for envelope in envelopes:
            self._reserve(envelope, rate)
        results: Sequence[object] = [None] * len(envelopes)
        try:
            results = await self._store.commit([*map(Accept, envelopes), *changes])
        finally:
            for envelope, result in zip(envelopes, results, strict=False):
                self._settle(envelope, rate, result)
        return sum(isinstance(result, Accepted) for result in results)

    async def emit(self, flow: CompiledFlow, envelope: Envelope) -> Accept:
        """Return the change that accepts a message of another execution; the caller commits it with its own changes.

        Then it calls `note_emitted`. No limit rejects the message, since there is no sender who could try again. Raises
        SchemaViolation if the flow has an `order_by` and the message gives no value.
        """
        return Accept(await self._stored_form(flow, with_keys(flow, envelope)))

    def note_emitted(self, flow_id: str) -> None:
        """Count a message of `emit` that is durable now."""
        self._backlog.enter(flow_id)
        self._metrics.accepted(flow_id)

    async def _stored_form(self, flow: CompiledFlow, envelope: Envelope) -> Envelope:
        """Return the message in the form in which it is stored: redacted values are masked, and encrypted beside it.

        A large message has its JSON, so that the store need not make it in the event loop.
        """
        if is_heavy_message(envelope):
            return await self._offloader.run(partial(self._made_storable, flow, envelope), large=True)
        if flow.redaction_rules is not None or envelope.hidden or envelope.data_key is not None:
            return self._made_storable(flow, envelope)
        return envelope

    def _made_storable(self, flow: CompiledFlow, envelope: Envelope) -> Envelope:
        if self._redaction is not None:
            envelope = self._redaction.redact(flow.redaction_rules, envelope)
        if envelope.body_json is None:
            envelope = msgspec.structs.replace(envelope, body_json=json_to_store(envelope.message.body))
        return envelope

    def backlog(self, flow_id: str) -> int:
        """The number of queued executions of a flow."""
        return self._backlog.of(flow_id)

    def set_backlog(self, flow_id: str, count: int) -> None:
        """Set the number of queued executions of a flow, which the engine reads from the store when it starts."""
        self._backlog.count(flow_id, count - self._backlog.of(flow_id))

    async def follow_backlog(self) -> None:
        """Count the queued executions again and again, while other nodes accept and run some, too, or the numbers are
        uncertain."""
        while True:
            await asyncio.sleep(_COUNT_AGAIN)  # other processes don't follow the engine's clock
            if self.membership.alone and not self._backlog.uncertain:
                continue
            before = self._backlog.changes
            with contextlib.suppress(StoreError):  # the next count may do better
                counted = await self._store.backlog()
                self._backlog.set_all({flow_id: count for flow_id, (count, _) in counted.items()}, before)

    def count_again(self) -> None:
        """Count the queued executions once more: a commit in doubt may have taken some from the queue."""
        self._backlog.doubt()

    def left_without_running(self, flow_id: str) -> None:
        """Count one execution that has left the queue, and hasn't run: it says nothing about the flow's speed."""
        self._backlog.count(flow_id, -1)

    def leaving_queue(self, flow_id: str) -> AbstractContextManager[Callable[[], None]]:
        """See `Backlog.leaving`."""
        return self._backlog.leaving(flow_id)

    async def _order_key_is_full(self, flow: CompiledFlow, order_key: str | None) -> TooManyRequests | None:
        """Reject an order key that has as many executions queued as the flow has room left.

        So a blocked order key takes at most half of the flow's room, and each further one half of the rest. Raises
        StoreError.
        """
        if order_key is None:
            return None
        queued = self._backlog.of(flow.id)
        room = self._backlog.limit(flow) - queued
        if not 0 < room <= queued or not await self._depths.reaches(flow.id, order_key, room):
            return None
        return TooManyRequests(
            f"flow {flow.id!r} has as many messages of this order key queued as it has room left",
            retry_after=RETRY_AFTER,
        )

    def _note_rejected(self, flow: CompiledFlow, rate: RateLimit | None) -> None:
        """Note a rejected message, if this node lacks parts of a limit."""
        if rate is not None and rate.exceeded(self._clock.monotonic()):
            self.limits.missed(rate)
        self._backlog.note_rejected(flow)

    async def _limited(self, flow: CompiledFlow, rate: RateLimit | None) -> TooManyRequests | None:
        """Return the error for a message above a limit.

        Before that, a node takes parts of limits that are new to it, and a command waits for those that other nodes
        give. Raises StoreError.
        """
        rejection = self._rejection(flow, rate)
        if rejection is None:
            return None
        tries = _TRIES if self.limits.on_demand else self.limits.is_new(flow.id, flow.settings.rate)
        while rejection is not None and tries:
            self._note_rejected(flow, rate)
            await self.limits.refresh()
            rejection, tries = self._rejection(flow, rate), tries - 1
            if rejection is not None and tries:
                await asyncio.sleep(_TRY_AGAIN)  # other processes don't follow the engine's clock
        return rejection

    def _rate(self, flow: CompiledFlow) -> RateLimit | None:
        """Return the limit of a flow on this node; None if it has none."""
        return None if flow.settings.rate is None else self.limits.of(flow.id, flow.settings.rate)

    def _rejection(self, flow: CompiledFlow, rate: RateLimit | None) -> TooManyRequests | None:
        if rate is not None and (wait := rate.wait(self._clock.monotonic())) > 0:
            return TooManyRequests(f"flow {flow.id!r} accepts {flow.settings.rate}", retry_after=wait)
        return self._backlog.rejection(flow)

    async def _duplicate(self, envelope: Envelope) -> Duplicate | None:
        if envelope.dedupe_key is None:
            return None
        first = await self._store.accepted_as(envelope.flow_id, envelope.dedupe_key, self._clock.now())
        if first is None:
            return None
        self._metrics.duplicate(envelope.flow_id)
        return Duplicate(first)


def _settle_rate(rate: RateLimit | None, result: object) -> None:
    """Count a message for its rate only if it was accepted."""
    if rate is None:
        return
    if isinstance(result, Accepted):
        rate.stored()
    else:
        rate.give_back()


def _answers_at_once(flow: CompiledFlow) -> bool:
    """True if the sender of a message learns only that it was accepted."""
    webhook = flow.trigger.webhook
    return webhook is not None and webhook.respond == "accepted"
