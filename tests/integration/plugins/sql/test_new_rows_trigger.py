"""`sql.rows`: each new row of a table once, on every database."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.plugins.sql.sql_room import Room

from hookline.api import PollContext, PollResult, StepError
from hookline_sql import register_connectors
from hookline_sql.rows import new_rows_trigger, seen_rows

(connector,) = register_connectors()
TRIGGER = connector.polls["sql.rows"]


async def look(room: Room, cursor: Any = None, *, baseline: bool = False, **settings: Any) -> PollResult:
    given = TRIGGER.settings.model_validate({"url": room.url, **settings})
    ctx: Any = PollContext(
        None,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        room.resources,
        "f",
        datetime(2026, 1, 31, tzinfo=UTC),
        files_root=room.files,
        baseline=baseline,
    )
    assert TRIGGER.run is not None
    return await TRIGGER.run(ctx=ctx, cursor=cursor, **TRIGGER.arguments(given))


async def all_of(room: Room, cursor: Any, **settings: Any) -> tuple[list[Any], Any]:
    found: list[Any] = []
    while True:
        polled = await look(room, cursor, **settings)
        found += [item.body for item in polled.items]
        cursor = polled.cursor
        if not polled.more:
            return found, cursor


@pytest.fixture
async def orders(room: Room) -> Room:
    await room("execute", sql="CREATE TABLE orders (id INTEGER PRIMARY KEY, sku VARCHAR(9), changed_at TIMESTAMP)")
    return room


async def add(room: Room, *ids: int, at: str | None = None) -> None:
    await room("insert", table="orders", rows=[{"id": id_, "sku": f"s{id_}", "changed_at": at} for id_ in ids])


async def test_each_row_comes_once_by_an_id_that_counts_up(orders: Room) -> None:
    await add(orders, 1, 2, 3)
    found, cursor = await all_of(orders, None, table="orders", column="id", max_rows=2)
    assert [row["id"] for row in found] == [1, 2, 3]
    assert found[0] == {"id": 1, "sku": "s1", "changed_at": None}
    assert await all_of(orders, cursor, table="orders", column="id") == ([], cursor)
    await add(orders, 4)
    found, _ = await all_of(orders, cursor, table="orders", column="id")
    assert [row["id"] for row in found] == [4]


async def test_a_row_comes_again_with_another_id_when_the_time_of_its_change_grows(orders: Room) -> None:
    """Rows with one time are told apart, also those that come later with that of the last one."""
    trigger = {"table": "orders", "column": "changed_at", "max_rows": 1}
    await add(orders, 1, 2, at="2026-01-31T08:00:00")
    first = await look(orders, **trigger)
    found, cursor = await all_of(orders, first.cursor, **trigger)
    assert [row["id"] for row in found] == [2]
    await add(orders, 3, at="2026-01-31T08:00:00")
    await orders("execute", sql="UPDATE orders SET changed_at = :at WHERE id = 1", params={"at": "2026-01-31 09:00:00"})
    later = await look(orders, cursor, table="orders", column="changed_at")
    assert [item.body["id"] for item in later.items] == [3, 1]
    assert later.items[1].id != first.items[0].id


@pytest.mark.rule(45)
async def test_rows_that_were_there_before_are_not_new_unless_the_flow_says_so(orders: Room) -> None:
    empty = await look(orders, table="orders", column="id", baseline=True)
    assert not empty.items
    await add(orders, 1, 2)
    found, _ = await all_of(orders, empty.cursor, table="orders", column="id")
    assert [row["id"] for row in found] == [1, 2]
    begun = await look(orders, table="orders", column="id", baseline=True)
    assert not begun.items
    await add(orders, 3)
    found, _ = await all_of(orders, begun.cursor, table="orders", column="id")
    assert [row["id"] for row in found] == [3]


async def test_rows_whose_column_holds_nothing_wait_until_it_does(orders: Room) -> None:
    await add(orders, 1)
    found, cursor = await all_of(orders, None, table="orders", column="changed_at")
    assert found == []
    await orders("execute", sql="UPDATE orders SET changed_at = :at", params={"at": "2026-01-31 09:00:00"})
    found, _ = await all_of(orders, cursor, table="orders", column="changed_at")
    assert [row["id"] for row in found] == [1]


async def test_a_table_without_a_key_has_its_rows_told_apart_by_all_they_hold(room: Room) -> None:
    await room("execute", sql="CREATE TABLE notes (n INTEGER, text VARCHAR(9))")
    await room("insert", table="notes", rows=[{"n": 1, "text": "a"}, {"n": 1, "text": "b"}])
    polled = await look(room, table="notes", column="n")
    assert sorted(item.body["text"] for item in polled.items) == ["a", "b"]
    assert len({item.id for item in polled.items}) == 2


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"table": "order", "column": "id"}, "sql.table", "did you mean 'orders'?"),
        ({"table": "orders", "column": "changed"}, "sql.column", "did you mean 'changed_at'?"),
    ],
)
async def test_what_is_not_there_is_named(orders: Room, settings: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(StepError) as caught:
        await look(orders, **settings)
    assert caught.value.error_code == code
    assert message in caught.value.message


async def test_a_row_that_is_committed_late_with_a_smaller_id_comes_all_the_same(orders: Room) -> None:
    await add(orders, 1, 2, 5)
    found, cursor = await all_of(orders, None, table="orders", column="id")
    assert [row["id"] for row in found] == [1, 2, 5]
    await add(orders, 4)
    late = await look(orders, cursor, table="orders", column="id")
    assert [item.body["id"] for item in late.items] == [4]
    await add(orders, 3, 6)
    found, cursor = await all_of(orders, late.cursor, table="orders", column="id", max_rows=1)
    assert [row["id"] for row in found] == [3, 6]
    assert await all_of(orders, cursor, table="orders", column="id") == ([], cursor)


async def test_a_row_that_is_further_behind_than_the_overlap_does_not_come(orders: Room) -> None:
    trigger = {"table": "orders", "column": "id", "overlap": 2}
    await add(orders, 10)
    _, cursor = await all_of(orders, None, **trigger)
    await add(orders, 7, 8)
    found, cursor = await all_of(orders, cursor, **trigger)
    assert [row["id"] for row in found] == [8]
    wider, _ = await all_of(orders, cursor, **{**trigger, "overlap": 5})
    assert wider == [], "what was too far behind isn't taken for new when the flow says otherwise later"


async def test_times_overlap_by_a_duration(orders: Room) -> None:
    trigger = {"table": "orders", "column": "changed_at"}
    await add(orders, 1, at="2026-01-31T08:00:00")
    _, cursor = await all_of(orders, None, **trigger)
    await add(orders, 2, at="2026-01-31T07:55:00")
    await add(orders, 3, at="2026-01-31T07:54:59")
    found, cursor = await all_of(orders, cursor, **trigger)
    assert [row["id"] for row in found] == [2]
    await add(orders, 4, at="2026-01-31T07:54:59")
    found, _ = await all_of(orders, cursor, **trigger, overlap="10m")
    assert found == []
    await add(orders, 5, at="2026-01-31T09:00:00")
    found, _ = await all_of(orders, cursor, **trigger, overlap=0)
    assert [row["id"] for row in found] == [5]


async def test_rows_that_were_there_at_the_first_poll_are_known_as_far_as_the_overlap_goes(orders: Room) -> None:
    await add(orders, 1, 3)
    first = await look(orders, table="orders", column="id", baseline=True)
    await add(orders, 2)
    found, _ = await all_of(orders, first.cursor, table="orders", column="id")
    assert [row["id"] for row in found] == [2]


async def test_no_more_rows_are_known_than_a_cursor_holds(orders: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (seen_rows, new_rows_trigger):
        monkeypatch.setattr(module, "KNOWN", 3)
    await add(orders, 1, 2, 3, 4, 5)
    found, cursor = await all_of(orders, None, table="orders", column="id")
    assert [row["id"] for row in found] == [1, 2, 3, 4, 5]
    assert [value for value, _ in cursor["seen"]] == [3, 4, 5]
    assert await all_of(orders, cursor, table="orders", column="id") == ([], cursor)
    begun = await look(orders, table="orders", column="id", baseline=True)
    await add(orders, 6)
    found, _ = await all_of(orders, begun.cursor, table="orders", column="id")
    assert [row["id"] for row in found] == [6]


async def test_a_transaction_that_is_open_at_a_look_loses_no_row(postgres: Room) -> None:
    """The one that began first has the smaller id, and commits last."""
    await postgres("execute", sql="CREATE TABLE orders (id BIGSERIAL PRIMARY KEY, sku TEXT)")
    asyncpg = pytest.importorskip("asyncpg")
    slow = await asyncpg.connect(postgres.url)
    try:
        await slow.execute("BEGIN; INSERT INTO orders (sku) VALUES ('slow')")
        await postgres("insert", table="orders", row={"sku": "quick"})
        found, cursor = await all_of(postgres, None, table="orders", column="id")
        assert [row["sku"] for row in found] == ["quick"]
        await slow.execute("COMMIT")
    finally:
        await slow.close()
    found, _ = await all_of(postgres, cursor, table="orders", column="id")
    assert [row["sku"] for row in found] == ["slow"]


@pytest.mark.parametrize(("column", "overlap"), [("id", "5m"), ("changed_at", 5), ("sku", 5), ("sku", "5m")], ids=repr)
async def test_an_overlap_is_of_the_columns_kind(orders: Room, column: str, overlap: Any) -> None:
    with pytest.raises(StepError) as caught:
        await look(orders, table="orders", column=column, overlap=overlap)
    assert caught.value.error_code == "sql.overlap"
    assert repr(column) in caught.value.message


async def test_a_column_of_texts_grows_without_an_overlap(orders: Room) -> None:
    await add(orders, 2)
    found, cursor = await all_of(orders, None, table="orders", column="sku")
    await add(orders, 1, 3)
    more, _ = await all_of(orders, cursor, table="orders", column="sku")
    assert [row["id"] for row in (*found, *more)] == [2, 3]
