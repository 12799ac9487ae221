"""`sql.upsert`: rows that are there already are updated, or kept."""

import asyncio
from typing import Any

import pytest
from tests.integration.plugins.sql.sql_room import SERIAL, Room, count
from tests.integration.plugins.sql.test_bulk import Stream


@pytest.fixture
async def people(room: Room) -> Room:
    await room(
        "execute",
        sql=f"CREATE TABLE people (id {SERIAL[room.dialect]} PRIMARY KEY, email VARCHAR(40) NOT NULL UNIQUE, "
        "nick VARCHAR(20) UNIQUE, name VARCHAR(40), visits INTEGER DEFAULT 1)",
    )
    return room


async def rows(room: Room) -> list[tuple[Any, ...]]:
    found = await room("query", sql="SELECT email, nick, name, visits FROM people ORDER BY email")
    return [tuple(row.values()) for row in found]


async def test_a_row_is_inserted_and_then_updated_by_its_primary_key(books: Room) -> None:
    row = {"reference": "a", "amount": "1.5", "pieces": 1}
    assert await books("upsert", table="invoices", row=row) == {"rowcount": 1, "key": {"reference": "a"}}
    changed = {"reference": "a", "amount": "2.5"}
    assert await books("upsert", table="invoices", row=changed) == {"rowcount": 1, "key": {"reference": "a"}}
    found = await books("query", sql="SELECT reference, amount, pieces FROM invoices")
    assert found == [{"reference": "a", "amount": 2.5, "pieces": 1}]


async def test_a_row_is_the_same_by_another_key_and_its_own_is_in_the_result(people: Room) -> None:
    first = await _upsert(people, {"email": "a@x", "name": "Ada"})
    assert first == {"rowcount": 1, "key": {"id": 1}}
    assert await _upsert(people, {"email": "a@x", "name": "Ada L."}) == first
    assert await rows(people) == [("a@x", None, "Ada L.", 1)]


async def _upsert(room: Room, row: dict[str, Any], **settings: Any) -> Any:
    action = {"table": "people", "row": row, "with_": {"key": ["email"]}, **settings}
    return await room("upsert", **action)


async def test_only_some_columns_are_updated(people: Room) -> None:
    await _upsert(people, {"email": "a@x", "name": "Ada", "visits": 1})
    await _upsert(people, {"email": "a@x", "name": "Eve", "visits": 2}, update=["visits"])
    assert await rows(people) == [("a@x", None, "Ada", 2)]


async def test_a_row_that_is_kept_says_whether_it_is_new(people: Room) -> None:
    first = await _upsert(people, {"email": "a@x", "name": "Ada"}, existing="keep")
    assert first == {"rowcount": 1, "key": {"id": 1}}
    assert await _upsert(people, {"email": "a@x", "name": "Eve"}, existing="keep") == {"rowcount": 0, "key": {"id": 1}}
    assert await rows(people) == [("a@x", None, "Ada", 1)]


async def test_many_rows_are_updated_or_kept_and_counted(people: Room) -> None:
    await _upsert(people, {"email": "3@x", "name": "three"})
    many = [{"email": f"{number}@x", "name": f"n{number}"} for number in range(5)]
    kept = await people("upsert", table="people", rows=many, with_={"key": ["email"]}, existing="keep")
    assert kept == {"rowcount": 4}
    assert [name for _, _, name, _ in await rows(people)] == ["n0", "n1", "n2", "three", "n4"]
    updated = await people(
        "upsert", table="people", rows=[*many, {"email": "1@x", "name": "last"}], with_={"key": ["email"]}
    )
    assert updated == {"rowcount": 6}
    assert [name for _, _, name, _ in await rows(people)] == ["n0", "last", "n2", "n3", "n4"]


async def test_a_stream_is_put_there_and_then_again(books: Room) -> None:
    for _ in range(2):
        assert await books("upsert", table="invoices", rows=Stream(621).items) == {"rowcount": 621}
    assert await count(books) == 621
    kept = await books("upsert", table="invoices", rows=Stream(623).items, existing="keep")
    assert kept == {"rowcount": 2}


