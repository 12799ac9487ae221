"""Loading the executions that are delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from hookline.executions.services import Services
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import (
    FlowInvalid,
    FlowNotFound,
    NotReplayable,
    RedactedUnreadable,
)
from hookline.model.execution import FINAL, ErrorInfo, Execution, State, StepRecord, stored_size
from hookline.model.message import Envelope, is_heavy_message, with_numbers
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor
from hookline.storage.change_declarations import Change, Publish, Resume, Start
from hookline.storage.queue import Delivery


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


class BlockedAtLoad(Exception):
    """The execution can't run until an external cause is gone."""

    def __init__(self, envelope: Envelope, execution: Execution | None, reason: str, *, here: bool = False) -> None:
        """`here`: true if the cause is on this node only, so that another node might run it."""
        self.here = here
        self.envelope = envelope
        self.execution = execution
        self.reason = reason
        super().__init__(reason)


class LoadFailed(Exception):
    """The redacted values of the execution can't be read any more, so it can't run again."""

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
    def vars(self) -> dict[str, Any]:
        """Its vars, as they were when it was bound to its version."""
        if self.execution is None or self.execution.flow_version is None:
            return dict(self.flow.vars)
        return self.flow.read_vars(self.execution.vars)

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
        if self.execution is None or not self.bound or self.limit_begins:
            return self.flow.deadline(now)
        return self.execution.deadline_at

    @property
    def limit_begins(self) -> bool:
        """True if it runs for the first time after a retry or a replay, so that its time limit begins now."""
        execution = self.execution
        if execution is None or not self.bound or execution.deadline_at is not None:
            return False
        return execution.attempt > 1 or self.envelope.arrival.replay_of is not None


class ExecutionLoader:
    """Loads executions that are delivered."""

    def __init__(self, services: Services, versions: Versions) -> None:
        self._services = services
        self._versions = versions

    async def load(self, delivery: Delivery, flow: CompiledFlow | None = None) -> LoadedExecution | None:
        """Load an execution; None if it has ended. `flow`: the version on which it runs, if it is known.

        Raises BlockedAtLoad, LoadFailed and StoreError.
        """
        store = self._services.store
        envelope = delivery.envelope or await store.envelope(delivery.execution_id)
        execution = None if delivery.fresh else await store.execution(delivery.execution_id)
        if envelope is None or (execution is not None and execution.state in FINAL):
            return None
        try:
            flow = flow or await self._flow(delivery, execution)
        except FlowNotFound as error:
            raise BlockedAtLoad(envelope, execution, str(error)) from error
        except FlowInvalid as error:
            raise BlockedAtLoad(envelope, execution, str(error), here=True) from error
        if flow.missing_actions:
            names = ", ".join(map(repr, sorted(flow.missing_actions)))
            raise BlockedAtLoad(envelope, execution, f"no plugin here has the action {names}", here=True)
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
            raise BlockedAtLoad(found.envelope, found.execution, error.message) from error
        except NotReplayable as error:
            raise LoadFailed(ErrorInfo(error.code, error.message)) from error
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
            deadline = found.deadline(now) if found.limit_begins else None
            changes = (Resume(execution.id, now, execution.flow_version, deadline),)
        if found.has_key:
            return changes
        # The version that accepted the message redacted nothing.
        key = found.redactor.key_change(found.envelope.execution_id)
        return changes if key is None else (*changes, key)

    def start_changes(self, flow: CompiledFlow, execution_id: str, at: datetime) -> tuple[Change, ...]:
        """The changes that start an execution on a version of its flow."""
        return (*self._versions.publish_changes(flow, at), flow.start(execution_id, at))
