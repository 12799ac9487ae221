"""What a flow sets in a session of its database isn't there for the steps that use the session after it."""

import asyncio
from pathlib import Path

import pytest
from tests.integration.plugins.sql.sql_room import Room

pytestmark = pytest.mark.rule(35)

#: By database, statements that a flow may run, and a query with what another flow has to find.
POSTGRES = [
    ("SET statement_timeout = '7s'", "SELECT current_setting('statement_timeout') AS found", "0"),
    ("SET default_transaction_read_only = on", "SELECT current_setting('transaction_read_only') AS found", "on"),
    ("CREATE TEMP TABLE t AS SELECT 'theirs' AS a", "SELECT string_agg(a, ',') AS found FROM t", "own"),
    ("SELECT pg_advisory_lock(77)", "SELECT count(*) AS found FROM pg_locks WHERE objid = 77", 0),
    ("LISTEN mine", "SELECT count(*) AS found FROM pg_listening_channels()", 0),
    ("PREPARE mine AS SELECT 1", "SELECT count(*) AS found FROM pg_prepared_statements WHERE name = 'mine'", 0),
]
MARIADB = [
    ("SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT @@sql_mode LIKE '%STRICT%' AS found", 1),
    ("SET SESSION time_zone = '+07:00'", "SELECT @@time_zone AS found", "+00:00"),
    ("SET NAMES latin1", "SELECT @@character_set_client AS found", "utf8mb4"),
    ("CREATE TEMPORARY TABLE t AS SELECT 'theirs' AS a", "SELECT group_concat(a) AS found FROM t", "own"),
    ("SET @mine = 1", "SELECT @mine AS found", None),
    ("DO GET_LOCK('mine', 1)", "SELECT IS_USED_LOCK('mine') AS found", None),
    ("USE information_schema", "SELECT database() LIKE 'steps%' AS found", 1),
    ("SET autocommit = 1", "SELECT @@autocommit AS found", 0),
]
SQLITE = [
    ("PRAGMA query_only = ON", "SELECT query_only AS found FROM pragma_query_only", 1),
    ("PRAGMA foreign_keys = ON", "SELECT foreign_keys AS found FROM pragma_foreign_keys", 0),
    ("CREATE TEMP TABLE t AS SELECT 'theirs' AS a", "SELECT group_concat(a) AS found FROM t", "own"),
]


async def _found(room: Room, statement: str, query: str) -> object:
    await room("execute", sql="CREATE TABLE t (a VARCHAR(10))")
    await room("execute", sql="INSERT INTO t VALUES ('own')")
    await room("execute", sql=statement, once=False)
    # A session that lets nothing be written would keep the next step from its work.
    await room("execute", sql="UPDATE t SET a = a WHERE a = 'own'", once=False)
    ((row,),) = [await room("query", sql=query)]
    return row["found"]


@pytest.mark.postgres
@pytest.mark.parametrize(("statement", "query", "expected"), POSTGRES)
async def test_sessions_of_postgresql_are_as_new(postgres: Room, statement: str, query: str, expected: object) -> None:
    assert await _found(postgres, statement, query) == expected


@pytest.mark.parametrize(("statement", "query", "expected"), MARIADB)
async def test_sessions_of_mariadb_are_as_new(mariadb: Room, statement: str, query: str, expected: object) -> None:
    assert await _found(mariadb, statement, query) == expected


@pytest.mark.parametrize(("statement", "query", "expected"), SQLITE)
async def test_sessions_of_sqlite_are_as_new(tmp_path: Path, statement: str, query: str, expected: object) -> None:
    room = Room(f"sqlite:///{tmp_path}/books.db")
    assert await _found(room, statement, query) == expected
    await room.resources.close()


async def test_slow_statements_keep_nobody_from_another_file(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/mine.db")
    endless = "WITH RECURSIVE c(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM c) SELECT count(*) AS found FROM c"
    slow = [asyncio.ensure_future(room("query", sql=endless)) for _ in range(32)]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert await room("query", sql="SELECT 1 AS found", url=f"sqlite:///{tmp_path}/theirs.db") == [{"found": 1}]
    for one in slow:
        one.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await room.resources.close()