@pytest.mark.rule(22)
async def test_an_upsert_takes_effect_once(people: Room) -> None:
    first = await people("upsert", table="people", row={"email": "a@x", "visits": 1}, with_={"key": ["email"]}, key="k")
    await _upsert(people, {"email": "a@x", "visits": 2})
    assert (
        await people("upsert", table="people", row={"email": "a@x", "visits": 1}, with_={"key": ["email"]}, key="k")
        == first
    )
    assert (await rows(people))[0][3] == 2


async def test_another_row_is_not_taken_for_it_by_something_else_that_is_unique(people: Room) -> None:
    await _upsert(people, {"email": "a@x", "nick": "ada", "name": "Ada"})
    for existing in ("update", "keep"):
        error = await people.error(
            "upsert", table="people", row={"email": "b@x", "nick": "ada"}, with_={"key": ["email"]}, existing=existing
        )
        assert (error.error_code, error.retryable) == ("sql.integrity", False)
    assert await rows(people) == [("a@x", "ada", "Ada", 1)]
    await _upsert(people, {"email": "a@x", "nick": "countess"})
    assert await rows(people) == [("a@x", "countess", "Ada", 1)]


async def test_two_at_once_leave_one_row(people: Room) -> None:
    rooms = [people.another() for _ in range(4)]
    for number in range(4):
        results = await asyncio.gather(
            *(
                _upsert(room, {"email": f"{number}@x", "nick": f"n{number} {at}", "visits": at})
                for at, room in enumerate(rooms)
            ),
            return_exceptions=True,
        )
        for result in results:
            # A server may end one of them so that the others go on; it is tried again.
            assert isinstance(result, dict) or getattr(result, "retryable", False), result
    assert await count(people, "people") == 4
    await asyncio.gather(*(room.resources.close() for room in rooms))


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (
            {"row": {"email": "a@x"}, "with_": {"key": ["name"]}},
            "sql.key",
            "`key` (name) isn't unique in table 'people'",
        ),
        ({"row": {"email": "a@x"}, "with_": {"key": ["emial"]}}, "sql.column", "did you mean 'email'?"),
        ({"row": {"email": "a@x"}, "with_": {"key": ["email"]}, "update": ["nme"]}, "sql.column", "'nme'"),
        ({"row": {"name": "Ada"}, "with_": {"key": ["email"]}}, "sql.key", "the row has no 'email'"),
        (
            {"rows": [{"email": "a@x"}, {"email": None}], "with_": {"key": ["email"]}},
            "sql.key",
            "row 1: 'email' is null",
        ),
        ({"row": {"email": "a@x"}}, "sql.key", "the row has no 'id'"),
        ({}, "sql.rows", "either"),
    ],
)
async def test_what_tells_no_row_is_rejected(people: Room, settings: dict[str, Any], code: str, message: str) -> None:
    error = await people.error("upsert", table="people", **settings)
    assert (error.error_code, error.retryable) == (code, False)
    assert message in error.message
    assert await count(people, "people") == 0


async def test_a_table_without_a_key_needs_one_to_be_said(room: Room) -> None:
    await room("execute", sql="CREATE TABLE notes (n INTEGER)")
    error = await room.error("upsert", table="notes", row={"n": 1})
    assert (error.error_code, "no primary key" in error.message) == ("sql.key", True)


async def test_a_key_of_several_columns(room: Room) -> None:
    await room("execute", sql="CREATE TABLE stock (shop INTEGER, sku VARCHAR(9), n INTEGER, PRIMARY KEY (shop, sku))")
    for n in (1, 2):
        await room("upsert", table="stock", rows=[{"shop": 1, "sku": "a", "n": n}, {"shop": 2, "sku": "a", "n": -n}])
    found = await room("query", sql="SELECT n FROM stock ORDER BY shop")
    assert found == [{"n": 2}, {"n": -2}]
    assert await room("upsert", table="stock", row={"shop": 1, "sku": "a"}) == {
        "rowcount": 0,
        "key": {"shop": 1, "sku": "a"},
    }
