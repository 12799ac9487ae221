"""The operations of operators on executions and flows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Unpack

from hookline.access.audit import About, AuditedOperation, audited
from hookline.catalog.versions_and_states import VersionResolver
from hookline.deployments.deployment_request import CheckedDeployment, DeploymentRequest, Expected
from hookline.deployments.migration import Migration
from hookline.deployments.version_history import VersionHistory
from hookline.deployments.version_switch import VersionSwitch
from hookline.executions.delivery.runner import Runner
from hookline.executions.ending import parent_callback
from hookline.executions.waiting_callers import Ended, Replies
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.callbacks import Callbacks, check_delivered, operator_callback
from hookline.intake.intake import Intake
from hookline.kernel.cancellation import shields
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import (
    DeploymentNotFound,
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    NotForLimitedTokens,
    PollStartsAnew,
    Problem,
    StoreError,
)
from hookline.kernel.pointers_and_patches import escape
from hookline.model.access import Actor
from hookline.model.execution import Execution, ExecutionFilter, Outcome, State
from hookline.operations.bulk import BulkOperation, BulkResult, run_on_page
from hookline.operations.replay import Edit, Replays, ReplayVersion
from hookline.secrets.redaction import Redaction, check_not_erased
from hookline.sources.poll_start import PollRestart, answer_restart, poll_restart
from hookline.storage.change_declarations import (
    Cancel,
    Change,
    DismissDeadLetter,
    End,
    RecordAudit,
    ReleaseOrderKey,
    Reopen,
)
from hookline.storage.queue import Queue
from hookline.storage.store import Store, readable_envelope
from hookline.telemetry.live_events import Events
from hookline.telemetry.metrics import Metrics


class Operations:
    """Retry, replay, cancel, discard, resume and release executions; roll back flows.

    They also work on an engine that is connected but runs no flows. Each operation is recorded with its actor, `by`.
    """

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        intake: Intake,
        callbacks: Callbacks,
        runner: Runner,
        version_switch: VersionSwitch,
        versions: VersionHistory,
        resolver: VersionResolver,
        migration: Migration,
        replays: Replays,
        redaction: Redaction,
        replies: Replies,
        events: Events,
        metrics: Metrics,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._queue = queue
        self._intake = intake
        self._callbacks = callbacks
        self._runner = runner
        self._version_switch = version_switch
        self._versions = versions
        self._resolver = resolver
        self._migration = migration
        self._redaction = redaction
        self._replies = replies
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._new_id = new_id
        self.replay = replays.replay

    @shields
    async def retry(self, execution_id: str, *, by: Actor) -> None:
        """Reopen a failed execution. The steps that have run aren't run again.

        The execution continues with the current version if its journal is compatible with that, otherwise with its own
        version. The time limit of the flow begins anew when it runs.

        Raises ExecutionNotFound, IllegalStateChange if the execution hasn't failed, NotReplayable if its redacted
        values are erased, and StoreError.
        """
        execution = await self._found(execution_id)
        envelope = None if execution.discarded_at is None else await readable_envelope(self._store, execution_id)
        if envelope is not None:
            check_not_erased(envelope, await self._store.journal(execution_id))
        now = self._clock.now()
        changes: list[Change] = [Reopen(execution_id, now)]
        version = execution.flow_version
        newest = await self._migration.changes_for_retry(execution, now)
        if newest is not None:
            flow, rebind = newest
            version = flow.version
            changes += rebind
        record = self._audited(by, "execution.retry", execution, flow_version=version)
        await self._store.commit((*changes, record))
        await self._version_switch.wake(execution.flow_id, execution_id)
        self._events.reopened(execution.flow_id, execution_id)

    @shields
    async def cancel(self, execution_id: str, *, by: Actor | None) -> None:
        """Cancel an execution: interrupt its running steps, then run the `finally` steps around them.

        `by` is None if a flow cancels an execution that it has called, which isn't recorded.
        Raises ExecutionNotFound, IllegalStateChange if it has ended, and StoreError.
        """
        execution = await self._found(execution_id)
        envelope = await readable_envelope(self._store, execution_id)
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self._clock.now())
        tells = None if envelope is None else parent_callback(envelope, end, None, self._new_id())
        changes: list[Change] = [Cancel(execution_id, end.at, tells)]
        if by is not None:
            changes.append(self._audited(by, "execution.cancel", execution))
        try:
            await self._store.commit(changes)
        except StoreError:
            # It may have left the queue nevertheless.
            self._intake.count_again()
            raise
        try:
            ended = await self._store.execution(execution_id)
        except StoreError:
            # It is cancelled, and may have left the queue.
            self._intake.count_again()
            ended = None
        if ended is not None and ended.state is State.CANCELLED and ended.started_at is None:
            self._intake.left_without_running(execution.flow_id)
            self._metrics.ended(execution.flow_id, State.CANCELLED, end.at - execution.created_at)
            self._events.ended(execution.flow_id, execution_id, State.CANCELLED, Outcome.CANCELLED)
            self._replies.deliver(execution_id, Ended(State.CANCELLED))
        self._runner.cancel(execution_id)
        await self._queue.wake(execution.flow_id, execution_id)
        if tells is not None and tells.execution_id is not None:
            await self._queue.wake(tells.flow_id, tells.execution_id)

    async def discard(self, execution_id: str, *, by: Actor, reason: str = "") -> None:
        """Remove a failed execution from the dead letters. The audit records the reason.

        Raises ExecutionNotFound, IllegalStateChange if it hasn't failed or was discarded before, and StoreError.
        """
        record = self._audited(by, "execution.discard", await self._found(execution_id), detail=reason)
        await self._store.commit((DismissDeadLetter(execution_id, self._clock.now()), record))

    async def resume(self, execution_id: str, step: str, body: bytes, *, by: Actor) -> None:
        """Resume a waiting step with a callback from the operator. `step` is its path or its id, `body` is JSON.

        Raises ExecutionNotFound, IllegalStateChange if no such step waits, and StoreError.
        """
        call_id, now = self._new_id(), self._clock.now()
        execution = await self._found(execution_id)
        call = await operator_callback(self._store, self._redaction, execution, step, body, call_id=call_id, at=now)
        (record,) = self._audited(by, "execution.resume", execution, detail=call.path).entries
        call = replace(call, audit=record)
        check_delivered(await self._callbacks.deliver(call), call)

    async def release(self, execution_id: str, *, by: Actor) -> None:
        """Let the next execution with its order key run although this one has failed and holds the key.

        Raises ExecutionNotFound, IllegalStateChange if it hasn't failed, and StoreError.
        """
        record = self._audited(by, "execution.release", await self._found(execution_id))
        await self._store.commit((ReleaseOrderKey(execution_id, self._clock.now()), record))

    async def bulk(
        self,
        operation: BulkOperation,
        chosen: ExecutionFilter,
        *,
        by: Actor,
        version: ReplayVersion = "current",
        step: str | None = None,
        edit: Edit | None = None,
        reason: str = "",
        cursor: str | None = None,
        limit: int = 50,
    ) -> BulkResult:
        """Apply an operation to a page of executions. If the filter has a cause, replayed executions are discarded.

        Raises StoreError, and ValueError for an invalid cursor.
        """
        # A bulk replay that was interrupted can be started again, and replays no dead letter twice.
        discard = chosen.cause is not None

        async def one(execution_id: str) -> str | None:
            match operation:
                case "retry":
                    await self.retry(execution_id, by=by)
                case "cancel":
                    await self.cancel(execution_id, by=by)
                case "discard":
                    await self.discard(execution_id, by=by, reason=reason)
                case "replay":
                    return await self.replay(
                        execution_id, by=by, step=step, version=version, edit=edit, discard=discard
                    )
            return None

        return await run_on_page(self._store, chosen, one, cursor=cursor, limit=limit)

    async def roll_back(
        self, flow_id: str, name: str | None, *, by: Actor, existing: bool | None = None, force: bool = False
    ) -> tuple[str, Sequence[str]]:
        """Deploy an earlier version of a flow, which keeps its title.

        Return the version, and the names of the nodes that may still serve the one before.

        `existing`: see `restart_poll`; `force`: see `DeploymentRequest`. Raises PollStartsAnew, the errors of
        `VersionHistory.target` and `VersionSwitch.deploy`, and FlowInvalid if the version can't run here.
        """
        version = await self._versions.target(flow_id, name)
        with suppress(FlowInvalid):  # The check reports it.
            restart = await self.restart_poll(await self._resolver.version(flow_id, version), existing, by=by)
            if restart is not None and not restart.answered:
                raise PollStartsAnew(
                    f"the poll of version {version} starts anew, because the flow polls something else: say if the "
                    "items that exist start executions (existing: true) or count as seen (existing: false)"
                )
        text = await self._version_switch.with_title(flow_id, await self._versions.document(flow_id, version))
        request = DeploymentRequest(by, {flow_id: text}, served_before=True, force=force)
        deployed = await self._version_switch.deploy(await self._version_switch.check(request))
        return version, deployed.pending

    async def check_rollback(
        self, deployment_id: str, *, by: Actor, visible: frozenset[str] | None = None
    ) -> CheckedDeployment:
        """Return the checked deployment that rolls all flows back to an earlier deployment.

        `visible`: the only flows that the caller may know of. Raises DeploymentNotFound, NotForLimitedTokens if other
        flows would change, FlowInvalid with the problems of all and the versions that aren't stored any more, and
        StoreError.
        """
        if await self._store.deployment(deployment_id) is None:
            raise DeploymentNotFound(f"there is no deployment {deployment_id!r}")
        then = await self._store.served_after(deployment_id)
        now = {one.flow_id: one.version for one in await self._store.served_flows()}
        changing = sorted(flow_id for flow_id in {*then, *now} if then.get(flow_id) != now.get(flow_id))
        if visible is not None and not visible.issuperset(changing):
            raise NotForLimitedTokens("The rollback would also change flows that the token doesn't see.")
        documents = await self._documents({flow_id: then.get(flow_id) for flow_id in changing})
        expected = {
            flow_id: Expected(frozenset({now[flow_id]})) if flow_id in now else Expected(absent=True)
            for flow_id in documents
        }
        request = DeploymentRequest(
            by, documents, expected=expected, rollback_of=deployment_id, served_before=True, visible=visible
        )
        return await self._version_switch.check(request, prefixed=True)

    async def _documents(self, versions: Mapping[str, str | None]) -> dict[str, bytes | None]:
        """The documents of versions by flow id, each with the title that the flow has now; None for no version.

        Raises FlowInvalid with all versions that aren't stored any more, and StoreError.
        """
        documents: dict[str, bytes | None] = {}
        gone: list[Problem] = []
        for flow_id, version in versions.items():
            text = None if version is None else await self._store.flow_document(flow_id, version)
            documents[flow_id] = None if text is None else await self._version_switch.with_title(flow_id, text)
            if version is not None and text is None:
                remedy = "roll back to a later deployment, or deploy the document again"
                message = f"version {version} of flow {flow_id!r} isn't stored any more"
                gone.append(Problem(message, f"/flows/{escape(flow_id)}", "version_gone", remedy))
        if gone:
            raise FlowInvalid(gone)
        return documents

    async def restart_poll(self, flow: CompiledFlow, existing: bool | None = None, *, by: Actor) -> PollRestart | None:
        """Return how the poll of a version would start anew once it serves; None if it wouldn't.

        `existing`: the answer if the items that exist are to start executions, which is kept for that start. Raises
        StoreError.
        """
        serving: CompiledFlow | None = None
        with suppress(FlowNotFound, FlowInvalid):
            serving = self._resolver.current(flow.id)
        restart = await poll_restart(self._store, flow, serving)
        if restart is not None and existing is not None:
            now = self._clock.now()
            record = audited(
                self._new_id(),
                now,
                by,
                "poll.answer",
                flow_id=flow.id,
                flow_version=flow.version,
                detail="existing items start executions" if existing else "existing items count as seen",
            )
            await answer_restart(self._store, flow.id, restart, now, record, existing=existing)
            restart = replace(restart, existing=existing, answered=True)
        return restart

    def _audited(
        self, by: Actor, operation: AuditedOperation, execution: Execution, **more: Unpack[About]
    ) -> RecordAudit:
        """Return the change that records an operation on an execution, with its own version unless `more` names one."""
        about: About = {
            "flow_id": execution.flow_id,
            "flow_version": execution.flow_version,
            "subject": execution.id,
            **more,
        }
        return audited(self._new_id(), self._clock.now(), by, operation, **about)

    async def _found(self, execution_id: str) -> Execution:
        execution = await self._store.execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return execution
