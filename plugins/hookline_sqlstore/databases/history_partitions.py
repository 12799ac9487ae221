"""The partitions of the history on PostgreSQL: they are made a week ahead, and removed whole.

An execution that has ended, and that nobody has to decide on, is in the history: in a partition by the time in its id.
So are its journal and its payload from the beginning. A default partition stands by for ids of other times. Executions
that are not in the history are few, and together in one partition.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hookline.api import StoreError
from hookline.api_storage import PartitionUpkeep
from hookline_sqlstore.column_values import first_id, micros
from hookline_sqlstore.node_lease import NOW

AHEAD: Final = timedelta(days=7)
"""The time for which partitions are made in advance."""
_LENGTHS: Final = (1, 7, 28)
"""The days that a partition may cover. The longest retention has at most `_FEW` partitions, if it is short enough."""
_FEW: Final = 45
_DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCK_LIMIT: Final = 1.0
"""Seconds to wait for a lock. Others that need the table wait meanwhile."""
_TRIES: Final = 5
_PAUSE: Final = 1.0
_STATEMENT_LIMIT: Final = 600
"""Seconds of a statement that reads a whole partition, which nobody waits for."""
_IDLE_LIMIT: Final = 5
MOVED: Final = 1000
"""The most executions that are moved out of a partition; one with more stays until there are fewer."""
MOVED_ROWS: Final = 20_000
"""The most rows of a partitioned table that they may have. Others wait for the table while rows are moved."""

_log: Final = logging.getLogger("hookline.store")

_HISTORY: Final = "executions_history"
_PARTS: Final = ("journal", "payloads")
"""The partitioned tables with parts of executions. Their partitions are removed after those of the executions:
except for a few, their rows then belong to no execution."""
_KEYS: Final = {_HISTORY: "id", **dict.fromkeys(_PARTS, "execution_id")}
"""The columns by which the tables are partitioned."""
_BELONGING: Final = (
    "blob_refs",
    "callbacks",
    "waits",
    "progress",
    "item_results",
    "batches",
    "batch_members",
    "execution_aliases",
    "tags",
)
"""Other tables with rows of executions."""

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('hookline partitions'), hashtext(current_schema()))"
_LEASE: Final = f"SELECT 1 FROM nodes WHERE lease = $1 AND gone_at IS NULL AND until > {NOW}"  # noqa: S608 - our own names
_BOUNDS: Final = (
    "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid) AS bound FROM pg_inherits"
    " JOIN pg_class AS child ON child.oid = pg_inherits.inhrelid JOIN pg_class AS parent"
    " ON parent.oid = pg_inherits.inhparent WHERE parent.relname = $1"
    " AND parent.relnamespace = quote_ident(current_schema())::regnamespace"
)
_BOUND: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'([0-9a-f-]*)')\) TO \('([0-9a-f-]+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition, other than the default one."""

    name: str
    start: datetime | None
    """None if it has everything before its end."""
    end: datetime

    def overlaps(self, other: "Partition") -> bool:
        return (other.start is None or other.start < self.end) and (self.start is None or self.start < other.end)


def partition_length(longest: timedelta) -> timedelta:
    """Return the length of new partitions: a day, or more if executions are kept for long.

    An execution is removed up to one partition late, and each partition costs something, also if nothing is in it.
    """
    return next((timedelta(days=days) for days in _LENGTHS if longest <= days * _FEW * _DAY), _LENGTHS[-1] * _DAY)


