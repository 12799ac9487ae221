"""A database that doesn't answer: the time limit of a step ends it all the same."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.plugins.brokers.proxy import Proxy, ends, ends_at_its_limit
from tests.integration.plugins.sql.sql_room import Room, room_behind_proxy

pytestmark = pytest.mark.rule(21)


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"])
async def through(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Room, Proxy]]:
    """A room whose connections pass a proxy."""
    async with room_behind_proxy(request.param) as (room, proxy):
        yield room, proxy
        await room.resources.close()


@pytest.mark.parametrize("used", [False, True], ids=["new connection", "used connection"])
async def test_a_step_ends_at_its_limit_and_the_next_one_works(through: tuple[Room, Proxy], used: bool) -> None:
    room, proxy = through
    await room("execute", sql="CREATE TABLE a (n INTEGER)", once=False)
    if not used:
        await room.resources.close()
        room.resources = room.another().resources
    proxy.speaks.clear()
    for use, sql in (("query", "SELECT n FROM a"), ("execute", "INSERT INTO a VALUES (1)")):
        await ends_at_its_limit(room(use, sql=sql))
    proxy.speaks.set()
    await room("query", sql="SELECT n FROM a")


async def test_a_step_that_waits_for_a_lock_ends_at_its_limit(through: tuple[Room, Proxy]) -> None:
    room, _ = through
    await room("execute", sql="CREATE TABLE a (n INTEGER)", once=False)
    sql = "SELECT pg_sleep(20)" if room.dialect == "postgresql" else "SELECT SLEEP(20)"
    await ends_at_its_limit(room("query", sql=sql))
    await room("query", sql="SELECT n FROM a")


async def test_the_engine_stops_in_time(through: tuple[Room, Proxy]) -> None:
    room, proxy = through
    await room("query", sql="SELECT 1 AS n")
    proxy.speaks.clear()
    await ends(room.resources.close())


async def test_a_query_of_sqlite_that_has_no_end_is_interrupted(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/a.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"
    # More of them than there are threads.
    await asyncio.gather(*(ends_at_its_limit(room("query", sql=endless)) for _ in range(20)))
    assert await room("query", sql="SELECT 1 AS n") == [{"n": 1}]
    await ends(room.resources.close())


_HANG = """
import asyncio, sys
from threading import Event
from sqlalchemy.engine import make_url
from hookline_sql.databases.address import Address
from hookline_sql.databases.pools import Databases

async def hang():
    databases, begun = Databases(), Event()
    def work(*_):
        begun.set()
        Event().wait()
    running = asyncio.ensure_future(databases.run(Address(make_url(sys.argv[1])), work))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    await databases.close()
    print("closed")

asyncio.run(hang())
"""


def test_a_process_ends_although_a_driver_hangs_in_its_thread(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HANG, f"sqlite:///{tmp_path}/a.db"],
        timeout=60,
        check=True,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("closed\n", "")
