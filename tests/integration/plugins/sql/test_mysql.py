"""What is special to MySQL and MariaDB."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert
from sqlalchemy.engine import make_url
from sqlalchemy.util import await_only
from tests.integration.plugins.sql.sql_room import Room, count, mysql_address

from hookline.api import StepError
from hookline_sql.connector import SqlCredential
from hookline_sql.databases.pools import Database, Databases
from hookline_sql.exactly_once import EFFECTS


async def test_types_go_in_and_out(mariadb: Room) -> None:
    mariadb.exact = True
    await mariadb(
        "execute",
        sql="CREATE TABLE t (id BIGINT UNSIGNED, price DECIMAL(30, 10), at DATETIME(6), stamp TIMESTAMP(6) NULL, "
        "day DATE, clock TIME, raw VARBINARY(9), data JSON, note LONGTEXT, settled BOOLEAN, size DOUBLE, "
        "kind ENUM('a', 'b'), born YEAR)",
    )
    values = {
        "id": 2**64 - 1,
        "price": Decimal("12345678901234567890.1234500000"),
        "at": "2026-01-31T08:00:00.123456",
        "stamp": "2026-01-31T08:00:00.123456Z",
        "day": "2026-01-31",
        "clock": "08:30:00",
        "raw": "aGk=",
        "note": "für 😀",
        "settled": 1,
        "size": Decimal("0.5"),
        "kind": "b",
        "born": 1999,
    }
    given = {**values, "settled": True, "at": "2026-01-31T09:00:00.123456+01:00", "data": {"a": [1, None]}}
    await mariadb("insert", table="t", row=given)
    await mariadb("insert", table="t", row=dict.fromkeys(given))
    full, empty = await mariadb("query", sql="SELECT * FROM t ORDER BY id DESC")
    # MariaDB keeps JSON as a text, and doesn't say of a result that it is one.
    assert full == {**values, "data": '{"a":[1,null]}'}
    assert empty == dict.fromkeys(given)
    (found,) = await mariadb("query", sql="SELECT JSON_EXTRACT(data, '$.a[0]') AS one FROM t WHERE data IS NOT NULL")
    assert found == {"one": "1"}


async def test_a_time_with_an_offset_means_the_same_moment_in_a_statement(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (at DATETIME, said VARCHAR(40))")
    for at in ("2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00"):
        await mariadb("execute", sql="INSERT INTO t (at) VALUES (:at)", params={"at": at})
        found = await mariadb("query", sql="SELECT count(*) AS n FROM t WHERE at >= :at", params={"at": at})
        assert found[0]["n"] >= 1
    assert await mariadb("query", sql="SELECT DISTINCT at FROM t") == [{"at": "2026-01-31T08:00:00"}]


async def test_times_longer_than_a_day_are_told(mariadb: Room) -> None:
    (row,) = await mariadb("query", sql="SELECT TIME('-30:10:05') AS a, TIME('100:00:00.5') AS b")
    assert row == {"a": "-30:10:05", "b": "100:00:00.500000"}


async def test_a_text_holds_one_statement(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (n INTEGER)")
    for use in ("execute", "query"):
        error = await mariadb.error(use, sql="SELECT 1; DELETE FROM t")
        assert (error.error_code, error.retryable) == ("sql.error", False)


async def test_a_value_that_is_too_long_is_rejected_where_the_server_would_cut_it(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (name VARCHAR(3))")
    error = await mariadb.error("insert", table="t", row={"name": "four"})
    assert (error.error_code, error.retryable) == ("sql.error", False)
    assert "four" not in error.message
    assert (await mariadb("query", sql="SELECT @@time_zone AS zone, @@sql_mode AS mode"))[0]["zone"] == "+00:00"


async def test_constraints_are_told_as_elsewhere(mariadb: Room) -> None:
    await mariadb(
        "execute",
        sql="CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0), up INTEGER, "
        "FOREIGN KEY (up) REFERENCES t (id))",
    )
    await mariadb("insert", table="t", row={"id": 1, "n": 1})
    for row in ({"id": 1, "n": 1}, {"id": 2, "n": None}, {"id": 2}, {"id": 2, "n": 0}, {"id": 2, "n": 1, "up": 9}):
        error = await mariadb.error("insert", table="t", row=row)
        assert (error.error_code, error.retryable) == ("sql.integrity", False), row


async def test_of_two_that_wait_for_each_other_one_can_be_retried(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    await mariadb("insert", table="t", rows=[{"id": 1, "n": 0}, {"id": 2, "n": 0}])

    async def both(first: int, second: int) -> Any:
        change = "UPDATE t SET n = n + 1 WHERE id = {}"
        wait = "UPDATE t SET n = n + SLEEP(0.3) WHERE id = {}"
        statements = [change.format(first), wait.format(first), change.format(second)]
        return await mariadb("transaction", statements=statements)

    results = await asyncio.gather(both(1, 2), both(2, 1), return_exceptions=True)
    (failed,) = [each for each in results if isinstance(each, Exception)]
    assert (failed.error_code, failed.retryable) == ("sql.unavailable", True)  # type: ignore[attr-defined]
    assert (await mariadb("query", sql="SELECT sum(n) AS n FROM t"))[0]["n"] == 2


async def test_a_connection_that_the_server_closed_is_replaced(mariadb: Room) -> None:
    (row,) = await mariadb("query", sql="SELECT CONNECTION_ID() AS id")
    other = mariadb.another()
    error = await mariadb.error("execute", sql=f"KILL {row['id']}", once=False)
    assert error.retryable, "it ended its own connection"
    assert await mariadb("query", sql="SELECT 1 AS one") == [{"one": 1}]
    await other.resources.close()


async def test_a_cancelled_query_gives_nothing_to_the_next(mariadb: Room) -> None:
    for number in range(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await mariadb("query", sql=f"SELECT SLEEP(0.2) AS wrong, {number} AS n")
        assert await mariadb("query", sql="SELECT 1 AS right_one") == [{"right_one": 1}]


@pytest.mark.rule(22)
async def test_a_statement_that_commits_by_itself_takes_effect_once(mariadb: Room) -> None:
    for _ in range(2):
        await mariadb("execute", sql="CREATE TABLE t (id INTEGER PRIMARY KEY)", key="k")
    (row,) = await mariadb("query", sql="SELECT count(*) AS n FROM hookline_effects WHERE result IS NOT NULL")
    assert row == {"n": 1}


@pytest.mark.rule(22)
async def test_a_statement_that_commits_by_itself_and_fails_leaves_its_key_unused(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER)")
    error = await mariadb.error("execute", sql="CREATE TABLE t (id INTEGER)", key="k")
    assert error.error_code == "sql.error"
    await mariadb("execute", sql="DROP TABLE t", once=False)
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER)", key="k")
    assert await count(mariadb, "t") == 0


@pytest.mark.rule(22)
async def test_a_statement_that_was_cut_off_after_it_had_committed_is_not_run_again(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER)")

    def left_behind(_: Database, connection: Any) -> None:
        with connection.begin():
            connection.execute(insert(EFFECTS).values(key="k"))

    await mariadb.resources.get(Databases).run(mysql_address(mariadb), left_behind)
    error = await mariadb.error("execute", sql="DROP TABLE t", key="k")
    assert (error.error_code, error.retryable, error.outcome_unknown) == ("sql.effects", False, True)
    assert "'k'" in error.message
    assert await count(mariadb, "t") == 0


@pytest.mark.rule(22)
async def test_a_table_that_has_no_transactions_is_rejected_with_both_remedies(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER PRIMARY KEY) ENGINE=MyISAM")
    for use, settings in (
        ("insert", {"row": {"id": 1}}),
        ("upsert", {"rows": [{"id": 1}]}),
        ("update", {"values": {"id": 2}, "where": {"id": 1}}),
        ("delete", {"where": {"id": 1}}),
    ):
        error = await mariadb.error(use, table="t", **settings)
        assert error.error_code == "sql.effects"
        assert "ENGINE=InnoDB" in error.message
        assert '"once": false' in error.message
    await mariadb("insert", table="t", row={"id": 1}, once=False)


@pytest.mark.rule(22)
async def test_a_user_who_may_not_make_the_table_is_told_both_remedies(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER)", once=False)
    url = make_url(mariadb.url)
    admin = Room(url.set(username="root").render_as_string())
    await admin("execute", sql=f"REVOKE CREATE ON {url.database}.* FROM {url.username}@localhost", once=False)
    await admin("execute", sql=f"REVOKE CREATE ON {url.database}.* FROM {url.username}@'%'", once=False)
    await admin.resources.close()
    room = mariadb.another()
    error = await room.error("insert", table="t", row={"id": 1})
    assert error.error_code == "sql.effects"
    assert "CREATE TABLE hookline_effects" in error.message
    assert "ENGINE=InnoDB" in error.message
    await room.resources.close()


async def test_a_password_is_needed_and_shown_nowhere(mariadb: Room) -> None:
    url = make_url(mariadb.url)
    for host in ("localhost", "%"):
        admin = Room(url.set(username="root").render_as_string())
        await admin("execute", sql=f"ALTER USER {url.username}@'{host}' IDENTIFIED BY 'hunter2 hunter2'", once=False)
        await admin.resources.close()
    room = Room(mariadb.url)
    right, wrong = (SqlCredential(password=SecretStr(text)) for text in ("hunter2 hunter2", "hunter3 hunter3"))
    assert await room("query", url=room.url, sql="SELECT 1 AS one", credential=right) == [{"one": 1}]
    error = await room.error("query", url=room.url, sql="SELECT 1 AS one", credential=wrong)
    assert error.error_code == "sql.error"
    assert "hunter3" not in error.message
    await room.resources.close()


async def test_who_waits_too_long_for_a_row_can_be_retried(mariadb: Room) -> None:
    await mariadb("execute", sql="CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    await mariadb("insert", table="t", row={"id": 1, "n": 0})
    impatient = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE t SET n = 2 WHERE id = 1"

    def hold_and_be_waited_for(_: Database, connection: Any) -> StepError:
        with connection.begin():
            connection.exec_driver_sql("UPDATE t SET n = 1 WHERE id = 1")
            return await_only(mariadb.error("execute", sql=impatient))

    error = await mariadb.resources.get(Databases).run(mysql_address(mariadb), hold_and_be_waited_for)
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
