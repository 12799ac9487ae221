"""The actions `sql.insert`, `sql.query` and `sql.execute`, against SQLite and PostgreSQL."""

import asyncio
import os
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy.engine import make_url

from hookline.api import Context, Message, StepError
from hookline.runtime.resources import EngineResources
from hookline.runtime.results import to_json
from hookline_database import register_connectors
from hookline_database.address import SqlCredential

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


class Room:
    """One engine's resources, and the actions."""

    def __init__(self, url: str, own: tuple[str, ...] = ()) -> None:
        self.url = url
        self.resources = EngineResources(own)
        self.exact = False
        """Results are those of a flow whose numbers are exact."""
        (self.connector,) = register_connectors()

    async def __call__(
        self, use: str, *, key: str | None = None, credential: BaseModel | None = None, **settings: Any
    ) -> Any:
        action = self.connector.actions[f"sql.{use}"]
        if credential is None or "url" in settings:
            settings = {"url": self.url, **settings}
        read = action.settings.model_validate(settings)
        context: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
        context.update(
            message=Message(),
            credential=credential,
            resources=self.resources,
            idempotency_key=key or uuid.uuid4().hex,
        )
        returned = await action.run(ctx=Context(**context), **action.arguments(read))
        return to_json(returned, exact=self.exact)

    async def error(self, use: str, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(use, **settings)
        return caught.value


@asynccontextmanager
async def postgres_schema() -> AsyncIterator[str]:
    """The URL of a schema and a user of their own in the test database."""
    asyncpg = pytest.importorskip("asyncpg")
    try:
        connection = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {error}")
    schema = f"steps_{uuid.uuid4().hex}"
    role = f"role_{uuid.uuid4().hex[:8]}"
    await connection.execute(f"CREATE SCHEMA \"{schema}\"; CREATE ROLE {role} LOGIN PASSWORD 'pass-word'")
    await connection.execute(
        f'ALTER ROLE {role} SET search_path = "{schema}"; GRANT ALL ON SCHEMA "{schema}" TO {role}'
    )
    try:
        yield str(make_url(POSTGRES).set(username=role).render_as_string(hide_password=False))
    finally:
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE; DROP OWNED BY {role}; DROP ROLE {role}')
        await connection.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    if request.param == "sqlite":
        made = Room(f"sqlite:///{tmp_path}/books.db")
        yield made
        await made.resources.close()
        return
    async with postgres_schema() as url:
        made = Room(url)
        yield made
        await made.resources.close()


@pytest.fixture
async def postgres() -> AsyncIterator[Room]:
    async with postgres_schema() as url:
        made = Room(url)
        yield made
        await made.resources.close()


@pytest.fixture
async def admin() -> AsyncIterator[Room]:
    made = Room(POSTGRES)
    yield made
    await made.resources.close()


@pytest.fixture
async def books(room: Room) -> Room:
    """A room with a table of invoices."""
    await room(
        "execute",
        sql="CREATE TABLE invoices (reference VARCHAR(40) NOT NULL PRIMARY KEY, amount NUMERIC(40, 20), due DATE, "
        "paid_at TIMESTAMP, lines INTEGER, settled BOOLEAN)",
    )
    return room


async def count(room: Room, table: str = "invoices") -> int:
    ((row),) = await room("query", sql=f"SELECT count(*) AS n FROM {table}")
    number: int = row["n"]
    return number


# --- sql.insert -------------------------------------------------------------------------------------------------


async def test_a_row_is_inserted_and_read_again(books: Room) -> None:
    result = await books(
        "insert",
        table="invoices",
        row={
            "reference": 4711,
            "amount": "1234567890.12345",
            "due": "2026-01-31",
            "paid_at": "2026-01-31T09:00:00+01:00",
            "lines": "3",
            "settled": True,
        },
    )
    assert result == {"rowcount": 1, "key": {"reference": "4711"}}
    (row,) = await books("query", sql="SELECT * FROM invoices")
    assert row["reference"] == "4711"
    assert row["amount"] == 1234567890.12345
    assert (row["due"], row["lines"], bool(row["settled"])) == ("2026-01-31", 3, True)
    assert row["paid_at"].replace(" ", "T").startswith("2026-01-31T08:00:00")


async def test_money_goes_in_and_out_as_it_is_written(books: Room) -> None:
    for reference, amount in (("a", "0.1"), ("b", 0.1), ("c", "19.99"), ("d", 5)):
        await books("insert", table="invoices", row={"reference": reference, "amount": amount})
    found = await books("query", sql="SELECT amount FROM invoices ORDER BY reference")
    assert [row["amount"] for row in found] == [0.1, 0.1, 19.99, 5]
    (total,) = await books("query", sql="SELECT count(*) AS n FROM invoices WHERE amount = 0.1")
    assert total["n"] == 2


async def test_a_long_decimal_is_kept_exactly_or_refused(books: Room) -> None:
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
    made = await books("insert", table="invoices", row={"reference": "a", "amount": amount, "lines": Decimal("3.00")})
    assert made == {"rowcount": 1, "key": {"reference": "a"}}
    (row,) = await books(
        "query", sql="SELECT amount, lines FROM invoices WHERE amount = :amount", params={"amount": amount}
    )
    assert row == {"amount": amount, "lines": 3}
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
    found = await room("query", sql="SELECT CAST(said AS TEXT) AS said FROM notes")
    assert {row["said"] for row in found} == {'{"net":1.10,"parts":[0.30]}'}


async def test_a_fraction_that_sqlite_would_round_is_refused_as_a_parameter_too(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/books.db")
    for number in ("0.1234567890123456789", "1.0000000000000000000000000000001"):
        error = await room.error("query", sql="SELECT :n AS n", params={"n": Decimal(number)})
        assert error.error_code == "sql.value"
        assert "SQLite keeps 15 digits" in error.message
    assert await room("query", sql="SELECT :n AS n", params={"n": Decimal("1E+3")}) == [{"n": 1000}]
    await room.resources.close()


@pytest.mark.parametrize("exact", [True, False])
async def test_rule_22_a_recorded_result_has_the_same_numbers_the_second_time(room: Room, exact: bool) -> None:
    room.exact = exact
    await room("execute", sql="CREATE TABLE rates (rate NUMERIC(12, 4) NOT NULL PRIMARY KEY)")
    results = [await room("insert", key="k", table="rates", row={"rate": "1.2500"}) for _ in range(2)]
    assert repr(results[0]) == repr(results[1])
    assert results[0]["key"]["rate"] == Decimal("1.25")


async def test_rows_are_inserted_all_or_none(books: Room) -> None:
    many = [{"reference": str(number), "lines": number} for number in range(1000)]
    assert await books("insert", table="invoices", rows=many) == {"rowcount": 1000}
    assert await count(books) == 1000
    error = await books.error("insert", table="invoices", rows=[{"reference": "new"}, {"reference": "7"}])
    assert (error.error_code, error.retryable) == ("sql.integrity", False)
    assert await count(books) == 1000


async def test_rows_may_leave_different_columns_out(books: Room) -> None:
    await books(
        "insert", table="invoices", rows=[{"reference": "a", "lines": 1}, {"reference": "b"}, {"reference": "c"}]
    )
    found = await books("query", sql="SELECT reference, lines FROM invoices ORDER BY reference")
    assert found == [
        {"reference": "a", "lines": 1},
        {"reference": "b", "lines": None},
        {"reference": "c", "lines": None},
    ]


async def test_no_rows_are_no_work(books: Room) -> None:
    assert await books("insert", table="no_such_table", rows=[]) == {"rowcount": 0}
    error = await books.error("insert", table="invoices")
    assert "either" in error.message
    error = await books.error("insert", table="invoices", row={}, rows=[])
    assert "either" in error.message


async def test_a_made_key_is_in_the_result(room: Room) -> None:
    serial = "INTEGER PRIMARY KEY" if room.url.startswith("sqlite") else "BIGSERIAL PRIMARY KEY"
    await room("execute", sql=f"CREATE TABLE orders (id {serial}, text TEXT)")
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
        ("lines", 1.5, "a whole number"),
        ("lines", "many", "a whole number"),
        ("settled", "yes", "true or false"),
        ("reference", {"#text": "a"}, "tojson"),
    ],
)
async def test_a_value_that_does_not_fit_its_column_is_named(books: Room, column: str, value: Any, needed: str) -> None:
    error = await books.error("insert", table="invoices", row={"reference": "a", column: value})
    assert (error.error_code, error.retryable) == ("sql.value", False)
    assert column in error.message
    assert needed in error.message


