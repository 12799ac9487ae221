"""Which databases `sql.…` reaches, what passes by itself there, and how long they are kept."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url
from tests.integration.plugins.sql.sql_room import Room, count

from hookline_sql import register_connectors
from hookline_sql.connector import SqlCredential
from hookline_sql.databases import pools


@pytest.mark.rule(35)
def test_url_table_and_statement_come_from_vars() -> None:
    (connector,) = register_connectors()
    for action in connector.actions.values():
        assert "url" in action.from_vars
        assert ({"sql", "table"} & action.from_vars) == ({"sql", "table"} & set(action.parameters.values()))


@pytest.mark.rule(35)
async def test_a_password_belongs_into_a_credential() -> None:
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
    with pytest.raises(ValidationError, match="password or url"):
        SqlCredential()
    assert "s3cret" not in repr(SqlCredential(password=SecretStr("s3cret")))


@pytest.mark.parametrize(
    "url", ["", "books.db", "sqlite://", "sqlite:///:memory:", "postgresql://root@h:port/x", "mysql://h/"]
)
async def test_a_url_that_names_no_database_is_an_error(url: str) -> None:
    room = Room(url)
    error = await room.error("query", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("sql.url", False)


async def test_a_server_that_is_not_there_can_be_retried() -> None:
    room = Room("postgresql://root@127.0.0.1:1/test")
    error = await room.error("query", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
    await room.resources.close()


async def test_a_folder_that_is_not_there_can_be_retried(tmp_path: Path) -> None:
    room = Room(f"sqlite:///{tmp_path}/no/books.db", tmp_path)
    error = await room.error("execute", sql="CREATE TABLE t (a TEXT)")
    assert (error.error_code, error.retryable) == ("sql.unavailable", True)
    await room.resources.close()


async def test_a_locked_file_is_waited_for_and_can_be_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "books.db"
    monkeypatch.setattr("hookline_sql.databases.pools._LOCK_WAIT", 0.05)
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


async def test_databases_are_shared_bounded_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hookline_sql.databases.pools import Databases

    monkeypatch.setattr("hookline_sql.databases.pools.OPEN", 3)
    room = Room("", tmp_path)
    for number in range(6):
        await room("execute", url=f"sqlite:///{tmp_path}/{number}.db", sql="CREATE TABLE t (a TEXT)")
    databases = room.resources.get(Databases)
    assert [address.url.database for address in databases._open] == [f"{tmp_path}/{number}.db" for number in (3, 4, 5)]
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


@pytest.mark.postgres
async def test_each_session_has_the_settings_by_which_postgresql_notices_that_its_client_is_gone(
    postgres: Room,
) -> None:
    wanted = {
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "60000",
        "client_connection_check_interval": "30s",
    }
    shown = ", ".join(f"current_setting('{name}') AS {name}" for name in wanted)
    for _ in range(2):
        found = await asyncio.gather(*(postgres("query", sql=f"SELECT {shown}, pg_sleep(0.1)") for _ in range(3)))
        assert [{name: row[name] for name in wanted} for [row] in found] == 3 * [wanted]
        # A transaction that fails doesn't take them away.
        await postgres.error("execute", sql="SELECT 1 / 0")


@pytest.mark.postgres
async def test_a_server_that_rejects_the_settings_is_used_without_them(
    postgres: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_CLIENT_MAY_BE_GONE", "SELECT set_config('no_such_setting', '1', false)")
    assert await postgres("query", sql="SELECT 1 AS one") == [{"one": 1}]
