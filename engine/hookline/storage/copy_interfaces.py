"""The interfaces of the copy of a backend's database into another one, while no server uses either.

A backend may have these methods beside its store and its queue.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias, runtime_checkable

Row: TypeAlias = Sequence[bytes | str | int | None]
"""The values of one row, in the order of the table's columns."""


class TableReader(Protocol):
    """The tables that are copied, in one state, while nobody else writes to them."""

    layout: str
    """Names the tables and their columns. Rows can only be copied into tables of the same layout."""
    tables: Mapping[str, int]
    """The number of rows of each table, by its name."""

    def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows of a table in the order of its key, in pages of bounded size. Raises StoreError."""
        ...


class TableWriter(Protocol):
    """The empty tables that are copied into. Nothing is stored without `commit`, and no server can use them before."""

    layout: str

    async def write(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table. Raises StoreError."""
        ...

    def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows that were written, as `TableReader` does."""
        ...

    async def commit(self) -> None:
        """Store all rows at once. Raises StoreError; then they may be stored all the same."""
        ...


@runtime_checkable
class CopySource(Protocol):
    """A backend whose tables can be copied into those of another one. It isn't open."""

    def reading(self) -> AbstractAsyncContextManager[TableReader]:
        """Read the tables. Raises StoreError if a server uses the database, or if it has to be upgraded."""
        ...


@runtime_checkable
class CopyTarget(Protocol):
    """A backend into whose tables those of another one can be copied. It isn't open."""

    def filling(self) -> AbstractAsyncContextManager[TableWriter]:
        """Create the tables and write to them. Raises StoreError if they hold anything, or if a server uses them."""
        ...
