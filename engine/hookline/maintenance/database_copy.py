"""The copy of a database into another one, which is checked before it is stored."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from hookline.kernel.errors import StoreError
from hookline.kernel.suggestions_and_counts import counted
from hookline.storage.copy_interfaces import CopySource, CopyTarget, Row, TableReader, TableWriter

if TYPE_CHECKING:
    from hashlib import _Hash

ReportProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with the present work, the number of rows that were copied or checked, and their number at the end."""


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The rows of one table: their number, and the SHA-256 of their content in the order of their keys."""

    table: str
    rows: int
    sha256: str


async def copy_database(source: CopySource, target: CopyTarget, progress: ReportProgress) -> Sequence[TableDigest]:
    """Copy all tables, read them back, and store them if they hold the same as those of the source.

    Raises StoreError; then the target holds nothing, unless its last commit is in doubt.
    """
    async with source.reading() as reader, target.filling() as writer:
        if reader.layout != writer.layout:
            raise StoreError(f"tables of {reader.layout} can't be copied into tables of {writer.layout}")
        copy = _Copy(reader, writer, progress)
        read = [await copy.write(table) for table in reader.tables]
        for one in read:
            await copy.check(one)
        await writer.commit()
    return read


class _Copy:
    """The tables of one copy, and the number of rows that are done; each counts twice, as copied and as checked."""

    def __init__(self, reader: TableReader, writer: TableWriter, progress: ReportProgress) -> None:
        self._reader = reader
        self._writer = writer
        self._progress = progress
        self._done = 0
        self._total = 2 * sum(reader.tables.values())

    async def write(self, table: str) -> TableDigest:
        """Copy the rows of a table, and return the digest of what was read."""
        digest = _RunningDigest()
        async for page in self._reader.rows(table):
            await self._writer.write(table, page)
            digest.add(page)
            self._advance(f"copy {table}", len(page))
        if digest.rows != (expected := self._reader.tables[table]):
            raise StoreError(f"{counted(digest.rows, 'row')} of the table {table} were read, of {expected}")
        return digest.end(table)

    async def check(self, read: TableDigest) -> None:
        """Read the rows of a table back. Raises StoreError if they aren't those that were read from the source."""
        digest = _RunningDigest()
        async for page in self._writer.rows(read.table):
            digest.add(page)
            self._advance(f"check {read.table}", len(page))
        written = digest.end(read.table)
        if written != read:
            raise StoreError(
                f"the copy of the table {read.table} isn't the same: {written.rows} rows with the digest "
                f"{written.sha256}, instead of {read.rows} with {read.sha256}. Nothing was stored"
            )

    def _advance(self, what: str, rows: int) -> None:
        self._done += rows
        self._progress(what, self._done, self._total)


class _RunningDigest:
    def __init__(self) -> None:
        self.rows = 0
        self._hash: _Hash = hashlib.sha256()
        self._encoder = msgspec.msgpack.Encoder()

    def add(self, page: Sequence[Row]) -> None:
        self.rows += len(page)
        for row in page:
            # MessagePack tells the types and the ends of values apart.
            self._hash.update(self._encoder.encode(row))

    def end(self, table: str) -> TableDigest:
        return TableDigest(table, self.rows, self._hash.hexdigest())
