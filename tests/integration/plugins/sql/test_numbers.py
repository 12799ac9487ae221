"""Numbers in `sql.insert`, `sql.query` and `sql.execute`: what goes in comes out."""

from decimal import Decimal
from pathlib import Path

import pytest
from tests.integration.plugins.sql.sql_room import Room


async def test_money_goes_in_and_out_as_it_is_written(books: Room) -> None:
    for reference, amount in (("a", "0.1"), ("b", 0.1), ("c", "19.99"), ("d", 5)):
        await books("insert", table="invoices", row={"reference": reference, "amount": amount})
    found = await books("query", sql="SELECT amount FROM invoices ORDER BY reference")
    assert [row["amount"] for row in found] == [0.1, 0.1, 19.99, 5]
    (total,) = await books("query", sql="SELECT count(*) AS n FROM invoices WHERE amount = 0.1")
    assert total["n"] == 2


async def test_a_long_decimal_is_kept_exactly_or_rejected(books: Room) -> None:
    long = "12345678901234567890.1234567890123456789"
    if books.url.startswith("sqlite"):
        error = await books.error("insert", table="invoices", row={"reference": "a", "amount": long})
        assert (error.error_code, "TEXT" in error.message) == ("sql.value", True)
        for exact in ("9223372036854775807", "0.123456789012345"):
            await books("insert", table="invoices", row={"reference": exact, "amount": exact})
        found = await books("query", sql="SELECT amount FROM invoices ORDER BY amount")
        assert [row["amount"] for row in found] == [0.123456789012345, 9223372036854775807]
    else:
        await books("insert", table="invoices", row={"reference": "a", "amount": long})
        (row,) = await books("query", sql="SELECT amount FROM invoices")
        assert row["amount"] == Decimal(long)


async def test_exact_numbers_go_in_and_out_with_all_their_digits(books: Room) -> None:
    books.exact = True
    amount = Decimal("12345678901.10")
    made = await books("insert", table="invoices", row={"reference": "a", "amount": amount, "pieces": Decimal("3.00")})
    assert made == {"rowcount": 1, "key": {"reference": "a"}}
    (row,) = await books(
        "query", sql="SELECT amount, pieces FROM invoices WHERE amount = :amount", params={"amount": amount}
    )
    assert row == {"amount": amount, "pieces": 3}
    assert type(row["amount"]) is Decimal
    changed = {"more": Decimal("0.05"), "references": ["a"]}
    await books(
        "execute", sql="UPDATE invoices SET amount = amount + :more WHERE reference IN :references", params=changed
    )
    (row,) = await books(
        "query", sql="SELECT amount FROM invoices WHERE amount > :least", params={"least": Decimal("0.5")}
    )
    assert row == {"amount": Decimal("12345678901.15")}


async def test_postgresqls_decimals_come_with_the_digits_of_their_columns(postgres: Room) -> None:
    postgres.exact = True
    long = Decimal("1234567890123456789012345678901234567890.10")
    sql = "SELECT :one::numeric(10, 2) AS one, :long::numeric AS long, 'NaN'::numeric AS nothing, 0.5::float8 AS half"
    (row,) = await postgres("query", sql=sql.replace("::", "\\:\\:"), params={"one": Decimal("1.1"), "long": long})
    assert repr(row) == repr({"one": Decimal("1.10"), "long": long, "nothing": "NaN", "half": Decimal("0.5")})
    postgres.exact = False
    (row,) = await postgres("query", sql=sql.replace("::", "\\:\\:"), params={"one": Decimal("1.1"), "long": long})
    assert repr(row) == repr({"one": 1.1, "long": long, "nothing": "NaN", "half": 0.5})


async def test_exact_numbers_in_json_columns_stay_numbers(room: Room) -> None:
    await room("execute", sql="CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY, said JSON)")
    said = {"net": Decimal("1.10"), "parts": [Decimal("0.30")]}
    await room("insert", table="notes", row={"id": 1, "said": said})
    await room("execute", sql="INSERT INTO notes (id, said) VALUES (2, :said)", params={"said": said})
    text = "CHAR" if room.dialect == "mysql" else "TEXT"
    found = await room("query", sql=f"SELECT CAST(said AS {text}) AS said FROM notes")
    assert {row["said"] for row in found} == {'{"net":1.10,"parts":[0.30]}'}


async def test_a_fraction_that_sqlite_would_round_is_rejected_as_a_parameter_too(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/books.db")
    for number in ("0.1234567890123456789", "1.0000000000000000000000000000001"):
        error = await room.error("query", sql="SELECT :n AS n", params={"n": Decimal(number)})
        assert error.error_code == "sql.value"
        assert "SQLite keeps 15 digits" in error.message
    assert await room("query", sql="SELECT :n AS n", params={"n": Decimal("1E+3")}) == [{"n": 1000}]
    await room.resources.close()


@pytest.mark.rule(22)
@pytest.mark.parametrize("exact", [True, False])
async def test_a_recorded_result_has_the_same_numbers_the_second_time(room: Room, exact: bool) -> None:
    room.exact = exact
    await room("execute", sql="CREATE TABLE rates (rate NUMERIC(12, 4) NOT NULL PRIMARY KEY)")
    results = [await room("insert", key="k", table="rates", row={"rate": "1.2500"}) for _ in range(2)]
    assert repr(results[0]) == repr(results[1])
    assert results[0]["key"]["rate"] == Decimal("1.25")


async def test_a_number_that_is_too_large_is_final(books: Room) -> None:
    error = await books.error(
        "execute", sql="INSERT INTO invoices (reference, pieces) VALUES ('a', :n)", params={"n": 2**200}
    )
    assert (error.error_code, error.retryable) == ("sql.error", False)
