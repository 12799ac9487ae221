"""The action `sql.insert`, against SQLite and PostgreSQL."""

import uuid
from typing import Any

import pytest
from tests.integration.plugins.sql.sql_room import SERIAL, Room, count


async def test_a_row_is_inserted_and_read_again(books: Room) -> None:
    result = await books(
        "insert",
        table="invoices",
        row={
            "reference": 4711,
            "amount": "1234567890.12345",
            "due": "2026-01-31",
            "paid_at": "2026-01-31T09:00:00+01:00",
            "pieces": "3",
            "settled": True,
        },
    )
    assert result == {"rowcount": 1, "key": {"reference": "4711"}}
    (row,) = await books("query", sql="SELECT * FROM invoices")
    assert row["reference"] == "4711"
    assert row["amount"] == 1234567890.12345
    assert (row["due"], row["pieces"], bool(row["settled"])) == ("2026-01-31", 3, True)
    assert row["paid_at"].replace(" ", "T").startswith("2026-01-31T08:00:00")


async def test_rows_are_inserted_all_or_none(books: Room) -> None:
    many = [{"reference": str(number), "pieces": number} for number in range(1000)]
    assert await books("insert", table="invoices", rows=many) == {"rowcount": 1000}
    assert await count(books) == 1000
    error = await books.error("insert", table="invoices", rows=[{"reference": "new"}, {"reference": "7"}])
    assert (error.error_code, error.retryable) == ("sql.integrity", False)
    assert await count(books) == 1000


async def test_rows_may_leave_different_columns_out(books: Room) -> None:
    await books(
        "insert", table="invoices", rows=[{"reference": "a", "pieces": 1}, {"reference": "b"}, {"reference": "c"}]
    )
    found = await books("query", sql="SELECT reference, pieces FROM invoices ORDER BY reference")
    assert found == [
        {"reference": "a", "pieces": 1},
        {"reference": "b", "pieces": None},
        {"reference": "c", "pieces": None},
    ]


async def test_no_rows_are_no_work(books: Room) -> None:
    assert await books("insert", table="no_such_table", rows=[]) == {"rowcount": 0}
    error = await books.error("insert", table="invoices")
    assert "either" in error.message
    error = await books.error("insert", table="invoices", row={}, rows=[])
    assert "either" in error.message


async def test_a_made_key_is_in_the_result(room: Room) -> None:
    await room("execute", sql=f"CREATE TABLE orders (id {SERIAL[room.dialect]} PRIMARY KEY, text TEXT)")
    assert await room("insert", table="orders", row={"text": "a"}) == {"rowcount": 1, "key": {"id": 1}}
    key = uuid.uuid4().hex
    first = await room("insert", table="orders", row={"text": "b"}, key=key)
    assert (
        await room("insert", table="orders", row={"text": "b"}, key=key) == first == {"rowcount": 1, "key": {"id": 2}}
    )


async def test_a_wrong_table_or_column_is_named_with_what_was_meant(books: Room) -> None:
    error = await books.error("insert", table="invoice", row={"reference": "a"})
    assert (error.error_code, error.retryable) == ("sql.table", False)
    assert "did you mean 'invoices'?" in error.message
    error = await books.error("insert", table="invoices", rows=[{"reference": "a"}, {"referense": "b"}])
    assert error.error_code == "sql.column"
    assert "row 1" in error.message
    assert "did you mean 'reference'?" in error.message


async def test_a_column_that_was_added_meanwhile_is_found(books: Room) -> None:
    await books("insert", table="invoices", row={"reference": "a"})
    await books("execute", sql="ALTER TABLE invoices ADD COLUMN note TEXT")
    await books("insert", table="invoices", row={"reference": "b", "note": "new"})
    assert await count(books) == 2


@pytest.mark.parametrize(
    ("column", "value", "needed"),
    [
        ("amount", "12,50", "a number"),
        ("amount", True, "a number"),
        ("amount", "NaN", "a finite number"),
        ("due", "31.1.2026", "2026-01-31"),
        ("paid_at", 1700000000, "2026-01-31T08:00:00Z"),
        ("pieces", 1.5, "a whole number"),
        ("pieces", "many", "a whole number"),
        ("settled", "yes", "true or false"),
        ("reference", {"#text": "a"}, "tojson"),
    ],
)
async def test_a_value_that_does_not_fit_its_column_is_named(books: Room, column: str, value: Any, needed: str) -> None:
    error = await books.error("insert", table="invoices", row={"reference": "a", column: value})
    assert (error.error_code, error.retryable) == ("sql.value", False)
    assert column in error.message
    assert needed in error.message
