"""Many flows that ask the queue at the same moment have one query for all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, make_url

from hookline.api import StoreError
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.databases.database import Database
from hookline_sqlstore.queue.flow_feed import Feed, InlineBudget
from hookline_sqlstore.queue.pages import Page, ReadPages
from hookline_sqlstore.sqlite_backend import SqliteBackend


class _Counted:
    """The queries of a database, counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.count = 0
        self.fail = False

    async def read(self, question: Callable[[Connection], Any], *, long: bool = False) -> Any:
        self.count += 1
        if self.fail:
            raise StoreError("it can't be read")
        return await self._database.read(question, long=long)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteBackend]:
    backend = SqliteBackend(make_url(f"sqlite:///{tmp_path}/hookline.db"), clock=clock)
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture
def counted(backend: SqliteBackend) -> _Counted:
    return _Counted(backend._database)


@pytest.fixture
def ask(counted: _Counted, clock: ManualClock) -> Callable[[str], asyncio.Task[Page]]:
    pages, budget = ReadPages(cast(Database, counted), clock), InlineBudget(1_000_000)
    return lambda flow_id: asyncio.create_task(pages.next(Feed(flow_id, budget), (), 64))


async def test_flows_that_have_nothing_share_one_query(
    backend: SqliteBackend, counted: _Counted, clock: ManualClock, ask: Callable[[str], asyncio.Task[Page]]
) -> None:
    envelope = Envelopes(clock).make("flow-7")
    await backend.queue.put(envelope)
    pages = await asyncio.gather(*(ask(f"flow-{number}") for number in range(500)))
    assert counted.count == 3  # one for all, and two for the page of the one that has something
    assert [row.id for row in pages[7].rows] == [envelope.execution_id]
    assert all(page.complete and not page.rows for number, page in enumerate(pages) if number != 7)


async def test_few_flows_read_their_pages_at_once(counted: _Counted, ask: Callable[[str], asyncio.Task[Page]]) -> None:
    await asyncio.gather(*(ask(f"flow-{number}") for number in range(3)))
    assert counted.count == 3


async def test_a_flow_that_is_closed_meanwhile_does_not_end_the_query_of_the_others(
    ask: Callable[[str], asyncio.Task[Page]],
) -> None:
    tasks = [ask(f"flow-{number}") for number in range(100)]
    for _ in range(2):
        await asyncio.sleep(0)
    tasks[0].cancel()
    pages = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(pages[0], asyncio.CancelledError)
    assert pages[1:] == [Page((), complete=True)] * 99


async def test_an_error_reaches_all_and_the_next_query_is_a_new_one(
    counted: _Counted, ask: Callable[[str], asyncio.Task[Page]]
) -> None:
    counted.fail = True
    found = await asyncio.gather(*(ask(f"flow-{number}") for number in range(100)), return_exceptions=True)
    assert all(isinstance(one, StoreError) for one in found)
    counted.fail = False
    assert await asyncio.gather(*(ask(f"flow-{number}") for number in range(100))) == [Page((), complete=True)] * 100
