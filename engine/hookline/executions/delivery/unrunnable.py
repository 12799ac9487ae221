"""Executions that can't run: they are parked as blocked, or ended as failed."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from hookline.executions.blocks.batch import batch_entries
from hookline.executions.delivery.loading import BlockedAtLoad, ExecutionLoader, Versions
from hookline.executions.ending import ExecutionStart, follow_up
from hookline.executions.services import Services
from hookline.executions.waiting_callers import Ended
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    StoreError,
    VersionOutdated,
)
from hookline.model.execution import BLOCKED, ErrorInfo, Execution, Outcome, State
from hookline.model.message import Envelope
from hookline.storage.change_declarations import Change, End, Park, Resume
from hookline.storage.queue import Delivery
from hookline.storage.store import readable_envelope

_ELSEWHERE: Final = timedelta(seconds=15)
"""The time after which any node tries an execution that one node can't run."""

LeavingQueue: TypeAlias = Callable[[str], AbstractContextManager[Callable[[], None]]]
"""Called with the id of a flow when an execution is about to leave the queue. It gives a function to call when that is
done, within the context."""


class Unrunnable:
    """Parks or ends executions that can't run."""

    def __init__(
        self,
        services: Services,
        versions: Versions,
        loader: ExecutionLoader,
        leaving_queue: LeavingQueue,
        wake_parent: Callable[[Envelope], Awaitable[None]],
    ) -> None:
        """`wake_parent` wakes the execution whose step waits for the end of one."""
        self._services = services
        self._versions = versions
        self._loader = loader
        self._leaving_queue = leaving_queue
        self._wake_parent = wake_parent

    async def park(self, delivery: Delivery, cause: BlockedAtLoad) -> None:
        """Park an execution as blocked, or end it if it is to be cancelled. Raises StoreError."""
        now, execution = self._services.clock.now(), cause.execution
        fresh = State.QUEUED if delivery.start is None else State.RUNNING
        state = fresh if execution is None else execution.state
        changes: list[Change] = [Resume(delivery.execution_id, now)] if state is State.WAITING else []
        if execution is not None and execution.cancel_asked_at is not None:
            end = End(delivery.execution_id, State.CANCELLED, Outcome.CANCELLED, now)
            begun = ExecutionStart(execution.started_at, execution.attempt)
            changes += await batch_entries(self._services, delivery.execution_id)
            changes += [end, *await follow_up(self._services, end, cause.envelope, None, None, begun)]
        else:
            # Without other nodes, it is ready again when something changes.
            again = now + _ELSEWHERE if cause.here and not self._services.membership.alone else None
            changes.append(Park(delivery.execution_id, now, again, f"{BLOCKED}{cause.reason}", unloaded=True))
        await self._commit(delivery, changes, cause.envelope.accepted_at, leaves_queue=state is State.QUEUED)
        await self._wake_parent(cause.envelope)

    async def end(self, delivery: Delivery, error: ErrorInfo) -> None:
        """End an execution as failed that the engine itself can't run, so that it is seen and can be retried."""
        try:
            await self._end(delivery, error)
        except (StoreError, FlowNotFound, FlowInvalid, VersionOutdated):
            await delivery.redeliver(STORE_RETRY)
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
            begun = ExecutionStart(None, 1)
            if execution is not None:
                begun = ExecutionStart(execution.started_at, execution.attempt)
            ran_on = await self._flow_of(execution)
            changes += await follow_up(self._services, end, envelope, ran_on, None, begun)
        accepted_at = now if execution is None else execution.created_at
        await self._commit(delivery, changes, accepted_at, leaves_queue=queued)
        if envelope is not None:
            await self._wake_parent(envelope)

    async def _commit(
        self, delivery: Delivery, changes: list[Change], accepted_at: datetime, *, leaves_queue: bool
    ) -> None:
        with self._leaving_queue(delivery.flow_id) if leaves_queue else nullcontext() as left:
            await self._services.commit(changes)
            if left is not None:
                left()
        for change in changes:
            if isinstance(change, End):
                self._services.metrics.ended(delivery.flow_id, change.state, change.at - accepted_at)
                self._services.replies.deliver(delivery.execution_id, Ended(change.state))
        self._services.events.committed(delivery.flow_id, delivery.execution_id, changes)

    async def _flow_of(self, execution: Execution | None) -> CompiledFlow | None:
        """The version that an execution has run on; None if it isn't known."""
        if execution is None or execution.flow_version is None:
            return None
        try:
            return await self._versions.version(execution.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid):
            return None