def missing(partitions: Sequence[Partition], now: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield the beginning and the end of each partition that is missing for the coming week."""
    known = sorted(partitions, key=lambda partition: partition.end)
    at = now - (now - _EPOCH) % _DAY
    while at < now + AHEAD:
        here = next((one for one in known if (one.start is None or one.start <= at) and at < one.end), None)
        if here is not None:
            at = here.end
            continue
        end = min([at - (at - _EPOCH) % length + length, *(one.start for one in known if one.start and one.start > at)])
        yield at, end
        at = end


class _TooManyStayError(Exception):
    """More executions than may be moved have come into a partition while it was to be removed."""


class Partitions:
    """The upkeep of the partitions, in sessions of its own."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], lease: Callable[[], str]) -> None:
        """`connect` opens a session of asyncpg. `lease` returns the id of this node's lease."""
        self._connect = connect
        self._lease = lease

    async def keep(self, now: datetime, longest: timedelta, before: datetime) -> PartitionUpkeep:
        """Make the partitions of the coming week, and remove those of executions that all ended before a time.

        Raises the errors of the driver. A partition that can't be made or removed now is left to the next time.
        """
        session = await self._connect()
        try:
            length = partition_length(longest)
            for table in _KEYS:
                for start, end in missing(await _partitions(session, table), now, length):
                    await self._repeated(session, f"made in {table}", self._make, table, start, end)
            removed = 0
            for partition in await _partitions(session, _HISTORY):
                if partition.end <= before:
                    removed += await self._repeated(
                        session, f"removed from {_HISTORY}", self._remove_executions, partition, before
                    )
            left = await _partitions(session, _HISTORY)
            for table in _PARTS:
                for partition in await _partitions(session, table):
                    if partition.end <= before and not any(map(partition.overlaps, left)):
                        await self._repeated(session, f"removed from {table}", self._remove_parts, table, partition)
            return PartitionUpkeep(removed, _left_to_partitions(left, length, before))
        finally:
            session.terminate()

    async def _repeated(self, session: Any, done: str, work: Callable[..., Awaitable[bool]], *arguments: Any) -> bool:
        """Do something in a transaction that waits for locks only for a moment; try again if they aren't to be had."""
        from asyncpg import DeadlockDetectedError, LockNotAvailableError  # type: ignore[import-untyped]

        for tries in range(1, _TRIES + 1):
            try:
                async with session.transaction():
                    await session.execute(
                        f"SET LOCAL lock_timeout = '{round(1000 * _LOCK_LIMIT)}ms';"
                        f" SET LOCAL statement_timeout = '{_STATEMENT_LIMIT}s';"
                        f" SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_LIMIT}s'"
                    )
                    await session.execute(_ONE_AT_A_TIME)
                    done_now = await work(session, *arguments)
                    if not await session.fetchval(_LEASE, self._lease()):
                        raise StoreError("this node has lost its lease of the database")
                    return done_now
            except _TooManyStayError:
                return False
            except (LockNotAvailableError, DeadlockDetectedError) as error:
                if tries == _TRIES:
                    _log.warning("a partition can't be %s now, and will be later: %s", done, error)
            await asyncio.sleep(_PAUSE)
        return False

    async def _make(self, session: Any, table: str, start: datetime, end: datetime) -> bool:
        """Make a partition, with the rows of its time that the default partition has.

        A table that is attached locks the others less than one that is made as a partition.
        """
        key, first, last = _KEYS[table], first_id(start), first_id(end)
        name = f"{table}_{start:%Y%m%d}"
        await session.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
        await session.execute(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE")
        await session.execute(
            f"WITH moved AS (DELETE FROM {table}_default WHERE {key} >= $1 AND {key} < $2 RETURNING *)"  # noqa: S608 - our own names
            f" INSERT INTO {name} SELECT * FROM moved",
            first,
            last,
        )
        await session.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')")
        return True

    async def _remove_executions(self, session: Any, partition: Partition, before: datetime) -> bool:
        """Remove a partition of executions, with what other tables have of them; those that ended later are moved.

        Return false if too much belongs to executions that stay: dead letters, those that have not ended, and those
        that ended later. All of that would have to be moved, here or with the partitions of the parts.
        """
        young = f"finished_at >= {micros(before)}"
        staying = await _ids(session, f"{_in_range('id', partition)} AND (NOT history OR {young})")
        if len(staying) > MOVED:
            return False
        for table in _PARTS:
            if await _count_rows(session, table, staying) > MOVED_ROWS:
                return False
        for table in _BELONGING:
            await session.execute(
                f"DELETE FROM {table} WHERE {_in_range('execution_id', partition)}"  # noqa: S608 - as above
                f" AND execution_id IN (SELECT id FROM {partition.name} WHERE NOT {young})"
            )
        await _detach(session, _HISTORY, partition.name)
        await _drop(session, _HISTORY, partition.name, young)
        return True

    async def _remove_parts(self, session: Any, table: str, partition: Partition) -> bool:
        """Remove a partition of parts of executions; those of executions that are still there are moved: of dead
        letters, and of executions that have not ended.

        Return false if these are too many, because some have been retried since.
        """
        stored = _in_range("id", partition)
        staying = await _ids(session, stored)
        if len(staying) > MOVED or await _count_rows(session, table, staying) > MOVED_ROWS:
            return False
        await _detach(session, table, partition.name)
        # Nobody is writing parts any more, and the executions of all that are there are committed.
        staying = await _ids(session, stored)
        if len(staying) > MOVED:
            raise _TooManyStayError
        await _drop(session, table, partition.name, "execution_id = ANY($1::text[])", staying)
        return True


async def _detach(session: Any, table: str, name: str) -> None:
    """Detach a partition. From here to the end of the transaction, others wait for the table."""
    await session.execute(f"ALTER TABLE {table} DETACH PARTITION {name}")
    # Not even a large partition may be read from one end to the other now.
    await session.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")


async def _drop(session: Any, table: str, name: str, condition: str, *values: Any) -> None:
    """Drop a detached partition; the rows that meet a condition, which an index finds, move to the default one."""
    await session.execute(f"INSERT INTO {table} SELECT * FROM {name} WHERE {condition}", *values)  # noqa: S608 - as above
    await session.execute(f"DROP TABLE {name}")


async def _ids(session: Any, condition: str) -> list[str]:
    """Return the ids of executions, up to one more than may be moved."""
    rows = await session.fetch(f"SELECT id FROM executions WHERE {condition} LIMIT {MOVED + 1}")  # noqa: S608 - as above
    return [row["id"] for row in rows]


async def _count_rows(session: Any, table: str, ids: Sequence[str]) -> int:
    """Count the rows of executions, up to one more than may be moved."""
    rows = f"SELECT 1 FROM {table} WHERE execution_id = ANY($1::text[]) LIMIT {MOVED_ROWS + 1}"  # noqa: S608 - as above
    count: int = await session.fetchval(f"SELECT count(*) FROM ({rows}) AS found", ids)  # noqa: S608 - as above
    return count


def _in_range(column: str, partition: Partition) -> str:
    first = "" if partition.start is None else first_id(partition.start)
    return f"{column} >= '{first}' AND {column} < '{first_id(partition.end)}'"


async def _partitions(session: Any, table: str) -> list[Partition]:
    """Return the partitions of a table but the default one, oldest first."""
    found = []
    for row in await session.fetch(_BOUNDS, table):
        bound = _BOUND.fullmatch(row["bound"])
        if bound is not None:
            found.append(Partition(row["relname"], None if bound[2] is None else _time(bound[2]), _time(bound[3])))
    return sorted(found, key=lambda partition: partition.end)


def _time(id_: str) -> datetime:
    """Return the time in the beginning of an id."""
    return _EPOCH + timedelta(milliseconds=int(id_.replace("-", "")[:12], 16))


def _left_to_partitions(partitions: Sequence[Partition], length: timedelta, before: datetime) -> datetime:
    """Return the time before which executions have to be purged one by one.

    Later executions are removed with their partition soon enough, unless it is longer than new partitions are.
    """
    for partition in partitions:
        if partition.start is not None and partition.start <= before < partition.end:
            return partition.start if partition.end - partition.start <= length else before
    return before
