"""Flows in a folder: deployments write their files, and people edit them.

The files of a deployment are written in two steps, since no commit covers a database and files. Their texts are synced
in temporary files, and stored in the commit of the deployment; then the temporary files replace the others. If the
process dies in between, the next start writes the stored texts. A file that somebody has edited meanwhile stays.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from hookline.catalog.catalog import CatalogChanges
from hookline.catalog.flow_folder import read_file, scan, watch
from hookline.catalog.folder_catalog import FolderCatalog, FolderReading
from hookline.catalog.settled_folder import SettledFolder, git_lock
from hookline.deployments.flow_storage import NewTexts
from hookline.flows.authoring.formatter import format_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.flows.documents.version import version_of
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import FlowInvalid, FolderReadOnly, StoreError, UnpublishedChanges
from hookline.kernel.fault_points import fault
from hookline.model.deployments_and_drafts import FileKind, FlowFile
from hookline.storage.change_declarations import Change, FilesWritten, SetCases, WriteFiles
from hookline.storage.store import Store

_PREFIX: Final = ".hookline-"
_SUFFIX: Final = ".tmp"
_NOT_ALLOWED: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_ENDINGS: Final[Mapping[FileKind, str]] = {"flow": ".json", "cases": ".test.json"}


class FolderFlowStorage:
    """The flows of a folder."""

    def __init__(self, catalog: FolderCatalog, store: Store, clock: Clock, log: Any) -> None:
        self.catalog = catalog
        self._store = store
        self._log = log
        self._settled = SettledFolder(catalog.directory, clock, log)

    @property
    def problem(self) -> str | None:
        """The reason why there are no flows."""
        folder = self.catalog.directory
        return None if folder.is_dir() else f"the folder of the flows doesn't exist, so no flow is served: {folder}"

    def file(self, flow_id: str, kind: FileKind = "flow") -> Path:
        """The file of a flow, or of its cases."""
        return self.catalog.directory / f"{flow_id}{_ENDINGS[kind]}"

    async def recover(self) -> None:
        """Write the texts that a deployment has stored and not yet written."""
        files = await self._store.unwritten_files()
        await asyncio.to_thread(_remove_staged, self.catalog.directory)
        if files:
            await self.write(files, {})

    async def read(self) -> FolderReading | None:
        """Read the files; None if they have changed meanwhile, or if git is changing them.

        Texts that a deployment has stored and not yet written count as if they were written: another node may be about
        to write them.
        """
        # First: those that are written after this are read from their files.
        unwritten = await self._store.unwritten_files()
        texts = await asyncio.to_thread(self._unwritten_texts, unwritten)
        reading = await asyncio.to_thread(self.catalog.read, texts)
        # In this order: a git command that began before the files were read holds its lock until it has changed all.
        if git_lock(self.catalog.directory) is not None or await asyncio.to_thread(self._has_changed, reading, texts):
            return None
        return reading

    def _has_changed(self, reading: FolderReading, texts: Collection[Path]) -> bool:
        """Return true if a file has changed since it was read, other than those that are about to be written."""
        return not reading.differs_in(scan(self.catalog.directory)) <= set(texts)

    def _unwritten_texts(self, files: Sequence[FlowFile]) -> Mapping[Path, bytes | None]:
        """The texts of flows that are still to be written; those whose file was edited meanwhile won't be."""
        texts: dict[Path, bytes | None] = {}
        for one in files:
            file = self.file(one.flow_id)
            if one.kind == "flow" and _is_replaced(one, _text_in(file)):
                texts[file] = one.text
        return texts

    async def read_deployed(self, flows: Mapping[str, CompiledFlow | None]) -> FolderReading:
        """Read the files of these flows."""
        return await asyncio.to_thread(self.catalog.read_deployed, flows)

    async def settled(self) -> None:
        """Return once no file changes and git isn't at work."""
        await self._settled.wait()

    def adopt(self, reading: FolderReading) -> CatalogChanges:
        """Activate all that was read, at once."""
        return self.catalog.adopt(reading)

    async def stage(self, texts: NewTexts, at: datetime, *, force: bool) -> "StagedFiles":
        """Write temporary files."""
        await self._settled.wait_for_git()
        replaced: dict[str, bytes | None] = {}
        for flow_id in texts.documents:
            self._check_named(flow_id)
            if not force:
                replaced[flow_id] = await self._published(flow_id)
        # For a rollback.
        deleted = {flow_id: await self.cases(flow_id) for flow_id, text in texts.documents.items() if text is None}
        try:
            files, staged = await asyncio.to_thread(self._stage, texts, replaced)
        except OSError as error:
            if error.errno in _NOT_ALLOWED:
                raise FolderReadOnly(f"{self.catalog.directory} can't be written: {error.strerror}") from error
            raise StoreError(f"the files of the flows can't be written: {error}") from error
        kept = tuple(SetCases(flow_id, text, at) for flow_id, text in deleted.items())
        return StagedFiles(self, files, staged, (WriteFiles(tuple(files), at), *kept))

    async def _published(self, flow_id: str) -> bytes | None:
        """Return the text in the file of a flow. Raises UnpublishedChanges if it isn't one of the flow's versions.

        Only this text may be replaced: another one that comes a moment later is an edit.
        """
        file = self.file(flow_id)
        try:
            text = await asyncio.to_thread(_text_in, file)
        except OSError as error:
            raise UnpublishedChanges(f"{file} can't be read: {error.strerror}") from error
        if text is None:
            return None
        current = _document_in(text)
        # A version is stored with the title that it had last.
        stored = None if current is None else await self._store.flow_document(flow_id, version_of(current))
        if current is None or stored is None or format_flow(read(stored).value) != format_flow(current):
            why = "has changes that were never published" if current is not None else "can't be read as a flow"
            raise UnpublishedChanges(
                f"{file} {why}: save its text elsewhere, or give it up with --force, or force=true"
            )
        return text

    def _check_named(self, flow_id: str) -> None:
        """Raise UnpublishedChanges if a file with another name has the flow: of two files with one id, none serves."""
        entry = self.catalog.entries.get(flow_id)
        for problem in () if entry is None else entry.errors:
            if problem.code in ("duplicate_flow", "file_name"):
                raise UnpublishedChanges(f"flow {flow_id!r} can't be written to its own file: {problem}")

    def _stage(self, texts: NewTexts, replaced: Mapping[str, bytes | None]) -> tuple[list[FlowFile], dict[Path, Path]]:
        """The files that are to be written, and the temporary file of each.

        `replaced`: the texts of flows that may be replaced; others may be whatever they are now.
        """
        wanted: list[tuple[str, FileKind, bytes | None]] = []
        for flow_id, document in texts.documents.items():
            wanted.append((flow_id, "flow", None if document is None else format_flow(document).encode()))
            if document is None and flow_id not in texts.cases:
                wanted.append((flow_id, "cases", None))
        wanted += [(flow_id, "cases", cases) for flow_id, cases in texts.cases.items()]
        self.catalog.directory.mkdir(parents=True, exist_ok=True)
        if not os.access(self.catalog.directory, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.catalog.directory))
        files: list[FlowFile] = []
        staged: dict[Path, Path] = {}
        try:
            for flow_id, kind, text in wanted:
                file = self.file(flow_id, kind)
                before = replaced[flow_id] if kind == "flow" and flow_id in replaced else _text_in(file)
                if before == text:
                    continue
                files.append(FlowFile(flow_id, kind, text, None if before is None else _digest(before)))
                if text is not None:
                    staged[file] = _stage_text(file, text)
        except BaseException:
            _remove(staged.values())
            raise
        return files, staged

    async def write(self, files: Sequence[FlowFile], staged: Mapping[Path, Path]) -> None:
        """Write files whose texts are stored, from their temporary files if they have any."""
        await asyncio.to_thread(self._write, files, staged)
        await self._store.commit((FilesWritten(tuple((one.flow_id, one.kind) for one in files)),))

    def _write(self, files: Sequence[FlowFile], staged: Mapping[Path, Path]) -> None:
        folders: set[Path] = set()
        self.catalog.directory.mkdir(parents=True, exist_ok=True)
        for one in files:
            file = self.file(one.flow_id, one.kind)
            before = _text_in(file)
            if before == one.text:
                continue
            if not _is_replaced(one, before):
                self._log.warning(
                    "a file was edited while it was deployed; the edited one stays", file=str(file), flow_id=one.flow_id
                )
                continue
            fault("flow_file.before_commit")
            if one.text is None:
                file.unlink()
                folders.add(file.parent)
            else:
                staged_file = staged.get(file) or _stage_text(file, one.text)
                staged_file.replace(_target(file))
                folders.add(_target(file).parent)
            fault("flow_file.after_commit")
        _remove(staged.values())
        for folder in folders:
            _sync(folder)

    async def document(self, flow_id: str) -> Mapping[str, Any] | None:
        """The document in a flow's file, which need not be published yet."""
        try:
            return _document_in(read_file(self.file(flow_id)))
        except OSError:
            return None

    async def cases(self, flow_id: str) -> bytes | None:
        """The text of a flow's cases."""
        file = self.file(flow_id, "cases")
        try:
            return await asyncio.to_thread(_text_in, file)
        except OSError as error:
            raise StoreError(f"{file} can't be read: {error.strerror}") from error

    async def changes(self) -> AsyncIterator[None]:
        """Yield when files have changed, and nobody is changing more of them."""
        async for _ in watch(self.catalog.directory, self.catalog.stamps):
            await self._settled.wait()
            yield


