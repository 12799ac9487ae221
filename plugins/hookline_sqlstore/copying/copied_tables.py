"""The tables that are copied, and the pages in which they are read."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Select, Table, select

from hookline.api_storage import Row
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.tables import cluster, duties, metadata, node_problems, nodes, rate_parts

_OF_PROCESSES: Final = (nodes, duties, rate_parts, node_problems)
"""Tables about the processes that serve this database; those of another database say nothing about it."""
NEVER_EMPTY: Final = (cluster.name,)
"""Tables that have their rows from the beginning; a copy replaces these."""
TABLES: Final = {table.name: table for table in metadata.sorted_tables if table not in _OF_PROCESSES}
_ROWS: Final = 1000
_BYTES: Final = 4_000_000


def layout() -> str:
    """The name of the latest tables; both sides of a copy have these."""
    return f"hookline_sqlstore {table_versions.latest()}"


def in_order(table: Table) -> Select[tuple[object, ...]]:
    """Select the rows of a table in the order of its key, which is the same in both databases."""
    return select(*table.columns).order_by(*table.primary_key.columns)


def size_of(row: Row) -> int:
    """The bytes of a row, roughly."""
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)


class PageSize:
    """The number of rows of the next page, so that a page has at most so many rows, and about so many bytes at most.

    Rows differ much in size. Each page may have twice the rows of the one before, or as many as fit by its average.
    """

    def __init__(self) -> None:
        self.rows = 8

    def adapt(self, page: Sequence[Row]) -> None:
        """Learn from a page that was read."""
        average = sum(map(size_of, page)) / len(page)
        self.rows = max(1, min(2 * self.rows, _ROWS, round(_BYTES / average)))
