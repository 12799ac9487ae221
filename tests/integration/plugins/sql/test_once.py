"""A step that changes a database takes effect once."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from tests.integration.plugins.sql.sql_room import Room, count

from hookline_sql.databases import pools


@pytest.mark.rule(22)
async def test_the_same_key_takes_effect_once_and_gives_the_same_result(books: Room) -> None:
    first = await books("insert", table="invoices", row={"reference": "a"}, key="k1")
    again = await books("insert", table="invoices", row={"reference": "a"}, key="k1")
    assert again == first
    assert await count(books) == 1
    for _ in range(3):
        changed = await books("execute", sql="UPDATE invoices SET pieces = coalesce(pieces, 0) + 1", key="k2")
        assert changed == {"rowcount": 1}
    assert (await books("query", sql="SELECT pieces FROM invoices"))[0]["pieces"] == 1


@pytest.mark.rule(22)
async def test_also_after_a_restart(books: Room) -> None:
    await books("insert", table="invoices", row={"reference": "a"}, key="k")
    after = books.another()
    await after("insert", table="invoices", row={"reference": "a"}, key="k")
    assert await count(after) == 1
    await after.resources.close()


@pytest.mark.rule(22)
async def test_two_attempts_at_once_take_effect_once(books: Room) -> None:
    others = [books.another() for _ in range(4)]
    for number in range(5):
        results = await asyncio.gather(
            *(
                other(
                    "execute",
                    sql="INSERT INTO invoices (reference) VALUES (:r)",
                    params={"r": f"{number}-{index}"},
                    key=f"k{number}",
                )
                for index, other in enumerate(others)
            )
        )
        assert results == [{"rowcount": 1}] * 4
    assert await count(books) == 5
    await asyncio.gather(*(other.resources.close() for other in others))


@pytest.mark.rule(22)
async def test_many_first_uses_at_once_make_the_table_once(room: Room) -> None:
    await room("execute", sql="CREATE TABLE t (a TEXT)", once=False)
    rooms = [room.another() for _ in range(6)]
    await asyncio.gather(*(other("insert", table="t", row={"a": "x"}) for other in rooms))
    assert await count(room, "t") == 6
    await asyncio.gather(*(other.resources.close() for other in rooms))


@pytest.mark.rule(22)
async def test_a_failed_attempt_leaves_its_key_unused(books: Room) -> None:
    error = await books.error("insert", table="invoices", row={"reference": None}, key="k")
    assert error.error_code == "sql.integrity"
    await books("insert", table="invoices", row={"reference": "a"}, key="k")
    assert await count(books) == 1


@pytest.mark.rule(22)
async def test_once_false_takes_effect_each_time_and_makes_no_table(room: Room) -> None:
    await room("execute", sql="CREATE TABLE t (a TEXT)", once=False)
    for _ in range(2):
        await room("insert", table="t", row={"a": "x"}, key="k", once=False)
    assert await count(room, "t") == 2
    error = await room.error("query", sql="SELECT * FROM hookline_effects")
    assert error.error_code == "sql.error"


@pytest.mark.rule(22)
async def test_a_database_that_has_no_place_for_the_table_names_both_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "books.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
    connection.close()
    monkeypatch.setattr(pools, "limit", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
    room = Room(f"sqlite:///{path}")
    error = await room.error("insert", table="t", row={"a": "x"})
    assert (error.error_code, error.retryable) == ("sql.effects", False)
    assert "CREATE TABLE hookline_effects" in error.message
    assert '"once": false' in error.message
    await room.resources.close()


@pytest.mark.rule(22)
@pytest.mark.postgres
async def test_a_user_who_may_not_make_the_table_is_told_both_remedies(postgres: Room, admin: Room) -> None:
    room = postgres
    await room("execute", sql="CREATE TABLE t (a TEXT)", once=False)
    user = make_url(room.url).username
    (row,) = await room("query", sql="SELECT current_schema() AS name")
    await admin("execute", sql=f'REVOKE CREATE ON SCHEMA "{row["name"]}" FROM {user}', once=False)
    error = await room.error("insert", table="t", row={"a": "x"})
    assert error.error_code == "sql.effects"
    assert "CREATE TABLE hookline_effects" in error.message
    assert '"once": false' in error.message
    await room("insert", table="t", row={"a": "x"}, once=False)