# --- exactly once -----------------------------------------------------------------------------------------------


async def test_rule_22_the_same_key_takes_effect_once_and_gives_the_same_result(books: Room) -> None:
    first = await books("insert", table="invoices", row={"reference": "a"}, key="k1")
    again = await books("insert", table="invoices", row={"reference": "a"}, key="k1")
    assert again == first
    assert await count(books) == 1
    for _ in range(3):
        changed = await books("execute", sql="UPDATE invoices SET lines = coalesce(lines, 0) + 1", key="k2")
        assert changed == {"rowcount": 1}
    assert (await books("query", sql="SELECT lines FROM invoices"))[0]["lines"] == 1


async def test_rule_22_also_after_a_restart(books: Room) -> None:
    await books("insert", table="invoices", row={"reference": "a"}, key="k")
    after = Room(books.url)
    await after("insert", table="invoices", row={"reference": "a"}, key="k")
    assert await count(after) == 1
    await after.resources.close()


async def test_rule_22_two_attempts_at_once_take_effect_once(books: Room) -> None:
    others = [Room(books.url) for _ in range(4)]
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


async def test_rule_22_many_first_uses_at_once_make_the_table_once(room: Room) -> None:
    await room("execute", sql="CREATE TABLE t (a TEXT)", once=False)
    rooms = [Room(room.url) for _ in range(6)]
    await asyncio.gather(*(other("insert", table="t", row={"a": "x"}) for other in rooms))
    assert await count(room, "t") == 6
    await asyncio.gather(*(other.resources.close() for other in rooms))


