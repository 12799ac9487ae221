"""The runner: run one delivery, from its start or from its journal, to its end or until it waits."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from hookline.executions.blocks.batch import batch_entries
from hookline.executions.blocks.on_error import run_on_error
from hookline.executions.blocks.run_steps import run_steps
from hookline.executions.completion import AttemptStart, completion_changes
from hookline.executions.context import (
    CANCELLED,
    Blocked,
    Ending,
    ExecutionContext,
    Frame,
    HookUrls,
    Interrupted,
    InterruptionCause,
    StepFailed,
    edited_steps,
    vars_of,
    vars_to_store,
)
from hookline.executions.journal import Journal
from hookline.executions.replies import FINISHED, Ended, read_reply
from hookline.executions.services import Services
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    NotReplayable,
    RedactedUnreadable,
    StoreError,
)
from hookline.model.execution import (
    BLOCKED,
    FINAL,
    OUTCOME_UNKNOWN,
    ErrorInfo,
    Execution,
    Outcome,
    State,
    StepRecord,
    StepState,
    stored_size,
)
from hookline.model.items import Stream
from hookline.model.message import CallerReply, Envelope, is_heavy_message, with_numbers
from hookline.plugin_host.exhaustion import is_own_failure
from hookline.plugin_host.facade import StepLog
from hookline.secrets.redaction import Redaction, Redactor
from hookline.storage.changes import Change, End, Park, Publish, Resume, SetDataKey, Start
from hookline.storage.queue import Delivery
from hookline.storage.store import readable_envelope

TIMED_OUT = "flow.timed_out"


@asynccontextmanager
async def with_deadline(run: ExecutionContext) -> AsyncIterator[None]:
    """Interrupt the run when its time limit ends."""
    if run.deadline is None:
        yield
        return
    left = (run.deadline - run.services.clock.now()).total_seconds()
    message = f"the flow's timeout of {run.flow.settings.timeout} is over"
    cause = InterruptionCause(Outcome.TIMED_OUT, ErrorInfo(TIMED_OUT, message))
    if left <= 0:
        run.interruption.interrupt(cause)
        yield
        return

    async def expire() -> None:
        await run.services.clock.sleep(left)
        run.interruption.interrupt(cause)

    timer = asyncio.ensure_future(expire())
    try:
        yield
    finally:
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)


#: With this concurrency, an execution that keeps its slot a moment longer delays no other.
_ROOMY: Final = 32
_ENDS: Final = {
    Ending.DONE: Outcome.COMPLETED,
    Ending.FILTERED: Outcome.FILTERED,
    Ending.STOPPED: Outcome.STOPPED,
    Ending.JOINED: Outcome.FILTERED,
}


class Versions(Protocol):
    """Find compiled flows."""

    def current(self, flow_id: str) -> CompiledFlow:
        """The version for new executions. Raises FlowNotFound, and FlowInvalid if it can't run."""
        ...

    async def version(self, flow_id: str, version: str) -> CompiledFlow:
        """A version that executions are bound to. Raises FlowNotFound, FlowInvalid and StoreError."""
        ...

    def publish_changes(self, flow: CompiledFlow, at: datetime) -> tuple[Publish, ...]:
        """The changes that publish a version, if it isn't stored yet, together with the start of an execution on it."""
        ...


