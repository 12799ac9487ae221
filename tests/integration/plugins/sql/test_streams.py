"""`sql.query` with `stream`: rows one by one, however many there are."""

import asyncio
from typing import Any

import pytest
from tests.integration.plugins.sql.sql_room import Room

from hookline.api import Context


def many(room: Room, count: int) -> str:
    """A query of so many rows."""
    if room.dialect == "mysql":
        return f"SELECT seq AS n FROM seq_1_to_{count}"
    return (
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
        "SELECT n FROM numbers"
    )


async def _rows(room: Room, sql: str) -> Any:
    action = room.connector.actions["sql.query"]
    settings = action.settings.model_validate({"url": room.url, "sql": sql, "stream": True})
    fields: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
    context: Context[Any] = Context(**{**fields, "resources": room.resources, "files_root": room.files})
    made: Any = action.run(ctx=context, **action.arguments(settings))
    return await made


async def test_all_rows_of_a_stream_come_in_order(room: Room) -> None:
    found = await room("query", sql=many(room, 25_000), stream=True)
    assert [row["n"] for row in found] == list(range(1, 25_001))
    assert await room("query", sql="SELECT 1 AS n WHERE 1 = 0", stream=True) == []


async def test_what_is_wrong_with_a_stream_is_said_as_without(room: Room) -> None:
    error = await room.error("query", sql=many(room, 2_001), stream=True, max_rows=2_000)
    assert error.error_code == "sql.rows"
    assert (await room.error("query", sql="SELECT nothing", stream=True)).error_code.startswith("sql.")
    assert (await room.error("query", sql="CREATE TABLE x (n INTEGER)", stream=True)).error_code == "sql.read_only"
    assert (await room.error("query", sql=many(room, 10_001))).error_code == "sql.rows"


async def test_a_stream_that_is_left_holds_no_connection(room: Room) -> None:
    for _ in range(12):
        rows = await _rows(room, many(room, 100_000))
        assert await anext(rows) == {"n": 1}
        await rows.aclose()
    # There are 8 connections.
    assert await asyncio.wait_for(room("query", sql="SELECT 1 AS n"), 10) == [{"n": 1}]


@pytest.mark.parametrize("room", [pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"], indirect=True)
async def test_a_stream_whose_step_is_over_does_not_wait_for_the_server(room: Room) -> None:
    slow = "SELECT sleep(3600) AS n" if room.dialect == "mysql" else "SELECT pg_sleep(3600)::text AS n"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await room("query", sql=slow, stream=True)
    assert await room("query", sql="SELECT 1 AS n") == [{"n": 1}]