async def test_rule_22_a_failed_attempt_leaves_its_key_unused(books: Room) -> None:
    error = await books.error("insert", table="invoices", row={"reference": None}, key="k")
    assert error.error_code == "sql.integrity"
    await books("insert", table="invoices", row={"reference": "a"}, key="k")
    assert await count(books) == 1


async def test_rule_22_once_false_takes_effect_each_time_and_makes_no_table(room: Room) -> None:
    await room("execute", sql="CREATE TABLE t (a TEXT)", once=False)
    for _ in range(2):
        await room("insert", table="t", row={"a": "x"}, key="k", once=False)
    assert await count(room, "t") == 2
    error = await room.error("query", sql="SELECT * FROM hookline_effects")
    assert error.error_code == "sql.error"


async def test_rule_22_a_database_that_has_no_place_for_the_table_names_both_remedies(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
    connection.close()
    room = Room(f"sqlite:///file:{path}?mode=ro&uri=true")
    error = await room.error("insert", table="t", row={"a": "x"})
    assert (error.error_code, error.retryable) == ("sql.effects", False)
    assert "CREATE TABLE hookline_effects" in error.message
    assert '"once": false' in error.message
    await room.resources.close()


@pytest.mark.postgres
async def test_rule_22_a_user_who_may_not_make_the_table_is_told_both_remedies(postgres: Room, admin: Room) -> None:
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


# --- sql.query and sql.execute ----------------------------------------------------------------------------------


async def test_parameters_are_bound_never_written_into_the_text(books: Room) -> None:
    evil = "x'); DROP TABLE invoices; --"
    await books("execute", sql="INSERT INTO invoices (reference) VALUES (:r)", params={"r": evil})
    found = await books("query", sql="SELECT reference FROM invoices WHERE reference = :r", params={"r": evil})
    assert found == [{"reference": evil}]


async def test_parameters_take_the_types_of_what_they_stand_for(books: Room) -> None:
    params = {"r": "a", "amount": "10.10", "due": "2026-01-31", "lines": 3, "settled": True}
    await books(
        "execute",
        sql="INSERT INTO invoices (reference, amount, due, lines, settled) "
        "VALUES (:r, :amount, :due, :lines, :settled)",
        params=params,
    )
    found = await books(
        "query",
        sql="SELECT reference FROM invoices WHERE due >= :day AND lines = :n AND reference IN :refs",
        params={"day": "2026-01-01", "n": 3, "refs": ["a", "b"]},
    )
    assert found == [{"reference": "a"}]
    (row,) = await books("query", sql="SELECT amount FROM invoices WHERE reference = :r", params={"r": "a"})
    assert row == {"amount": 10.1}


async def test_the_same_parameter_may_stand_twice(books: Room) -> None:
    await books("insert", table="invoices", row={"reference": "a", "lines": 2})
    found = await books(
        "query", sql="SELECT lines FROM invoices WHERE lines = :n OR lines > :n + :m", params={"n": 2, "m": 1}
    )
    assert found == [{"lines": 2}]


async def test_execute_counts_the_rows_that_it_changed(books: Room) -> None:
    await books("insert", table="invoices", rows=[{"reference": r, "lines": 1} for r in "abc"])
    changed = await books("execute", sql="UPDATE invoices SET lines = 2 WHERE reference <> :r", params={"r": "a"})
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
    # The connection that refused to write goes back to the pool, and writes again.
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


# --- Which database ---------------------------------------------------------------------------------------------


async def test_rule_35_the_engines_own_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "engine.db"
    sqlite3.connect(own).close()
    (tmp_path / "link.db").symlink_to(own)
    (tmp_path / "hard.db").hardlink_to(own)
    room = Room("sqlite:///x.db", own=("sqlite:///engine.db", "postgresql://hookline@127.0.0.1/hookline"))
    for url in (
        "sqlite:///engine.db",
        f"sqlite:///{own}",
        "sqlite+pysqlite:///./engine.db",
        f"sqlite:///{tmp_path}/../{tmp_path.name}/engine.db",
        "sqlite:///link.db",
        "sqlite:///hard.db",
        "sqlite:///file:engine.db?uri=true",
        "postgresql+asyncpg://other@localhost:5432/hookline",
        "postgres://127.0.0.1/hookline",
    ):
        error = await room.error("query", url=url, sql="SELECT 1")
        assert error.error_code == "sql.url", url
        assert "engine's own database" in error.message, url
    await room.resources.close()


async def test_rule_35_no_statement_opens_another_file(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/books.db")
    for use in ("execute", "query"):
        error = await room.error(use, sql=f"ATTACH DATABASE '{tmp_path}/engine.db' AS engine")
        assert error.error_code in ("sql.error", "sql.read_only")
    assert not (tmp_path / "engine.db").exists()
    await room.resources.close()


def test_rule_35_url_table_and_statement_come_from_vars() -> None:
    (connector,) = register_connectors()
    for action in connector.actions.values():
        assert "url" in action.from_vars
        assert ({"sql", "table"} & action.from_vars) == ({"sql", "table"} & set(action.parameters.values()))


async def test_rule_35_a_password_belongs_into_a_credential() -> None:
    room = Room("postgresql://root:s3cret@127.0.0.1/test")
    error = await room.error("query", sql="SELECT 1")
    assert error.error_code == "sql.url"
    assert "credentials set" in error.message
    assert "s3cret" not in error.message


@pytest.mark.postgres
async def test_a_credential_gives_password_and_user_or_the_whole_url(postgres: Room) -> None:
    url = postgres.url
    parts = make_url(url)
    room = Room(parts.set(username=None).render_as_string())
    password = SqlCredential(username=parts.username, password=SecretStr("pass-word"))
    assert await room("query", url=room.url, sql="SELECT 1 AS one", credential=password) == [{"one": 1}]
    whole = SqlCredential(url=SecretStr(url))
    assert await room("query", sql="SELECT 1 AS one", credential=whole) == [{"one": 1}]
    error = await room.error("query", url=url, sql="SELECT 1", credential=whole)
    assert "both" in error.message
    await room.resources.close()


def test_a_credential_says_something() -> None:
    with pytest.raises(ValidationError, match="password, or url"):
        SqlCredential()
    assert "s3cret" not in repr(SqlCredential(password=SecretStr("s3cret")))


@pytest.mark.parametrize("url", ["", "books.db", "sqlite://", "sqlite:///:memory:", "postgresql://root@h:port/x"])
async def test_a_url_that_names_no_database_is_an_error(url: str) -> None:
    room = Room(url)
    error = await room.error("query", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("sql.url", False)


async def test_a_missing_driver_is_named_with_the_command_that_installs_it() -> None:
    for url, command in (
        ("mysql://h/db", "pip install 'pymysql'"),
        ("mysql+mysqldb://h/db", "pip install 'mysqlclient'"),
    ):
        error = await Room(url).error("query", sql="SELECT 1")
        assert (error.error_code, error.retryable) == ("sql.driver", False)
        assert command in error.message
    error = await Room("nodb://h/db").error("query", sql="SELECT 1")
    assert "nodb" in error.message


# --- What passes ------------------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_can_be_retried() -> None:
    room = Room("postgresql://root@127.0.0.1:1/test")
    error = await room.error("query", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
    await room.resources.close()


async def test_a_folder_that_is_not_there_can_be_retried(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/no/books.db")
    error = await room.error("execute", sql="CREATE TABLE t (a TEXT)")
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
    await room.resources.close()


async def test_a_locked_file_is_waited_for_and_can_be_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "books.db"
    monkeypatch.setattr("hookline_database.databases._LOCK_WAIT", 0.05)
    room = Room(f"sqlite:///{path}")
    await room("execute", sql="CREATE TABLE t (a TEXT)")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    error = await room.error("insert", table="t", row={"a": "x"})
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
    other.execute("ROLLBACK")
    other.close()
    await room("insert", table="t", row={"a": "x"})
    await room.resources.close()


@pytest.mark.postgres
async def test_a_connection_that_the_server_closed_is_replaced(postgres: Room, admin: Room) -> None:
    room = postgres
    await room("query", sql="SELECT 1 AS one")
    await admin(
        "execute",
        sql="SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user",
        params={"user": make_url(room.url).username},
        once=False,
    )
    assert await room("query", sql="SELECT 1 AS one") == [{"one": 1}]


async def test_a_number_that_is_too_large_is_final(books: Room) -> None:
    error = await books.error("execute", sql="INSERT INTO invoices (lines) VALUES (:n)", params={"n": 2**200})
    assert (error.error_code, error.retryable) == ("sql.error", False)


# --- Lifetime ---------------------------------------------------------------------------------------------------


async def test_databases_are_shared_bounded_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hookline_database.databases import Databases

    monkeypatch.setattr("hookline_database.databases.OPEN", 3)
    room = Room("")
    for number in range(6):
        await room("execute", url=f"sqlite:///{tmp_path}/{number}.db", sql="CREATE TABLE t (a TEXT)")
    databases = room.resources.get(Databases)
    assert [url.database for url in databases._open] == [f"{tmp_path}/{number}.db" for number in (3, 4, 5)]
    await room.resources.close()
    assert not databases._open
    error = await room.error("query", url=f"sqlite:///{tmp_path}/0.db", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("engine.stopping", True)


async def test_a_cancelled_step_ends_at_once_and_its_thread_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    room = Room(f"sqlite:///{path}")
    await room("execute", sql="CREATE TABLE t (a TEXT)")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await room("insert", table="t", row={"a": "x"}, key="k")
    other.execute("ROLLBACK")
    # The thread goes on: whether it wrote or not, the next attempt with the key leaves exactly one row.
    await room("insert", table="t", row={"a": "x"}, key="k")
    assert await count(room, "t") == 1
    other.close()
    await room.resources.close()
