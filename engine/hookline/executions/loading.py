"""Loading the executions that are delivered, and parking or ending those that can't run."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from hookline.executions.blocks.batch import batch_entries
from hookline.executions.ending import AttemptStart, follow_up
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
from hookline.model.execution import BLOCKED, FINAL, ErrorInfo, Execution, Outcome, State, StepRecord, stored_size
from hookline.model.message import Envelope, is_heavy_message, with_numbers
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor
from hookline.storage.changes import Change, End, Park, Publish, Resume, SetDataKey, Start
from hookline.storage.queue import Delivery
from hookline.storage.store import readable_envelope


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


class CannotRun(Exception):
    """The execution can't run until an external cause is gone."""

    def __init__(self, envelope: Envelope, execution: Execution | None, reason: str) -> None:
        self.envelope = envelope
        self.execution = execution
        self.reason = reason
        super().__init__(reason)


class NeverRuns(Exception):
    """The execution can't run any more."""

    def __init__(self, error: ErrorInfo) -> None:
        self.error = error
        super().__init__(error.message)


@dataclass(frozen=True, slots=True)
class LoadedExecution:
    """An execution that is about to run."""

    flow: CompiledFlow
    envelope: Envelope
    execution: Execution | None
    """Its stored state; None if the delivery is fresh."""
    journal_entries: Sequence[StepRecord] = ()
    redactor: Redactor | NoRedactor = NO_REDACTOR
    has_key: bool = False
    """Its data key is stored."""
    start: Start | None = None
    """The start that was committed together with the message."""

    @property
    def leaves_queue(self) -> bool:
        """True if it was queued until now."""
        return self.start is None and (self.execution is None or self.execution.state is State.QUEUED)

    @property
    def bound(self) -> bool:
        """True if it is bound to a version of its flow, and its vars and its deadline are stored."""
        return self.start is not None or (self.execution is not None and self.execution.flow_version is not None)

    def started_at(self, now: datetime) -> datetime:
        """The time at which it started, or starts `now`."""
        if self.start is not None:
            return self.start.at
        return (None if self.execution is None else self.execution.started_at) or now

    def deadline(self, now: datetime) -> datetime | None:
        """The end of its time limit."""
        if self.start is not None:
            return self.start.deadline
        return self.execution.deadline_at if self.execution is not None and self.bound else self.flow.deadline(now)


class ExecutionLoader:
    """Loads executions that are delivered."""

    def __init__(self, services: Services, versions: Versions) -> None:
        self._services = services
        self._versions = versions

    async def load(self, delivery: Delivery, flow: CompiledFlow | None = None) -> LoadedExecution | None:
        """Load an execution; None if it has ended. `flow`: the version on which it runs, if it is known.

        Raises CannotRun, NeverRuns and StoreError.
        """
        store = self._services.store
        envelope = delivery.envelope or await store.envelope(delivery.execution_id)
        execution = None if delivery.fresh else await store.execution(delivery.execution_id)
        if envelope is None or (execution is not None and execution.state in FINAL):
            return None
        try:
            flow = flow or await self._flow(delivery, execution)
        except (FlowNotFound, FlowInvalid) as error:
            raise CannotRun(envelope, execution, str(error)) from error
        entries: Sequence[StepRecord] = ()
        if execution is not None and execution.state is not State.QUEUED:
            entries = await store.journal(execution.id)
        return await self._readable(LoadedExecution(flow, envelope, execution, entries, start=delivery.start))

    async def _flow(self, delivery: Delivery, execution: Execution | None) -> CompiledFlow:
        """The version on which an execution runs. Raises FlowNotFound, FlowInvalid and StoreError."""
        version = delivery.start.flow_version if delivery.start is not None else None
        if version is None and execution is not None:
            version = execution.flow_version
        if version is None:
            return self._versions.current(delivery.flow_id)
        return await self._versions.version(delivery.flow_id, version)

    async def _readable(self, found: LoadedExecution) -> LoadedExecution:
        """Decrypt redacted values, and read numbers as the flow wants them."""
        flow, has_key = found.flow, found.envelope.data_key is not None
        redacts = flow.redaction_rules is not None or has_key
        decrypt = partial(self._services.redaction.decrypt, flow.redaction_rules, found.envelope, found.journal_entries)
        try:
            if redacts and is_heavy_message(found.envelope, stored_size(found.journal_entries)):
                envelope, entries, redactor = await self._services.offloader.run(decrypt, large=True)
            else:
                envelope, entries, redactor = decrypt()
        except RedactedUnreadable as error:
            raise CannotRun(found.envelope, found.execution, error.message) from error
        except NotReplayable as error:
            raise NeverRuns(ErrorInfo(error.code, error.message)) from error
        if envelope.exact is not flow.exact:
            # Another version of the flow accepted the message.
            read = partial(with_numbers, envelope, exact=flow.exact)
            envelope = await self._services.offloader.run(read, large=is_heavy_message(envelope))
        return LoadedExecution(flow, envelope, found.execution, entries, redactor, has_key, found.start)

    def first_changes(self, found: LoadedExecution, now: datetime) -> tuple[Change, ...]:
        """The changes that make an execution running, to be committed before its first effect."""
        changes: tuple[Change, ...] = ()
        execution = found.execution
        if not found.bound:
            changes = self.start_changes(found.flow, found.envelope.execution_id, now)
        elif execution is not None and execution.state is State.WAITING:
            changes = (Resume(execution.id, now, execution.flow_version),)
        if isinstance(found.redactor, Redactor) and not found.has_key:
            # The version that accepted the message redacted nothing.
            changes = (*changes, SetDataKey(found.envelope.execution_id, found.redactor.data_key))
        return changes

    def start_changes(self, flow: CompiledFlow, execution_id: str, at: datetime) -> tuple[Change, ...]:
        """The changes that start an execution on a version of its flow."""
        return (*self._versions.publish_changes(flow, at), flow.start(execution_id, at))