@dataclass(frozen=True, slots=True)
class StagedFiles:
    """Temporary files, and the change that stores their texts."""

    storage: FolderFlowStorage
    files: Sequence[FlowFile]
    staged: Mapping[Path, Path]
    changes: Sequence[Change]

    async def finish(self) -> None:
        """Replace the files by the temporary ones."""
        await self.storage.write(self.files, self.staged)

    async def discard(self) -> None:
        """Remove the temporary files."""
        await asyncio.to_thread(_remove, self.staged.values())


def _target(file: Path) -> Path:
    """The file itself: a symbolic link stays a link."""
    return file.resolve()


def _document_in(text: bytes) -> Mapping[str, Any] | None:
    """The document in a text; None if it has none."""
    try:
        value = read(text).value
    except FlowInvalid:
        return None
    return value if isinstance(value, dict) else None


def _text_in(file: Path) -> bytes | None:
    try:
        return read_file(file)
    except FileNotFoundError:
        return None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _is_replaced(file: FlowFile, before: bytes | None) -> bool:
    """Return true if a file has the text that a deployment replaces, so that nobody has edited it meanwhile."""
    return (None if before is None else _digest(before)) == file.replaces


def _stage_text(file: Path, text: bytes) -> Path:
    """Write and sync a temporary file beside a file, with its permissions."""
    target = _target(file)
    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o644
    with NamedTemporaryFile("wb", dir=target.parent, prefix=_PREFIX, suffix=_SUFFIX, delete=False) as staged_file:
        made = Path(staged_file.name)
        try:
            staged_file.write(text)
            staged_file.flush()
            made.chmod(mode)
            os.fsync(staged_file.fileno())
        except BaseException:
            made.unlink()
            raise
    return made


def _remove(staged: Collection[Path]) -> None:
    for staged_file in staged:
        staged_file.unlink(missing_ok=True)


def _remove_staged(directory: Path) -> None:
    """Remove the temporary files that a process has left."""
    if directory.is_dir() and os.access(directory, os.W_OK):
        _remove(list(directory.glob(f"{_PREFIX}*{_SUFFIX}")))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
