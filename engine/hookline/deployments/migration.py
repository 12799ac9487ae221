"""The migration of waiting executions to other versions of their flows, and the plan of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hookline.access.audit import audited
from hookline.catalog.versions_and_states import VersionResolver
from hookline.deployments.journal_compatibility import Compatibility, CompatibilityChecker
from hookline.deployments.version_history import VersionHistory
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.server_requirements import require_actions
from hookline.kernel.cancellation import shields
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ExecutionNotFound, FlowInvalid, FlowNotFound, IllegalStateChange, JournalIncompatible
from hookline.model.access import Actor
from hookline.model.execution import Execution, ExecutionFilter, State
from hookline.model.message import Envelope
from hookline.storage.change_declarations import Change, Rebind
from hookline.storage.queue import Queue
from hookline.storage.store import Store


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """The result that a migration would have for a waiting execution."""

    execution: Execution
    compatibility: Compatibility


class Migration:
    """Move executions to other versions of their flows if their journals are compatible."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        versions: VersionResolver,
        kept: VersionHistory,
        checker: CompatibilityChecker,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._queue = queue
        self._versions = versions
        self._kept = kept
        self._checker = checker
        self._clock = clock
        self._new_id = new_id

    @shields
    async def migrate(self, execution_id: str, to: str, *, by: Actor) -> None:
        """Bind a waiting execution to another version of its flow: `current`, or the first digits of the version.

        Raises JournalIncompatible, with the step and the reason, if its journal is incompatible; IllegalStateChange if
        it doesn't wait; ExecutionNotFound; FlowNotFound; FlowInvalid if the version can't run; and StoreError.
        """
        execution = await self._store.execution(execution_id)
        envelope = await self._store.envelope(execution_id)
        if execution is None or envelope is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        if execution.state is not State.WAITING or execution.flow_version is None:
            state = "queued, and gets the version that serves" if execution.started_at is None else execution.state
            raise IllegalStateChange(
                f"execution {execution_id} is {state}: only a started execution that waits can be moved"
            )
        version = await self._kept.resolve(execution.flow_id, to)
        if version == execution.flow_version:
            return
        flow = require_actions(await self._versions.version(execution.flow_id, version))
        past = await self._store.journal(execution_id)
        compatibility = await self._checker.check(flow, execution, envelope, past)
        if not compatibility.ok:
            raise JournalIncompatible(f"execution {execution_id}: {compatibility.reason}")
        last = past[-1].seq if past else 0
        now = self._clock.now()
        record = audited(
            self._new_id(),
            now,
            by,
            "execution.move",
            flow_id=flow.id,
            flow_version=flow.version,
            subject=execution_id,
            detail=f"from version {execution.flow_version}",
        )
        await self._store.commit([Rebind(execution_id, flow.version, now, last, flow.vars_to_store()), record])
        await self._queue.wake(execution.flow_id, execution_id)

    async def changes_for_retry(
        self, execution: Execution, now: datetime
    ) -> tuple[CompiledFlow, Sequence[Change]] | None:
        """The current version and the changes that bind a failed execution to it on a retry; None if it keeps its
        version.

        It keeps its version if that is the current one, if the current one can't run, and if its journal is
        incompatible. Raises FlowInvalid if only other nodes can tell, and StoreError.
        """
        try:
            flow = self._versions.current(execution.flow_id)
        except (FlowNotFound, FlowInvalid):
            return None
        if execution.flow_version in (None, flow.version):
            return None
        require_actions(flow)
        envelope = await self._store.envelope(execution.id)
        if envelope is None:
            return None
        past = await self._store.journal(execution.id)
        compatibility = await self._checker.check(flow, execution, envelope, past, retried=True)
        if not compatibility.ok:
            return None
        last = past[-1].seq if past else 0
        rebind = Rebind(execution.id, flow.version, now, last, flow.vars_to_store())
        return flow, (*self._versions.publish_changes(flow, now), rebind)

    async def plan(
        self, flow: CompiledFlow, cursor: str | None = None, limit: int = 50
    ) -> tuple[Sequence[PlannedMigration], str | None]:
        """Check the waiting executions of a flow against a version, which need not be published.

        Returns one page, newest first, and the cursor of the next page. Queued executions are left out: they get the
        version that is current when they start. Raises ValueError for an invalid cursor, and StoreError.
        """
        page = await self._store.executions(
            ExecutionFilter(flow_id=flow.id, state=State.WAITING), cursor=cursor, limit=limit
        )
        landings = []
        for summary in page.items:
            execution = summary.execution
            if execution.flow_version is None:
                continue
            envelope = await self._store.envelope(execution.id)
            if envelope is not None:
                landings.append(PlannedMigration(execution, await self._fit(flow, execution, envelope)))
        return landings, page.next

    async def _fit(self, flow: CompiledFlow, execution: Execution, envelope: Envelope) -> Compatibility:
        return await self._checker.check(flow, execution, envelope, await self._store.journal(execution.id))
