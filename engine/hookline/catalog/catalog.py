"""The flows of a folder, as they serve now."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
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
    """The version that serves: the last good one where the file is broken now; None where there never was one."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the file as it is now, warnings included."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those of the problems that keep the file from being taken."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def state(self) -> CatalogState:
        """What the version that serves says of itself; `broken` where none does."""
        return "broken" if self.flow is None else self.flow.document.state


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """What a refresh changed."""

    added: tuple[CatalogEntry, ...] = ()
    changed: tuple[CatalogEntry, ...] = ()
    """Flows that serve another version now, broken ones that were repaired among them."""
    removed: tuple[CatalogEntry, ...] = ()
    broken: tuple[CatalogEntry, ...] = ()
    """Flows whose files have errors that they didn't have before, new ones included."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.broken)


@dataclass(slots=True)
class _File:
    """A file as it was last read."""

    stamp: FileStamp
    claim: str
    """The id that it wants to have: the one it says, or else its name."""
    flow: CompiledFlow | None
    problems: tuple[Problem, ...]
    serving: CompiledFlow | None = None
    """The last good version of this file."""
    document: Document | None = None
    collisions: tuple[Problem, ...] = ()

    @property
    def id(self) -> str:
        return self.serving.id if self.serving is not None else self.claim


class Catalog:
    """Reads a folder's flows, and keeps the last good version of each while its file is broken.

    `environment` holds the variables that may override vars. `refresh` is called by one thread at a time; everything
    else may be read meanwhile by others, and sees the flows of one refresh.
    """

    def __init__(
        self,
        directory: Path,
        registry: Registry,
        *,
        environment: Mapping[str, str] = _NOTHING,
        kept: int = 256,
    ) -> None:
        """`kept`: how many older versions stay compiled."""
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
        """Take the files as they are now; only those that changed are read.

        Raises OSError where the folder is there and can't be read.
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

    def missing(self, flow_id: str) -> FlowNotFound:
        """Return the error for a flow that isn't in the folder."""
        near = did_you_mean(flow_id, self.entries)
        return FlowNotFound(f"there is no flow {flow_id!r}" + (f" ({near})" if near else ""))

    def version(self, flow_id: str, version: str) -> CompiledFlow | None:
        """A version of a flow, where it is current or among those that are kept compiled."""
        current = _flow(self.entries, flow_id)
        if current is not None and current.version == version:
            return current
        with self._lock:
            flow = self._versions.get((flow_id, version))
            if flow is not None:
                self._versions.move_to_end((flow_id, version))
            return flow

    def compile_published(self, document: bytes) -> CompiledFlow:
        """Compile, and keep compiled, a version that was published earlier.

        Raises FlowInvalid where it can't run with the plugins that are installed now.
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
            return _File(stamp, claim, examined.flow, examined.problems, serving, document)
        problem = Problem(
            f"flow {claim!r} is in a file named {path.name!r}",
            "/id",
            "file_name",
            f"rename the file to {claim}.json, or the flow to {path.stem!r}",
        )
        problems = (*document.place([problem]), *examined.problems)
        return _File(stamp, claim, None, problems, serving, document)

    def _adopt(self, files: Mapping[Path, _File]) -> None:
        """Let good files serve, those whose id another file has too excepted."""
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
        f"{path.name} and {', '.join(others)} both have the id {file.claim!r}; none of them is taken",
        "/id",
        "duplicate_flow",
        "give each flow an id of its own, or remove one of the files",
        file=str(path),
    )
    return [problem] if file.document is None else file.document.place([problem])


def _entries(files: Mapping[Path, _File]) -> dict[str, CatalogEntry]:
    entries: dict[str, CatalogEntry] = {}
    for path, file in files.items():
        problems = (*file.collisions, *file.problems)
        known = entries.get(file.id)
        if known is None:
            entries[file.id] = CatalogEntry(file.id, path, file.serving, problems)
        else:
            # Several files for one id: together they are one entry, whose file is the one that serves.
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
    """What is wrong with a file that the system doesn't let us read."""
    return Problem(
        f"it can't be read: {error.strerror}",
        code="unreadable",
        remedy="let Hookline read it, or take it out of the folder",
        file=str(path),
    )