class Unrunnable:
    """Parks or ends executions that can't run."""

    def __init__(
        self,
        services: Services,
        versions: Versions,
        loader: ExecutionLoader,
        on_start: Callable[[str], None],
        wake_parent: Callable[[Envelope], Awaitable[None]],
    ) -> None:
        """`on_start` is called with the flow's id when a queued execution leaves the queue; `wake_parent` wakes the
        execution whose step waits for the end of one."""
        self._services = services
        self._versions = versions
        self._loader = loader
        self._on_start = on_start
        self._wake_parent = wake_parent

    async def park(self, delivery: Delivery, cannot: CannotRun) -> None:
        """Park an execution as blocked, or end it if it is to be cancelled. Raises StoreError."""
        now, execution = self._services.clock.now(), cannot.execution
        fresh = State.QUEUED if delivery.start is None else State.RUNNING
        state = fresh if execution is None else execution.state
        changes: list[Change] = [Resume(delivery.execution_id, now)] if state is State.WAITING else []
        if execution is not None and execution.cancel_asked_at is not None:
            end = End(delivery.execution_id, State.CANCELLED, Outcome.CANCELLED, now)
            begun = AttemptStart(execution.started_at, execution.attempt)
            changes += await batch_entries(self._services, delivery.execution_id)
            changes += [end, *await follow_up(self._services, end, cannot.envelope, None, None, begun)]
        else:
            changes.append(Park(delivery.execution_id, now, None, f"{BLOCKED}{cannot.reason}"))
        await self._commit(delivery, changes)
        if state is State.QUEUED:
            self._on_start(delivery.flow_id)
        await self._wake_parent(cannot.envelope)

    async def end(self, delivery: Delivery, error: ErrorInfo) -> None:
        """End an execution as failed that the engine itself can't run, so that it is seen and can be retried."""
        try:
            await self._end(delivery, error)
        except (StoreError, FlowNotFound, FlowInvalid):
            await delivery.retry(STORE_RETRY)
        except (IllegalStateChange, ExecutionNotFound):
            await delivery.ack()
        else:
            await delivery.ack()

    async def _end(self, delivery: Delivery, error: ErrorInfo) -> None:
        now = self._services.clock.now()
        execution = await self._services.store.execution(delivery.execution_id)
        envelope = delivery.envelope or await readable_envelope(self._services.store, delivery.execution_id)
        queued = execution is not None and execution.state is State.QUEUED
        changes: list[Change] = []
        if queued:
            flow = self._versions.current(delivery.flow_id)
            changes += self._loader.start_changes(flow, delivery.execution_id, now)
        end = End(delivery.execution_id, State.FAILED, Outcome.FAILED, now, error)
        changes.append(end)
        if envelope is not None:
            begun = AttemptStart(None, 1)
            if execution is not None:
                begun = AttemptStart(execution.started_at, execution.attempt)
            ran_on = await self._flow_of(execution)
            changes += await follow_up(self._services, end, envelope, ran_on, None, begun)
        await self._commit(delivery, changes)
        if envelope is not None:
            await self._wake_parent(envelope)
        if queued:
            self._on_start(delivery.flow_id)

    async def _commit(self, delivery: Delivery, changes: list[Change]) -> None:
        await self._services.store.commit(changes)
        self._services.events.committed(delivery.flow_id, delivery.execution_id, changes)

    async def _flow_of(self, execution: Execution | None) -> CompiledFlow | None:
        """The version that an execution has run on; None if it isn't known."""
        if execution is None or execution.flow_version is None:
            return None
        try:
            return await self._versions.version(execution.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid):
            return None
