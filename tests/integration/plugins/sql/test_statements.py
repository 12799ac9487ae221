"""The actions `sql.query` and `sql.execute`, against SQLite and PostgreSQL."""

import pytest
from tests.integration.plugins.sql.sql_room import Room, count


async def test_parameters_are_bound_never_written_into_the_text(books: Room) -> None:
    evil = "x'); DROP TABLE invoices; --"
    await books("execute", sql="INSERT INTO invoices (reference) VALUES (:r)", params={"r": evil})
    found = await books("query", sql="SELECT reference FROM invoices WHERE reference = :r", params={"r": evil})
    assert found == [{"reference": evil}]


async def test_parameters_take_the_types_of_what_they_stand_for(books: Room) -> None:
    params = {"r": "a", "amount": "10.10", "due": "2026-01-31", "pieces": 3, "settled": True}
    await books(
        "execute",
        sql="INSERT INTO invoices (reference, amount, due, pieces, settled) "
        "VALUES (:r, :amount, :due, :pieces, :settled)",
        params=params,
    )
    found = await books(
        "query",
        sql="SELECT reference FROM invoices WHERE due >= :day AND pieces = :n AND reference IN :refs",
        params={"day": "2026-01-01", "n": 3, "refs": ["a", "b"]},
    )
    assert found == [{"reference": "a"}]
    (row,) = await books("query", sql="SELECT amount FROM invoices WHERE reference = :r", params={"r": "a"})
    assert row == {"amount": 10.1}


async def test_the_same_parameter_may_stand_twice(books: Room) -> None:
    await books("insert", table="invoices", row={"reference": "a", "pieces": 2})
    found = await books(
        "query", sql="SELECT pieces FROM invoices WHERE pieces = :n OR pieces > :n + :m", params={"n": 2, "m": 1}
    )
    assert found == [{"pieces": 2}]


async def test_execute_counts_the_rows_that_it_changed(books: Room) -> None:
    await books("insert", table="invoices", rows=[{"reference": r, "pieces": 1} for r in "abc"])
    changed = await books("execute", sql="UPDATE invoices SET pieces = 2 WHERE reference <> :r", params={"r": "a"})
    assert changed == {"rowcount": 2}


async def test_missing_and_unknown_parameters_are_named(books: Room) -> None:
    error = await books.error("query", sql="SELECT :referense AS r", params={"reference": 1})
    assert (error.error_code, error.retryable) == ("sql.params", False)
    assert ":referense" in error.message
    assert "'reference'" in error.message
    error = await books.error("query", sql="SELECT 1 AS one", params={"a": 1})
    assert ":a" in error.message


async def test_a_query_changes_nothing(books: Room) -> None:
    for statement in ("INSERT INTO invoices (reference) VALUES ('a') RETURNING reference", "DELETE FROM invoices"):
        error = await books.error("query", sql=statement)
        assert (error.error_code, error.retryable) == ("sql.read_only", False)
        assert "sql.execute" in error.message
    assert await count(books) == 0
    # The connection that rejected to write goes back to the pool, and writes again.
    for number in range(10):
        await books("insert", table="invoices", row={"reference": str(number)})
    assert await count(books) == 10


async def test_a_query_of_too_many_rows_is_an_error(books: Room) -> None:
    await books("insert", table="invoices", rows=[{"reference": str(number)} for number in range(11)])
    assert len(await books("query", sql="SELECT * FROM invoices", max_rows=11)) == 11
    error = await books.error("query", sql="SELECT * FROM invoices", max_rows=10)
    assert (error.error_code, error.retryable) == ("sql.rows", False)
    assert "max_rows" in error.message


async def test_two_columns_of_one_name_are_an_error(books: Room) -> None:
    error = await books.error("query", sql="SELECT 1 AS a, 2 AS a")
    assert error.error_code == "sql.columns"


async def test_a_wrong_statement_is_final_and_its_values_are_not_in_the_message(books: Room) -> None:
    error = await books.error("execute", sql="UPDATE nothing SET a = :secret", params={"secret": "s3cret"})
    assert (error.error_code, error.retryable) == ("sql.error", False)
    assert "nothing" in error.message
    assert "s3cret" not in error.message


@pytest.mark.postgres
async def test_postgresqls_types_go_in_and_out(postgres: Room) -> None:
    room = postgres
    await room(
        "execute",
        sql="CREATE TABLE t (id UUID, at TIMESTAMPTZ, tags TEXT[], data JSONB, raw BYTEA, took INTERVAL, "
        "big BIGINT, address INET, clock TIME)",
    )
    values = {
        "id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "at": "2026-01-31T09:00:00+01:00",
        "tags": ["a", "b"],
        "data": {"a": [1, None]},
        "raw": "aGk=",
        "took": 90,
        "big": 2**62,
        "address": "10.0.0.1",
        "clock": "08:30:00",
    }
    await room("insert", table="t", row=values)
    await room(
        "execute",
        sql="INSERT INTO t VALUES (:id, :at, :tags, :data, :raw, :took, :big, CAST(:address AS TEXT)::INET, :clock)",
        params=values,
    )
    await room("insert", table="t", row=dict.fromkeys(values))
    *both, empty = await room("query", sql="SELECT * FROM t ORDER BY id")
    for row in both:
        assert row == {**values, "at": "2026-01-31T08:00:00Z", "took": 90.0}
    assert empty == dict.fromkeys(values)
    (found,) = await room("query", sql="SELECT count(*) AS n FROM t WHERE data IS NULL")
    assert found == {"n": 1}
    found = await room("query", sql="SELECT id FROM t WHERE id = ANY(:ids)", params={"ids": [values["id"]]})
    assert len(found) == 2