class Waker(Protocol):
    """The part of a Queue that delivers ready executions."""

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Deliver a parked execution that is ready."""
        ...


class TimerNotifier(Protocol):
    """The part of Timers that learns of new times."""

    def notice(self, at: datetime) -> None:
        """Note that an execution was parked until a time."""
        ...


class Runner:
    """Run executions. The runner keeps no state between deliveries."""

    def __init__(
        self,
        services: Services,
        versions: Versions,
        queue: Waker,
        timers: TimerNotifier,
        on_start: Callable[[str], None],
        hook_urls: HookUrls,
    ) -> None:
        """`on_start` is called with the flow's id each time a queued execution leaves the queue."""
        self._services = services
        self._versions = versions
        self._queue = queue
        self._timers = timers
        self._on_start = on_start
        self._hook_urls = hook_urls
        self._causes_gone = 0
        self._running: dict[str, ExecutionContext | None] = {}
        """The delivered executions; None until the journal is read."""
        self._cancelled: set[str] = set()
        """Executions that must be cancelled as soon as their journal is read."""

    def causes_changed(self) -> None:
        """Note that causes of blocked executions may be gone; to be called at once after such a change."""
        self._causes_gone += 1

    def cancel(self, execution_id: str) -> None:
        """Interrupt an execution that runs here; its cancellation is already durable."""
        if execution_id not in self._running:
            return
        run = self._running[execution_id]
        if run is None:
            self._cancelled.add(execution_id)
        else:
            run.interruption.interrupt(CANCELLED)

    async def run(self, delivery: Delivery) -> None:
        """Run a delivery until it ends or waits, and acknowledge it. Raises only CancelledError."""
        self._running[delivery.execution_id] = None
        try:
            await self._try(delivery)
        finally:
            del self._running[delivery.execution_id]
            self._cancelled.discard(delivery.execution_id)

    async def _try(self, delivery: Delivery) -> None:
        try:
            await self._run(delivery)
        except StoreError as error:
            await delivery.retry(STORE_RETRY)
            self._services.store_problem.report(error, execution_id=delivery.execution_id)
        except (IllegalStateChange, ExecutionNotFound) as error:
            # The execution was ended by someone else, or a failed commit had taken place. The stored state counts:
            # another delivery continues from there, and an ended execution gets none.
            await delivery.retry(STORE_RETRY)
            self._services.log.warning(
                "the execution changed under its run", execution_id=delivery.execution_id, error=error.message
            )
        except Exception as error:
            if is_own_failure(error):
                await delivery.retry(STORE_RETRY)
                self._services.own_failures.noticed(
                    execution_id=delivery.execution_id,
                    flow_id=delivery.flow_id,
                    error=f"{type(error).__name__}: {error}",
                )
                return
            run = self._running[delivery.execution_id]
            redactor = None if run is None else run.redactor
            info = ErrorInfo("engine.defect", f"the engine has a defect: {type(error).__name__}: {error}")
            await self._give_up(delivery, info if run is None else run.shown(info))
            log = StepLog(self._services.log, delivery.execution_id, delivery.flow_id, "", redactor)
            log.error("defect of the engine", exc_info=True)

    async def _run(self, delivery: Delivery) -> None:
        store, now, causes_gone = self._services.store, self._services.clock.now(), self._causes_gone
        envelope = delivery.envelope or await store.envelope(delivery.execution_id)
        execution = None if delivery.fresh else await store.execution(delivery.execution_id)
        if envelope is None or (execution is not None and execution.state in FINAL):
            await delivery.ack()
            return
        try:
            if execution is None or execution.flow_version is None:
                flow = self._versions.current(delivery.flow_id)
            else:
                flow = await self._versions.version(delivery.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid) as error:
            await self._park_blocked(delivery, execution, envelope, str(error))
            return
        past: Sequence[StepRecord] = ()
        if execution is not None and execution.state is not State.QUEUED:
            past = await store.journal(execution.id)
        redactor: Redactor | None = None
        data_key = envelope.data_key
        if self._services.redaction is not None:
            try:
                envelope, past, redactor = await self._decrypt(self._services.redaction, flow, envelope, past)
            except RedactedUnreadable as error:
                await self._park_blocked(delivery, execution, envelope, error.message)
                return
            except NotReplayable as error:
                await self._give_up(delivery, ErrorInfo(error.code, error.message))
                return
        if envelope.exact is not flow.exact:
            # Another version of the flow accepted the message.
            envelope = await self._services.offloader.run(
                partial(with_numbers, envelope, exact=flow.exact), large=is_heavy_message(envelope)
            )
        on_begin: Callable[[], None] | None = None
        prelude: tuple[Change, ...] = ()
        deadline = _deadline(flow, now)
        if execution is None or execution.state is State.QUEUED:
            prelude = (*self._versions.publish_changes(flow, now), _start(flow, envelope.execution_id, now, deadline))
            started_at, attempt = now, 1
            on_begin = partial(self._on_start, flow.id)
        else:
            if execution.flow_version is None:
                prelude = (*self._versions.publish_changes(flow, now), _start(flow, execution.id, now, deadline))
            else:
                deadline = execution.deadline_at
                if execution.state is State.WAITING:
                    prelude = (Resume(execution.id, now, execution.flow_version),)
            started_at, attempt = execution.started_at or now, execution.attempt
        if redactor is not None and data_key is None:
            # The version that accepted the message redacted nothing.
            prelude = (*prelude, SetDataKey(envelope.execution_id, redactor.data_key))
        run = ExecutionContext(
            flow=flow,
            envelope=envelope,
            journal=Journal(envelope.execution_id, self._services, past, prelude, on_begin, flow.id, redactor),
            services=self._services,
            started_at=started_at,
            attempt=attempt,
            vars=vars_of(flow, execution),
            deadline=deadline,
            reopened_after=0 if execution is None else execution.reopened_after,
            hook_urls=self._hook_urls if flow.wait_places else None,
            redactor=redactor,
        )
        if envelope.arrival.replay_of is not None:
            run.edited = edited_steps(past)
        if run.id in self._cancelled or (execution is not None and execution.cancel_asked_at is not None):
            run.interruption.interrupt(CANCELLED)
        self._running[run.id] = run
        async with with_deadline(run):
            last, follows = await self._walk(run)
        if isinstance(last, End) and not follows and self._nobody_waits(run):
            last = replace(last, patient=True)
        try:
            await run.journal.close(last, *follows)
        except asyncio.CancelledError:
            await asyncio.shield(run.journal.rescue())
            raise
        if run.blocked and isinstance(last, Park) and causes_gone != self._causes_gone:
            # The missing part may have come before the execution was parked; nothing would wake it again.
            await delivery.retry(0)
            return
        await delivery.ack()
        await self._after(run, last)

    async def _decrypt(
        self, redaction: Redaction, flow: CompiledFlow, envelope: Envelope, past: Sequence[StepRecord]
    ) -> tuple[Envelope, Sequence[StepRecord], Redactor | None]:
        work = partial(redaction.decrypt, flow.redaction_rules, envelope, past)
        redacts = flow.redaction_rules is not None or envelope.data_key is not None
        return await self._services.offloader.run(work, large=redacts and is_heavy_message(envelope, stored_size(past)))

    def _nobody_waits(self, run: ExecutionContext) -> bool:
        """Return whether a later end delays no caller, and a crash before it repeats no work."""
        return (
            not run.journal.owing
            and run.envelope.order_key is None
            and run.flow.settings.concurrency >= _ROOMY
            and not self._services.replies.expected(run.id)
        )

    async def _walk(self, run: ExecutionContext) -> tuple[End | Park, tuple[Change, ...]]:
        """Run the flow's steps; return the change that ends or parks the execution, and the changes that follow from
        it."""
        frame = Frame(run.envelope.message, {}, run.started_at, interruption=run.interruption)
        failed: StepFailed | Interrupted | None = None
        try:
            try:
                ending = await run_steps(run, run.flow.steps, frame)
            except (StepFailed, Interrupted) as error:
                failed = error
                ending = await run_on_error(run, frame, error, run_steps)
        except Blocked as cause:
            run.blocked = str(cause)
            ending = Ending.WAITING
        except asyncio.CancelledError:
            # The engine stops. Finished work of this execution must not be done again at the next start.
            await asyncio.shield(run.journal.rescue())
            raise
        except (StoreError, IllegalStateChange, ExecutionNotFound):
            raise
        except Exception:
            await run.journal.rescue()
            raise
        now = self._services.clock.now()
        if ending is Ending.WAITING:
            run.wait_until(run.deadline, run.waits_for)
            reason = f"{BLOCKED}{run.blocked}" if run.blocked else run.waits_for
            return Park(run.id, now, run.ready_at, reason, run.interruption.cause is CANCELLED), ()
        if self._services.simulation is not None:
            self._services.simulation.execution_ended(run.id, frame.message)
        if failed is not None:
            end = self._failed(run, failed, now)
        else:
            _answer_finished(run, frame, ending)
            end = End(run.id, State.SUCCEEDED, _ENDS[ending], now, waited=run.waited)
        begun = AttemptStart(run.started_at, run.attempt)
        try:
            follows = await completion_changes(
                self._services, end, run.envelope, run.flow, frame.message, begun, run.redactor
            )
        except asyncio.CancelledError:
            await asyncio.shield(run.journal.rescue())
            raise
        return end, follows

    def _failed(self, run: ExecutionContext, failed: StepFailed | Interrupted, now: datetime) -> End:
        if isinstance(failed, Interrupted):
            outcome, error = failed.cause.outcome, failed.cause.error
        else:
            unknown = failed.error.code == OUTCOME_UNKNOWN
            outcome, error = Outcome.OUTCOME_UNKNOWN if unknown else Outcome.FAILED, run.shown(failed.error)
        if error is None:
            # The last step may have been interrupted, so that it isn't known whether it took effect.
            outcome = Outcome.CANCELLED if run.unknown is None else Outcome.OUTCOME_UNKNOWN
            return End(run.id, State.CANCELLED, outcome, now, run.unknown, waited=run.waited)
        self._services.log.warning(
            "execution failed",
            execution_id=run.id,
            flow_id=run.flow.id,
            step=error.step,
            code=error.code,
            error=error.message,
        )
        return End(run.id, State.FAILED, outcome, now, error, waited=run.waited)

    async def _after(self, run: ExecutionContext, last: End | Park) -> None:
        for ready in run.wakes:
            await self._queue.wake(run.flow.id, ready)
        if isinstance(last, End):
            self._services.metrics.ended(run.flow.id, last.state)
            self._answer(run, last)
            await self._wake_parent(run.envelope)
        elif last.ready_at is not None:
            # The time may have come during the commit; the timers only look ahead.
            if last.ready_at <= self._services.clock.now():
                await self._queue.wake(run.flow.id, run.id)
            else:
                self._timers.notice(last.ready_at)

    async def _wake_parent(self, envelope: Envelope) -> None:
        """Wake the execution whose step waits for the end of this one."""
        parent = envelope.arrival.parent
        if parent is not None and parent.waits_at is not None:
            await self._queue.wake(parent.flow_id, parent.execution_id)

    def _answer(self, run: ExecutionContext, last: End) -> None:
        """Release a caller that still waits: with the reply of a flow that responds when finished, or without one."""
        replies, finished = self._services.replies, run.journal.past(FINISHED)
        if not replies.expected(run.id):
            return
        if finished is not None and finished.output is not None:
            replies.deliver(run.id, read_reply(finished.output, exact=run.flow.exact))
        else:
            replies.deliver(run.id, Ended(last.error))

    async def _park_blocked(
        self, delivery: Delivery, execution: Execution | None, envelope: Envelope, cause: str
    ) -> None:
        now, causes_gone = self._services.clock.now(), self._causes_gone
        state = State.QUEUED if execution is None else execution.state
        changes: list[Change] = [Resume(delivery.execution_id, now)] if state is State.WAITING else []
        if execution is not None and execution.cancel_asked_at is not None:
            end = End(delivery.execution_id, State.CANCELLED, Outcome.CANCELLED, now)
            begun = AttemptStart(execution.started_at, execution.attempt)
            changes += await batch_entries(self._services, delivery.execution_id)
            changes += [end, *await completion_changes(self._services, end, envelope, None, None, begun)]
        else:
            changes.append(Park(delivery.execution_id, now, None, f"{BLOCKED}{cause}"))
        await self._services.store.commit(changes)
        self._services.events.committed(delivery.flow_id, delivery.execution_id, changes)
        if state is State.QUEUED:
            self._on_start(delivery.flow_id)
        await self._wake_parent(envelope)
        if causes_gone != self._causes_gone:
            await delivery.retry(0)
        else:
            await delivery.ack()

    async def _give_up(self, delivery: Delivery, info: ErrorInfo) -> None:
        """End an execution as failed that the engine itself can't run, so that it is seen and can be retried."""
        now = self._services.clock.now()
        try:
            execution = await self._services.store.execution(delivery.execution_id)
            envelope = delivery.envelope or await readable_envelope(self._services.store, delivery.execution_id)
            changes: list[Change] = []
            if execution is not None and execution.state is State.QUEUED:
                flow = self._versions.current(delivery.flow_id)
                changes += [
                    *self._versions.publish_changes(flow, now),
                    _start(flow, execution.id, now, _deadline(flow, now)),
                ]
            end = End(delivery.execution_id, State.FAILED, Outcome.FAILED, now, info)
            changes.append(end)
            if envelope is not None:
                begun = (
                    AttemptStart(None, 1)
                    if execution is None
                    else AttemptStart(execution.started_at, execution.attempt)
                )
                changes += await completion_changes(
                    self._services, end, envelope, await self._flow_of(execution), None, begun
                )
            await self._services.store.commit(changes)
            self._services.events.committed(delivery.flow_id, delivery.execution_id, changes)
            if envelope is not None:
                await self._wake_parent(envelope)
            if execution is not None and execution.state is State.QUEUED:
                self._on_start(delivery.flow_id)
        except (StoreError, FlowNotFound, FlowInvalid):
            await delivery.retry(STORE_RETRY)
        except (IllegalStateChange, ExecutionNotFound):
            await delivery.ack()
        else:
            await delivery.ack()

    async def _flow_of(self, execution: Execution | None) -> CompiledFlow | None:
        """The version that an execution has run on; None if it isn't known."""
        if execution is None or execution.flow_version is None:
            return None
        try:
            return await self._versions.version(execution.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid):
            return None


def _answer_finished(run: ExecutionContext, frame: Frame, ending: Ending) -> None:
    """Record the reply of a flow that responds when finished: its last body, or an empty one if it ended early."""
    webhook = run.flow.trigger.webhook
    if webhook is None or webhook.respond != "finished":
        return
    body = frame.message.body if ending is Ending.DONE else None
    if isinstance(body, Stream):
        # The items and the name of their file are not given away.
        body = {"count": body.count}
    reply = CallerReply(200 if body is not None else 204, {}, body, delivered=run.services.replies.expected(run.id))
    run.note_pure(Frame(frame.message, {}, frame.now), FINISHED, "reply", StepState.SUCCEEDED, output=reply)


def _deadline(flow: CompiledFlow, at: datetime) -> datetime | None:
    return at + flow.settings.timeout if flow.settings.timeout is not None else None


def _start(flow: CompiledFlow, execution_id: str, at: datetime, deadline: datetime | None = None) -> Start:
    """The change that starts an execution, with its vars if they aren't those of the document."""
    return Start(execution_id, flow.version, at, vars_to_store(flow), deadline)
