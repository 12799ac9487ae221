"""The catalog: the flows that are known, and the version of each that is active."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import CompileResult, compile_document, compile_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.server_requirements import require_verification
from hookline.flows.documents.read import Document
from hookline.kernel.errors import FlowNotFound, Problem

CatalogState: TypeAlias = Literal["active", "paused", "stopped", "broken"]

NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
"""An environment that overrides no vars."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A flow."""

    id: str
    file: Path | None
    """None if it is served from the database."""
    flow: CompiledFlow | None
    """The active version: the last valid one if the file is broken now; None if there never was one."""
    problems: tuple[Problem, ...] = ()
    """The problems of the current document, warnings included."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the document from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def state(self) -> CatalogState:
        """The state in the document of the active version; `broken` if there is none."""
        return "broken" if self.flow is None else self.flow.settings.state


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """The changes made by a refresh."""

    added: tuple[CatalogEntry, ...] = ()
    changed: tuple[CatalogEntry, ...] = ()
    """Flows whose active version is another one, including repaired ones."""
    removed: tuple[CatalogEntry, ...] = ()
    broken: tuple[CatalogEntry, ...] = ()
    """Flows whose documents have new errors, including new ones."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.broken)


class Catalog:
    """The flows by id, and the compiled versions of each that were needed last.

    `FolderCatalog` and `StoredCatalog` read them. Only one thread at a time may call `adopt_entries`. Other threads may
    use everything else meanwhile; they see the entries of one adoption.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        environment: Mapping[str, str] = NO_VARIABLES,
        unverified: Sequence[str] | None = None,
        kept: int = 256,
    ) -> None:
        """`environment`: the variables that may override vars; `unverified`: patterns of the ids of the flows that may
        accept unverified requests, None for all; `kept`: the number of older versions that stay compiled."""
        self.entries: Mapping[str, CatalogEntry] = MappingProxyType({})
        """By flow id."""
        self._registry = registry
        self._environment = environment
        self._unverified = unverified
        self._kept = kept
        self._versions: OrderedDict[tuple[str, str], CompiledFlow] = OrderedDict()
        self._lock = Lock()

    def adopt_entries(self, after: Mapping[str, CatalogEntry]) -> CatalogChanges:
        """Replace all entries at once. The versions that were active stay compiled."""
        before = self.entries
        self.entries = MappingProxyType(dict(sorted(after.items())))
        self._keep(
            entry.flow
            for flow_id, entry in before.items()
            if entry.flow is not None and entry.flow is not _flow(after, flow_id)
        )
        return _changes(before, after)

    def compile(self, document: Document, *, without_actions: bool = False) -> CompileResult:
        """Compile a document as one of this catalog. `without_actions`: see `compile_document`."""
        compiled = compile_document(
            document, self._registry, environment=self._environment, without_actions=without_actions
        )
        problems = tuple(require_verification(compiled.problems, document.flow_id or "", self._unverified))
        if problems == compiled.problems:
            return compiled
        return replace(compiled, flow=None, problems=problems)

    def missing(self, flow_id: str, others: Collection[str] = ()) -> FlowNotFound:
        """Return the error for an unknown flow; `others` are flows that it may mean beside those."""
        return FlowNotFound(f"there is no flow {flow_id!r}", flow_id=flow_id, known={*self.entries, *others})

    def version(self, flow_id: str, version: str) -> CompiledFlow | None:
        """A version of a flow, if it is current or still compiled; otherwise None."""
        current = _flow(self.entries, flow_id)
        if current is not None and current.version == version:
            return current
        with self._lock:
            flow = self._versions.get((flow_id, version))
            if flow is not None:
                self._versions.move_to_end((flow_id, version))
            return flow

    def compile_published(self, document: bytes) -> CompiledFlow:
        """Compile a version that was published earlier, and keep it compiled.

        Raises FlowInvalid if it can't run with the plugins that are installed now.
        """
        flow = compile_flow(document, self._registry, environment=self._environment)
        self._keep([flow])
        return flow

    def _keep(self, flows: Iterable[CompiledFlow]) -> None:
        with self._lock:
            for flow in flows:
                self._versions[flow.id, flow.version] = flow
                self._versions.move_to_end((flow.id, flow.version))
            while len(self._versions) > self._kept:
                self._versions.popitem(last=False)


def _flow(entries: Mapping[str, CatalogEntry], flow_id: str) -> CompiledFlow | None:
    entry = entries.get(flow_id)
    return entry.flow if entry is not None else None


def _changes(before: Mapping[str, CatalogEntry], after: Mapping[str, CatalogEntry]) -> CatalogChanges:
    return CatalogChanges(
        added=tuple(entry for flow_id, entry in after.items() if flow_id not in before),
        changed=tuple(
            entry for flow_id, entry in after.items() if flow_id in before and entry.flow is not before[flow_id].flow
        ),
        removed=tuple(entry for flow_id, entry in before.items() if flow_id not in after),
        broken=tuple(
            entry
            for flow_id, entry in after.items()
            if entry.errors and (flow_id not in before or entry.errors != before[flow_id].errors)
        ),
    )
