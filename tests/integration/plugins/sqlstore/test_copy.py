"""The copy of a SQLite file into a schema of PostgreSQL: all values, in order, or nothing at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import Boolean, Integer, LargeBinary, NullPool, Table, create_engine, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.acceptance.postgres import POSTGRES, postgres_schema

from hookline.api_storage import CopySource, CopyTarget, Inspectable, NodeDescription, Row, TableWriter
from hookline.kernel.errors import StoreError
from hookline.maintenance.database_copy import copy_database
from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend_makers import postgresql, sqlite
from hookline_sqlstore.copying.copied_tables import NEVER_EMPTY, TABLES, PageSize
from hookline_sqlstore.node_lease import Lease, LeaseLost
from hookline_sqlstore.tables import executions, nodes, payloads, state

pytestmark = pytest.mark.postgres


@pytest.fixture
def target_url() -> Iterator[str]:
    with postgres_schema() as url:
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hookline.db"


@pytest.fixture
async def source(file: Path) -> CopySource:
    """A SQLite file whose tables are made."""
    backend = sqlite(f"sqlite:///{file}", clock=ManualClock())
    await backend.open()
    await backend.close()
    assert isinstance(backend, CopySource)
    return backend


@pytest.fixture
def target(target_url: str) -> CopyTarget:
    backend = postgresql(target_url, clock=ManualClock())
    assert isinstance(backend, CopyTarget)
    return backend


def add(file: Path, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        if table.name in NEVER_EMPTY:
            connection.execute(delete(table))
        connection.execute(insert(table), rows)
    engine.dispose()


async def rows_of(url: str, table: Table) -> list[tuple[Any, ...]]:
    address, _, schema = url.partition("?schema=")
    engine = create_async_engine(
        address.replace("postgresql://", "postgresql+asyncpg://"),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": schema}},
    )
    async with engine.connect() as connection:
        found = await connection.execute(select(table).order_by(*table.primary_key.columns))
        rows = [tuple(row) for row in found]
    await engine.dispose()
    return rows


def no_progress(_what: str, _done: int, _total: int) -> None:
    return None


#: Values at the edges of each type; the keys are beside them.
TEXTS = ("", "ä€🎉", "a\tb\r\n\\N", "'\"; --")
NUMBERS = (0, -(2**31), 2**31 - 1)
LARGE_NUMBERS = (0, -(2**63), 2**63 - 1)
BYTES = (b"", b"\0\xff\\x00", bytes(range(256)))


def value(column: Any, number: int) -> Any:
    """The value of a column in one row of a table."""
    if column.name == "owner":
        return None
    if column.primary_key and isinstance(column.type, LargeBinary):
        return f"{number:05}".encode()
    if column.primary_key:
        return number if isinstance(column.type, Integer) else f"key {number:05} ä"
    if column.nullable and number % 4 == 0:
        return None
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, LargeBinary):
        return BYTES[number % 3] + str(number).encode() * (column.name in ("digest", "dedupe_hash", "key_hash"))
    if isinstance(column.type, Integer):
        return (LARGE_NUMBERS if column.type.__class__.__name__ == "BigInteger" else NUMBERS)[number % 3]
    return f"{TEXTS[number % 4]}{number}"


async def test_each_table_holds_the_same_values_afterwards(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    made = {
        name: [{column.name: value(column, number) for column in table.columns} for number in range(13)]
        for name, table in TABLES.items()
    }
    for name, table in TABLES.items():
        add(file, table, made[name])
    seen: list[tuple[int, int]] = []
    copied = await copy_database(source, target, lambda _what, done, total: seen.append((done, total)))
    assert {one.table: one.rows for one in copied} == dict.fromkeys(TABLES, 13)
    assert seen == sorted(seen)
    assert seen[-1] == (26 * len(copied), 26 * len(copied))
    for name, table in TABLES.items():
        rows = await rows_of(target_url, table)
        assert rows == [tuple(row[column.name] for column in table.columns) for row in made[name]], name


async def test_what_a_process_of_the_source_had_is_free_for_any_node(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    common = {"flow_id": "f", "created_at": 3, "attempt": 1, "order_holds": False, "owner": "me/1"}
    unfinished = {**common, "finished_at": None}
    add(
        file,
        executions,
        [
            {**unfinished, "id": "1", "state": "running", "ready_at": None},
            {**unfinished, "id": "2", "state": "queued", "ready_at": 7},
            {**unfinished, "id": "3", "state": "waiting", "ready_at": None},
            {**common, "id": "4", "state": "succeeded", "ready_at": None, "finished_at": 9},
        ],
    )
    await copy_database(source, target, no_progress)
    names = [column.name for column in executions.columns]
    rows = [dict(zip(names, row, strict=True)) for row in await rows_of(target_url, executions)]
    assert [(row["owner"], row["ready_at"]) for row in rows] == [(None, 3), (None, 7), (None, None), ("me/1", None)]


async def test_many_rows_and_large_ones_are_copied_in_pages(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    add(file, state, [{"flow_id": "f", "key": f"{n:06}", "updated_at": n, "value": b"x"} for n in range(5000)])
    add(file, payloads, [{"execution_id": f"{n:02}", "payload": bytes([n]) * 3_000_000} for n in range(10)])
    async with source.reading() as reader:
        pages = [len(page) async for page in reader.rows("state")]
        large = [len(page) async for page in reader.rows("payloads")]
    assert (sum(pages), max(pages), sum(large), max(large)) == (5000, 1000, 10, 8)
    assert large[1:] == [1, 1], "a page grew although its rows are large"
    await copy_database(source, target, no_progress)
    assert len(await rows_of(target_url, state)) == 5000
    assert [row[1][:1] for row in await rows_of(target_url, payloads)] == [bytes([n]) for n in range(10)]


def test_a_page_has_at_most_about_four_megabytes() -> None:
    size = PageSize()
    for _ in range(20):
        size.adapt([("x" * 50, 1)])
    assert size.rows == 1000
    size.adapt([("x" * 10_000_000,)])
    assert size.rows == 1
    size.adapt([("x",)])
    assert size.rows == 2


class _Changing:
    """A target that stores another value than the one it was given."""

    def __init__(self, target: CopyTarget) -> None:
        self._target = target

    @contextlib.asynccontextmanager
    async def filling(self) -> AsyncIterator[TableWriter]:
        async with self._target.filling() as writer:
            write = writer.write

            async def changed(table: str, rows: Sequence[Row]) -> None:
                await write(table, [(*row[:-1], b"changed") if table == "state" else row for row in rows])

            writer.write = changed  # type: ignore[method-assign]  # the fault of this test
            yield writer


async def test_a_copy_that_differs_is_not_stored(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    add(file, state, [{"flow_id": "f", "key": "k", "updated_at": 1, "value": b"value"}])
    with pytest.raises(StoreError, match="the copy of the table state isn't the same"):
        await copy_database(source, _Changing(target), no_progress)
    assert await rows_of(target_url, state) == []
    with pytest.raises(StoreError, match="run `hookline db copy` again"):
        await postgresql(target_url, clock=ManualClock()).open()
    await copy_database(source, target, no_progress)
    assert len(await rows_of(target_url, state)) == 1


async def test_a_target_that_isnt_empty_stays_as_it_is(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    add(file, state, [{"flow_id": "f", "key": "k", "updated_at": 1, "value": b"old"}])
    await copy_database(source, target, no_progress)
    add(file, state, [{"flow_id": "f", "key": "l", "updated_at": 1, "value": b"new"}])
    with pytest.raises(StoreError, match=r"is not empty: there are rows in the tables state\."):
        await copy_database(source, target, no_progress)
    assert [row[1] for row in await rows_of(target_url, state)] == ["k"]
    served = postgresql(target_url, clock=ManualClock())
    await served.open()
    await served.close()


async def test_a_database_that_is_open_is_neither_copied_nor_copied_into(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    other = postgresql(target_url, clock=ManualClock())
    await other.open()
    with pytest.raises(StoreError, match="is served by"):
        await copy_database(source, target, no_progress)
    await other.close()
    served = sqlite(f"sqlite:///{file}", clock=ManualClock())
    await served.open()
    with pytest.raises(StoreError, match="has the database"):
        await copy_database(source, target, no_progress)
    await served.close()


async def _registering(url: str) -> tuple[Any, "asyncio.Task[int]"]:
    """The session of a node that has seen the tables before a copy began, and its registration, which waits."""
    session = await asyncpg.connect(POSTGRES, server_settings={"search_path": url.partition("?schema=")[2]})
    registration = asyncio.create_task(Lease(NodeDescription()).register(session))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = $1"
    other = await asyncpg.connect(POSTGRES)
    async with asyncio.timeout(20):
        while await other.fetchval(waiting, session.get_server_pid()) != 1:  # noqa: ASYNC110 - another session does it
            await asyncio.sleep(0.05)
    await other.close()
    return session, registration


async def test_a_node_that_starts_during_a_copy_serves_the_complete_tables_or_none(
    target: CopyTarget, target_url: str
) -> None:
    async with target.filling():
        session, registration = await _registering(target_url)
    # Nothing was committed, as if the copy was killed.
    with pytest.raises(StoreError, match="run `hookline db copy` again"):
        await registration
    await session.close()
    assert await rows_of(target_url, nodes) == []

    async with target.filling() as writer:
        session, registration = await _registering(target_url)
        await writer.commit()
    assert await registration > 0
    await session.close()
    assert len(await rows_of(target_url, nodes)) == 1


async def test_a_node_that_was_paused_can_write_nothing_into_copied_tables(
    source: CopySource, target: CopyTarget, target_url: str
) -> None:
    served = postgresql(target_url, clock=ManualClock())
    await served.open()
    await served.close()
    session = await asyncpg.connect(POSTGRES, server_settings={"search_path": target_url.partition("?schema=")[2]})
    paused = Lease(NodeDescription())
    await paused.register(session)
    await session.execute("UPDATE nodes SET until = 0")
    await paused.renew(session)
    await session.execute("UPDATE nodes SET until = 0")
    await copy_database(source, target, no_progress)
    with pytest.raises(LeaseLost):
        await paused.renew(session)
    await session.close()


async def test_tables_of_an_older_version_are_to_be_upgraded_before(
    source: CopySource, target: CopyTarget, file: Path
) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(StoreError, match="of version 0001; upgrade them first: `hookline db upgrade`"):
        await copy_database(source, target, no_progress)


async def test_a_text_that_postgresql_cant_store_is_reported_with_its_table(
    source: CopySource, target: CopyTarget, file: Path
) -> None:
    add(file, state, [{"flow_id": "f", "key": "nul\0", "updated_at": 1, "value": b""}])
    with pytest.raises(StoreError, match=r"the table state of the database .* can't be written: .*0x00"):
        await copy_database(source, target, no_progress)


async def test_the_status_tells_the_version_and_creates_nothing(file: Path, target_url: str) -> None:
    missing = sqlite(f"sqlite:///{file}", clock=ManualClock())
    assert isinstance(missing, Inspectable)
    found = await missing.status()
    assert (found.reachable, found.version, found.problem) == (False, None, f"there is no database {file}")
    assert list(file.parent.iterdir()) == []
    await missing.open()
    served = await missing.status()
    await missing.close()
    assert (served.reachable, served.version, served.problem) == (True, served.latest, None)
    assert served.size is not None
    assert served.size > 0

    empty = postgresql(target_url, clock=ManualClock())
    assert isinstance(empty, Inspectable)
    found = await empty.status()
    assert (found.reachable, found.version, found.size, found.problem) == (True, None, 0, None)
    assert await schemas(target_url) == 0
    await empty.open()
    assert (await empty.status()).version == found.latest
    await empty.close()


async def schemas(url: str) -> int:
    """The number of schemas with the name that the URL has."""
    engine = create_async_engine(POSTGRES.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    async with engine.connect() as connection:
        name = url.partition("?schema=")[2]
        found = await connection.scalar(
            select(func.count()).select_from(text("pg_namespace")).where(text("nspname = :name")), {"name": name}
        )
    await engine.dispose()
    return int(found or 0)


async def test_the_status_of_a_server_that_isnt_there_is_unreachable_and_shows_no_password() -> None:
    backend = postgresql("postgresql://me:hunter2@127.0.0.1:1/x?schema=s", clock=ManualClock())
    assert isinstance(backend, Inspectable)
    found = await backend.status()
    assert (found.reachable, found.version, found.size) == (False, None, None)
    assert found.database == "postgresql://me:***@127.0.0.1:1/x, schema s"
    assert "hunter2" not in str(found)


async def test_the_planner_knows_the_copied_tables(
    source: CopySource, target: CopyTarget, file: Path, target_url: str
) -> None:
    rows = [
        {"id": f"{n:05}", "flow_id": "f", "state": "queued", "created_at": n, "attempt": 1, "order_holds": False}
        for n in range(2000)
    ]
    add(file, executions, rows)
    await copy_database(source, target, no_progress)
    engine = create_async_engine(POSTGRES.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool)
    async with engine.connect() as connection:
        schema = target_url.partition("?schema=")[2]
        found = await connection.scalar(
            text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)"), {"name": f"{schema}.executions"}
        )
    await engine.dispose()
    assert found == 2000
