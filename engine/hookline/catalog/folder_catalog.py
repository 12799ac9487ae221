"""The catalog of a folder: the flows in its files, each with its last valid version while its file is broken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hookline.catalog.catalog import NO_VARIABLES, Catalog, CatalogChanges, CatalogEntry
from hookline.catalog.flow_folder import UNKNOWN, FileStamp, read_file, scan, stamp_of
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, Problem

NO_TEXTS: Final[Mapping[Path, bytes | None]] = MappingProxyType({})


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


@dataclass(frozen=True, slots=True)
class FolderReading:
    """The files of a folder as they were read, which aren't active yet."""

    files: Mapping[Path, _File]
    entries: Mapping[str, CatalogEntry]

    def differs_in(self, stamps: Mapping[Path, FileStamp]) -> set[Path]:
        """Return the files that were read with other stamps than these, or that are in only one of both."""
        return {
            path
            for path in {*self.files, *stamps}
            if (file := self.files.get(path)) is None or file.stamp != stamps.get(path)
        }


class FolderCatalog(Catalog):
    """The flows of a folder."""

    def __init__(
        self,
        directory: Path,
        registry: Registry,
        *,
        environment: Mapping[str, str] = NO_VARIABLES,
        unverified: Sequence[str] | None = None,
        kept: int = 256,
    ) -> None:
        super().__init__(registry, environment=environment, unverified=unverified, kept=kept)
        self.directory = directory
        self._files: Mapping[Path, _File] = MappingProxyType({})

    def stamps(self) -> Mapping[str, FileStamp]:
        """Return the files that are active, by name."""
        return {path.name: file.stamp for path, file in self._files.items()}

    def refresh(self) -> CatalogChanges:
        """Read the files that have changed, and activate them.

        Raises OSError if the folder exists but can't be read.
        """
        return self.adopt(self.read())

    def read(self, texts: Mapping[Path, bytes | None] = NO_TEXTS) -> FolderReading:
        """Read the files that have changed. Raises OSError if the folder exists but can't be read.

        `texts` are those that some files are about to have; None is a file that is about to be deleted.
        """
        before = self._files
        files: dict[Path, _File] = {}
        for path, stamp in scan(self.directory).items():
            known = before.get(path)
            if path in texts:
                continue
            fresh = known if known is not None and known.stamp == stamp else self._read(path, stamp, known)
            if fresh is not None:
                # A copy, since the active flows must not change before the reading is adopted.
                files[path] = replace(fresh)
        for path, text in texts.items():
            if text is not None:
                # With a stamp that no file has, so that the file is read the next time.
                files[path] = self._examined(path, UNKNOWN, before.get(path), text)
        if texts:
            files = dict(sorted(files.items()))
        _activate(files)
        return FolderReading(MappingProxyType(files), _entries(files))

    def read_deployed(self, flows: Mapping[str, CompiledFlow | None]) -> FolderReading:
        """Read the files of flows that a deployment serves; None is a flow that it deletes.

        If a file has another text, somebody has changed it meanwhile. Then the deployed version is active until the
        next `read`, which reads that file.
        """
        files = {path: replace(file) for path, file in self._files.items()}
        for flow_id, flow in flows.items():
            path = self.directory / f"{flow_id}.json"
            files.pop(path, None)
            if flow is not None:
                stamp = stamp_of(path)
                file = None if stamp is None else self._read(path, stamp, None)
                if file is None or file.flow is None or file.flow.source != flow.source:
                    file = _File(UNKNOWN, flow_id, flow, ())
                files[path] = file
        files = dict(sorted(files.items()))
        _activate(files)
        return FolderReading(MappingProxyType(files), _entries(files))

    def adopt(self, reading: FolderReading) -> CatalogChanges:
        """Activate what was read."""
        self._files = reading.files
        return self.adopt_entries(reading.entries)

    def _read(self, path: Path, stamp: FileStamp, known: _File | None) -> _File | None:
        serving = known.serving if known is not None else None
        try:
            data = read_file(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _File(stamp, path.stem, None, (unreadable_file(path, error),), serving)
        return self._examined(path, stamp, known, data)

    def _examined(self, path: Path, stamp: FileStamp, known: _File | None, data: bytes) -> _File:
        serving = known.serving if known is not None else None
        try:
            document = read(data, str(path))
        except FlowInvalid as error:
            return _File(stamp, path.stem, None, error.problems, serving)
        examined = self.compile(document)
        claim = document.flow_id or path.stem
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


def _activate(files: Mapping[Path, _File]) -> None:
    """Activate the valid files, except those whose id another file also has."""
    claims: dict[str, list[Path]] = {}
    for path, file in files.items():
        claims.setdefault(file.claim, []).append(path)
    for path, file in files.items():
        others = [other.name for other in claims[file.claim] if other != path]
        file.collisions = tuple(_collisions(path, file, others)) if others else ()
        if file.flow is not None and not others:
            file.serving = file.flow


def _collisions(path: Path, file: _File, others: list[str]) -> list[Problem]:
    problem = Problem(
        f"{path.name} and {', '.join(others)} have the same id {file.claim!r}, so none of them is used",
        "/id",
        "duplicate_flow",
        "give each flow its own id, or remove one of the files",
        file=str(path),
    )
    try:
        return read(read_file(path), str(path)).place([problem])
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


def unreadable_file(path: Path, error: OSError) -> Problem:
    """The problem of a file that the system doesn't let Hookline read."""
    return Problem(
        f"the file can't be read: {error.strerror}",
        code="unreadable",
        remedy="give Hookline permission to read it, or remove it from the folder",
        file=str(path),
    )
