"""The catalog: the flows of a folder, and the version of each that is active."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from hookline.catalog.flow_folder import FileStamp, scan
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compile import compile_document, compile_flow
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.documents.read import Document, read
from hookline.kernel.errors import FlowInvalid, FlowNotFound, Problem
from hookline.kernel.suggest import did_you_mean

CatalogState: TypeAlias = Literal["active", "paused", "stopped", "broken"]

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A flow of the folder."""

    id: str
    file: Path
    flow: CompiledFlow | None
    """The active version: the last valid one if the file is broken now; None if there never was one."""
    problems: tuple[Problem, ...] = ()
    """The problems of the current file, warnings included."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep the file from being used."""
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
    """Flows whose files have new errors, including new files."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.broken)


@dataclass(slots=True)
class _File:
    """A file as it was last read."""

    stamp: FileStamp
    claim: str
    """The id in the file, or else the file's name."""
    flow: CompiledFlow | None
    problems: tuple[Problem, ...]
    serving: CompiledFlow | None = None
    """The last valid version of this file."""
    collisions: tuple[Problem, ...] = ()

    @property
    def id(self) -> str:
        return self.serving.id if self.serving is not None else self.claim


class Catalog:
    """Reads a folder's flows, and keeps the last valid version of each while its file is broken.

    `environment` holds the variables that may override vars. Only one thread at a time may call `refresh`. Other
    threads may use everything else meanwhile; they see the flows of one refresh.
    """

    def __init__(
        self,
        directory: Path,
        registry: Registry,
        *,
        environment: Mapping[str, str] = _NOTHING,
        kept: int = 256,
    ) -> None:
        """`kept`: the number of older versions that stay compiled."""
        self.directory = directory
        self.entries: Mapping[str, CatalogEntry] = MappingProxyType({})
        """By flow id."""
        self._registry = registry
        self._environment = environment
        self._files: dict[Path, _File] = {}
        self._kept = kept
        self._versions: OrderedDict[tuple[str, str], CompiledFlow] = OrderedDict()
        self._lock = Lock()

    def refresh(self) -> CatalogChanges:
        """Read the files that have changed.

        Raises OSError if the folder exists but can't be read.
        """
        stamps = scan(self.directory)
        files: dict[Path, _File] = {}
        for path, stamp in stamps.items():
            known = self._files.get(path)
            fresh = known if known is not None and known.stamp == stamp else self._read(path, stamp, known)
            if fresh is not None:
                files[path] = fresh
        self._adopt(files)
        before, after = self.entries, _entries(files)
        self._files = files
        self.entries = MappingProxyType(after)
        self._keep(
            entry.flow
            for flow_id, entry in before.items()
            if entry.flow is not None and entry.flow is not _flow(after, flow_id)
        )
        return _changes(before, after)

    def missing(self, flow_id: str, others: Collection[str] = ()) -> FlowNotFound:
        """Return the error for a flow that isn't in the folder; `others` are flows that it may mean beside those."""
        near = did_you_mean(flow_id, {*self.entries, *others})
        return FlowNotFound(f"there is no flow {flow_id!r}" + (f" ({near})" if near else ""))

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

    def _read(self, path: Path, stamp: FileStamp, known: _File | None) -> _File | None:
        serving = known.serving if known is not None else None
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return _File(stamp, path.stem, None, (unreadable_file(path, error),), serving)
        try:
            document = read(data, str(path))
        except FlowInvalid as error:
            return _File(stamp, path.stem, None, error.problems, serving)
        examined = compile_document(document, self._registry, environment=self._environment)
        claim = _claim(document) or path.stem
        if claim == path.stem:
            return _File(stamp, claim, examined.flow, examined.problems, serving)
        problem = Problem(
            f"flow {claim!r} is in the file {path.name!r}",
            "/id",
            "file_name",
            f"rename the file to {claim}.json, or the flow to {path.stem!r}",
        )
        problems = (*document.place([problem]), *examined.problems)
        return _File(stamp, claim, None, problems, serving)

    def _adopt(self, files: Mapping[Path, _File]) -> None:
        """Activate the valid files, except those whose id another file also has."""
        claims: dict[str, list[Path]] = {}
        for path, file in files.items():
            claims.setdefault(file.claim, []).append(path)
        for path, file in files.items():
            others = [other.name for other in claims[file.claim] if other != path]
            file.collisions = tuple(_collisions(path, file, others)) if others else ()
            if file.flow is not None and not others:
                file.serving = file.flow


def _claim(document: Document) -> str | None:
    value = document.value
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None


def _collisions(path: Path, file: _File, others: list[str]) -> list[Problem]:
    problem = Problem(
        f"{path.name} and {', '.join(others)} have the same id {file.claim!r}, so none of them is used",
        "/id",
        "duplicate_flow",
        "give each flow its own id, or remove one of the files",
        file=str(path),
    )
    try:
        return read(path.read_bytes(), str(path)).place([problem])
    except (OSError, FlowInvalid):
        return [problem]


def _entries(files: Mapping[Path, _File]) -> dict[str, CatalogEntry]:
    entries: dict[str, CatalogEntry] = {}
    for path, file in files.items():
        problems = (*file.collisions, *file.problems)
        known = entries.get(file.id)
        if known is None:
            entries[file.id] = CatalogEntry(file.id, path, file.serving, problems)
        else:
            # Several files with one id are one entry. Its file is the one with the active version.
            serves = path if known.flow is None and file.serving is not None else known.file
            entries[file.id] = replace(
                known, file=serves, flow=known.flow or file.serving, problems=(*known.problems, *problems)
            )
    return dict(sorted(entries.items()))


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


def unreadable_file(path: Path, error: OSError) -> Problem:
    """The problem of a file that the system doesn't let Hookline read."""
    return Problem(
        f"the file can't be read: {error.strerror}",
        code="unreadable",
        remedy="give Hookline permission to read it, or remove it from the folder",
        file=str(path),
    )
