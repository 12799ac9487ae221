"""Many rows at once: from a list or a stream, in one transaction, a page of them in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.plugins.sql.sql_room import Room, count

from hookline.api import StepError
from hookline_sql.databases import streaming


class Stream:
    """Rows that come one by one, and how many of them have."""

    def __init__(self, length: int, wrong: dict[int, Any] | None = None) -> None:
        self.given = 0
        self.closed = False
        self.length = length
        self.wrong = wrong or {}

    async def items(self) -> AsyncIterator[Any]:
        try:
            for number in range(self.length):
                self.given += 1
                if number % 100 == 0:
                    await asyncio.sleep(0)
                yield self.wrong.get(number, {"reference": str(number), "pieces": number})
        finally:
            self.closed = True


async def test_a_stream_is_inserted_whole(books: Room) -> None:
    stream = Stream(2_345)
    assert await books("insert", table="invoices", rows=stream.items) == {"rowcount": 2_345}
    assert await count(books) == 2_345
    assert stream.closed
    (row,) = await books("query", sql="SELECT sum(pieces) AS n FROM invoices")
    assert row["n"] == sum(range(2_345))


@pytest.mark.rule(22)
async def test_a_stream_takes_effect_once(books: Room) -> None:
    for _ in range(2):
        assert await books("insert", table="invoices", rows=Stream(700).items, key="k") == {"rowcount": 700}
    again = Stream(700)
    after = books.another()
    assert await after("insert", table="invoices", rows=again.items, key="k") == {"rowcount": 700}
    await after.resources.close()
    assert again.given <= streaming._TAKEN, "what is done already isn't read to its end"
    assert await count(books) == 700


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ({"reference": "x", "pieces": "many"}, "sql.value", "row 1203: column 'pieces'"),
        ({"reference": "x", "peices": 1}, "sql.column", "row 1203: table 'invoices' has no column 'peices'"),
        ([{"reference": "x"}], "step.settings", "1203: it must be an object"),
        ({"reference": "7"}, "sql.integrity", ""),
    ],
)
async def test_a_row_of_a_stream_that_is_wrong_is_named_and_none_is_inserted(
    books: Room, wrong: Any, code: str, message: str
) -> None:
    stream = Stream(3_000, {1203: wrong})
    error = await books.error("insert", table="invoices", rows=stream.items, key="k")
    assert (error.error_code, error.retryable) == (code, False)
    assert message in error.message
    assert stream.closed
    assert stream.given < 2_000
    assert await count(books) == 0
    assert await books("insert", table="invoices", rows=Stream(10).items, key="k") == {"rowcount": 10}


async def test_a_stream_that_breaks_off_leaves_nothing(books: Room) -> None:
    async def breaks() -> AsyncIterator[Any]:
        for number in range(1_200):
            yield {"reference": str(number)}
        raise StepError("the file ends early", code="store.blob_gone")

    error = await books.error("insert", table="invoices", rows=breaks)
    assert error.error_code == "store.blob_gone"
    assert await count(books) == 0


async def test_a_bulk_that_is_cancelled_leaves_nothing_and_holds_no_connection(books: Room) -> None:
    at = asyncio.Event()

    async def hangs() -> AsyncIterator[Any]:
        for number in range(600):
            yield {"reference": str(number)}
        at.set()
        await asyncio.Event().wait()

    for _ in range(9):
        at.clear()
        running = asyncio.create_task(books("insert", table="invoices", rows=hangs, key="k"))
        await asyncio.wait_for(at.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    # There are 8 connections.
    assert await asyncio.wait_for(count(books), 10) == 0
    assert await books("insert", table="invoices", rows=Stream(600).items, key="k") == {"rowcount": 600}


async def test_an_empty_stream_is_no_work(books: Room) -> None:
    assert await books("insert", table="no_such_table", rows=Stream(0).items) == {"rowcount": 0}
