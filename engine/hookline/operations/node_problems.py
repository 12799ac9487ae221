"""The problems that a node notices by itself, reported to the store, so that each node shows those of all."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from hookline.discovery.registry import PluginStatus
from hookline.intake.intake import Intake
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import ReportProblems
from hookline.storage.node_problems import NodeProblem, NodeProblemKind
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

SOURCE_PATIENCE: Final = timedelta(minutes=5)
"""The time after which a source that fails is a problem: until then it may work again by itself."""
REPORTED_WITHIN: Final = timedelta(minutes=3)
"""The time for which a report counts: a node that is gone reports nothing."""
_EVERY: Final = 5.0
"""Seconds between two looks at this node."""
_AGAIN: Final = timedelta(minutes=1)
"""The time after which the same problems are reported again."""

_Found: TypeAlias = tuple[NodeProblemKind, str, str]
"""The kind, the subject and the detail of a problem."""


class NodeProblems:
    """Reports the problems of one node."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        store_problem: StoreProblem,
        node: str,
        *,
        failed_plugins: tuple[PluginStatus, ...],
        sources: Callable[[], Mapping[str, SourceStatus]],
        intake: Intake,
    ) -> None:
        """`node`: a name that no other process has. `sources` returns the states of the sources that run here, by
        flow."""
        self._store = store
        self._clock = clock
        self._store_problem = store_problem
        self._node = node
        self._failed_plugins = failed_plugins
        self._sources = sources
        self._intake = intake
        self._since: dict[tuple[NodeProblemKind, str], datetime] = {}
        self._reported: tuple[NodeProblem, ...] = ()
        self._reported_at: datetime | None = None

    async def run(self) -> None:
        """Report the problems of this node whenever they change, and again from time to time, until cancelled."""
        while True:
            try:
                await self.report()
            except StoreError as error:
                self._store_problem.report(error)
            await self._clock.sleep(_EVERY)

    async def report(self) -> None:
        """Report the problems of this node, unless the report would be the same. Raises StoreError."""
        now = self._clock.now()
        problems = tuple(self._current(now))
        fresh = not problems or (self._reported_at is not None and now - self._reported_at < _AGAIN)
        if problems == self._reported and fresh:
            return
        await self._store.commit((ReportProblems(self._node, problems, now, now - REPORTED_WITHIN),))
        self._reported, self._reported_at = problems, now

    async def withdraw(self) -> None:
        """Remove the problems of this node, because it stops. Raises StoreError."""
        if self._reported:
            now = self._clock.now()
            await self._store.commit((ReportProblems(self._node, (), now, now - REPORTED_WITHIN),))
            self._reported = ()

    def _current(self, now: datetime) -> Iterator[NodeProblem]:
        found = tuple(self._found())
        self._since = {(kind, subject): self._since.get((kind, subject), now) for kind, subject, _ in found}
        for kind, subject, detail in found:
            since = self._since[kind, subject]
            if kind != "source_stopped" or now - since >= SOURCE_PATIENCE:
                yield NodeProblem(kind, subject, detail, since)

    def _found(self) -> Iterator[_Found]:
        for plugin in self._failed_plugins:
            yield "plugin_failed", plugin.name, plugin.error or ""
        if self._intake.full is not None:
            yield "disk_budget", "", self._intake.full
        for flow_id, reason in sorted(self._intake.full_flows.items()):
            yield "disk_budget", flow_id, reason
        for flow_id, status in sorted(self._sources().items()):
            if status.error is not None:
                yield "source_stopped", flow_id, status.error
