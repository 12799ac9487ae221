"""The databases that a step can reach: files below `files`, and servers that aren't Hookline's own."""

import asyncio
import os
import re
import resource
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from tests.integration.plugins.brokers.proxy import proxy_to
from tests.integration.plugins.sql.sql_room import POSTGRES, Room

from hookline.api import PollContext, StepError, VerifyContext
from hookline.kernel.clocks import SystemClock
from hookline_sql import register_connectors
from hookline_sql.connector import SqlCredential
from hookline_sql.credential_check import verify
from hookline_sql.databases.sqlite_limits import LONGEST
from hookline_sqlstore.backend_makers import postgresql, sqlite

pytestmark = pytest.mark.rule(35)

(CONNECTOR,) = register_connectors()
SETTINGS: dict[str, dict[str, Any]] = {
    "delete": {"table": "t", "where": {"a": 1}},
    "execute": {"sql": "CREATE TABLE t (a TEXT)"},
    "insert": {"table": "t", "row": {"a": 1}},
    "query": {"sql": "SELECT 1"},
    "transaction": {"statements": ["CREATE TABLE t (a TEXT)"]},
    "update": {"table": "t", "values": {"a": 1}, "where": {"a": 1}},
    "upsert": {"table": "t", "row": {"a": 1}},
}
Use = Callable[[Room, str | None, SqlCredential | None], Any]


async def _poll(room: Room, url: str | None, credential: SqlCredential | None) -> Any:
    ctx: Any = PollContext(
        credential,
        None,
        None,
        None,
        room.resources,
        "f",
        SystemClock().now(),
        files_root=room.files,  # type: ignore[arg-type]
    )
    return await CONNECTOR.polls["sql.rows"].run(ctx, None, table="t", column="a", url=url)


async def _verify(room: Room, url: str | None, credential: SqlCredential | None) -> Any:
    ctx: Any = VerifyContext(credential, None, None, room.resources, files_root=room.files)  # type: ignore[arg-type]
    return await verify(ctx)


def _action(name: str) -> Use:
    async def use(room: Room, url: str | None, credential: SqlCredential | None) -> Any:
        return await room(name, url=url, credential=credential, **SETTINGS[name])

    return use


#: Each way to open a database, by its name.
USES: dict[str, Use] = {**{name: _action(name) for name in SETTINGS}, "poll": _poll, "verify": _verify}


def test_each_way_to_open_a_database_is_tried() -> None:
    assert {name.removeprefix("sql.") for name in CONNECTOR.actions} == SETTINGS.keys()
    assert set(CONNECTOR.polls) == {"sql.rows"}
    assert not CONNECTOR.consumers
    assert not CONNECTOR.webhooks


OUTSIDE = [
    "sqlite:///{outside}/x.pth",
    "sqlite:///{outside}/x.db",
    "sqlite:///../outside/x.db",
    "sqlite:///sub/../../outside/x.db",
    "sqlite:///link.db",
    "sqlite:///linked/x.db",
    "sqlite:///{files}/../outside/x.db",
    "sqlite:///{files}/linked/x.db",
    "sqlite:///x.pth",
    "sqlite:///x.json",
    "sqlite:///x.db-wal",
    "sqlite:///x.db-journal",
    "sqlite:///.db/",
    "sqlite:///sub",
    f"sqlite:///{'x' * 300}.db",
    f"sqlite:///{'x' * 5000}/x.db",
    "sqlite:///x.db\0.pth",
    "sqlite:///x.db%00.pth",
    "sqlite:///file:{outside}/x.db?uri=true",
    "sqlite:///file:{outside}/x.db",
    "sqlite:///x.db?uri=true",
    "sqlite:///x.db?vfs=unix-none",
    "sqlite:///x.db?cache=shared",
    "sqlite:///x.db?nolock=1",
    "sqlite:///x.db?plugin=x",
    "sqlite+aiosqlite:///x.db",
    "sqlite+pysqlcipher:///x.db",
    "sqlite://host/x.db",
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    made, outside = tmp_path / "files", tmp_path / "outside"
    (made / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept.db").touch()
    (made / "linked").symlink_to(outside)
    (made / "link.db").symlink_to(outside / "x.db")
    return made


@pytest.mark.parametrize("source", ["step", "credential"])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("url", OUTSIDE)
async def test_no_file_outside_of_the_folder_is_opened(files: Path, url: str, use: str, source: str) -> None:
    if use == "verify" and source == "step":
        return  # it has no URL of a step
    url = url.format(files=files, outside=files.parent / "outside")
    before = {path: path.lstat().st_mtime_ns for path in sorted(files.parent.rglob("*"))}
    room = Room("", files)
    credential = SqlCredential(url=SecretStr(url)) if source == "credential" else None
    with pytest.raises(StepError) as caught:
        await USES[use](room, url if credential is None else None, credential)
    assert caught.value.error_code in ("sql.url", "sql.driver")
    assert {path: path.lstat().st_mtime_ns for path in sorted(files.parent.rglob("*"))} == before
    await room.resources.close()


async def test_without_a_folder_for_files_no_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = await Room("sqlite:///x.db").error("execute", sql="CREATE TABLE t (a TEXT)")
    assert error.error_code == "sql.url"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["sqlite:///books.db", "sqlite:///sub/books.sqlite3", "sqlite:///{files}/sub/books.sqlite"]
)
async def test_a_file_below_the_folder_is_opened(files: Path, url: str) -> None:
    room = Room(url.format(files=files), files)
    await room("execute", sql="CREATE TABLE t (a TEXT)")
    await room("insert", table="t", row={"a": "x"})
    assert [path.name for path in files.rglob("books.*")] == [Path(url).name]
    await room.resources.close()


async def test_the_engines_own_file_is_recognised_by_a_hard_link(files: Path) -> None:
    own = files.parent / "engine.db"
    backend = sqlite(f"sqlite:///{own}", clock=SystemClock())
    await backend.open()
    (files / "hard.db").hardlink_to(own)
    room = Room("sqlite:///hard.db", files)
    room.resources.own = backend.identities
    error = await room.error("query", sql="SELECT 1")
    assert (error.error_code, "engine's own database" in error.message) == ("sql.url", True)
    await room.resources.close()
    await backend.close()


FORBIDDEN = [
    "ATTACH DATABASE '{outside}/x.db' AS x",
    "VACUUM INTO '{outside}/x.db'",
    "PRAGMA temp_store_directory = '{outside}'",
    "PRAGMA writable_schema = ON",
    "PRAGMA trusted_schema = ON",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA soft_heap_limit = 1",
    "PRAGMA mmap_size = 1000000000",
    "PRAGMA cache_size = 1000000000",
    "PRAGMA journal_mode = PERSIST",
    "PRAGMA journal_mode = p",
    "PRAGMA journal_mode('per')",
    "PRAGMA schema_version = 7",
    "SELECT load_extension('{outside}/x.so')",
    "SELECT * FROM pragma_cache_size",
]


@pytest.mark.parametrize("use", ["execute", "query"])
@pytest.mark.parametrize("sql", FORBIDDEN)
async def test_no_statement_opens_another_file_or_changes_the_process(files: Path, sql: str, use: str) -> None:
    room = Room("sqlite:///books.db", files)
    error = await room.error(use, sql=sql.format(outside=files.parent / "outside"))
    assert error.error_code in ("sql.error", "sql.read_only")
    assert [path.name for path in (files.parent / "outside").iterdir()] == ["kept.db"]
    await room.resources.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT zeroblob(900000000)",
        "SELECT hex(zeroblob(30000000))",
        "SELECT group_concat(printf('%.*c', 10000000, 'x')) FROM (VALUES (1), (2), (3), (4), (5))",
        "SELECT replace(printf('%.*c', 30000, 'x'), 'x', printf('%.*c', 30000, 'y'))",
    ],
)
async def test_a_value_has_a_bounded_size(files: Path, sql: str) -> None:
    room = Room("sqlite:///books.db", files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = await room.error("query", sql=sql)
    assert error.error_code == "sql.error"
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 6 * LONGEST
    await room.resources.close()


async def test_a_result_has_a_bounded_size(files: Path) -> None:
    room = Room("sqlite:///books.db", files)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    error = await room.error("query", sql=f"{numbers} SELECT i, printf('%.*c', 1000000, 'x') AS text FROM n")
    assert error.error_code == "sql.rows"
    assert "stream" in error.message
    await room.resources.close()


async def test_a_forged_journal_deletes_no_file(files: Path) -> None:
    """A journal may name another one, which SQLite deletes when it has rolled back."""
    room = Room("sqlite:///books.db", files)
    await room("execute", sql="CREATE TABLE t (a TEXT)")
    from hookline.sdk.files import file_place

    for name in ("books.db-journal", "books.db-WAL", "sub/books.db-shm"):
        with pytest.raises(StepError) as caught:
            file_place(files, name)
        assert caught.value.error_code == "file.path"
    await room.resources.close()


BAD_OPTIONS = {
    "postgresql": (
        "passfile", "sslkey", "sslcert", "sslrootcert", "sslmode", "service", "servicefile", "host", "options",
        "krbsrvname", "server_settings", "direct_tls", "plugin", "user", "password", "port", "dbname",
    ),
    "mysql": (
        "local_infile", "unix_socket", "read_default_file", "read_default_group", "init_command", "ssl_ca", "ssl_key",
        "ssl_cert", "charset", "plugin", "sql_mode", "auth_plugin_map", "client_flag", "host",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("backend", "option"), [(key, one) for key, options in BAD_OPTIONS.items() for one in options])
async def test_an_option_that_is_not_listed_is_rejected_by_name(backend: str, option: str) -> None:
    error = await Room(f"{backend}://root@127.0.0.1/test?{option}=1").error("query", sql="SELECT 1")
    assert error.error_code == "sql.url"
    assert f"'{option}'" in error.message
    assert "ssl" in error.message


@pytest.mark.parametrize(
    "driver",
    ["postgresql+psycopg", "postgresql+psycopg2", "mysql+pymysql", "mysql+mysqldb", "oracle", "mssql+pyodbc", "nodb"],
)
async def test_a_driver_that_is_not_listed_is_rejected_by_name(driver: str) -> None:
    error = await Room(f"{driver}://root@127.0.0.1/test").error("query", sql="SELECT 1")
    assert (error.error_code, error.retryable) == ("sql.driver", False)
    assert driver in error.message
    assert "postgresql+asyncpg" in error.message


@pytest.mark.parametrize("host", ["", "127.0.0.1,127.0.0.2"])
async def test_a_socket_and_several_hosts_are_rejected(host: str) -> None:
    error = await Room(f"postgresql://root@{host}/test").error("query", sql="SELECT 1")
    assert error.error_code == "sql.url"


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("backend", ["postgresql", "mysql", "mariadb"])
async def test_no_connection_is_made_to_an_address_inside_the_network(backend: str, use: str) -> None:
    connected = asyncio.Event()
    server = await asyncio.start_server(lambda _reader, writer: (connected.set(), writer.close()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
        room = Room("", egress=())
        credential = SqlCredential(url=SecretStr(f"{backend}://root@{host}:{port}/test"))
        with pytest.raises(StepError) as caught:
            await USES[use](room, None, credential)
        assert caught.value.error_code == "engine.egress"
        assert f":{port}" in caught.value.message
        assert "HOOKLINE_EGRESS_ALLOW" in caught.value.message
        await room.resources.close()
    assert not connected.is_set()
    server.close()


@asynccontextmanager
async def own_database() -> AsyncIterator[tuple[Any, str, str]]:
    """An engine's own backend in a database of its own; its URL, and a role that may do anything in that database."""
    asyncpg = pytest.importorskip("asyncpg")
    name = f"own_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(POSTGRES)
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pass-word'")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    url = make_url(POSTGRES).set(username=name, database=name, password="pass-word")
    backend = postgresql(url.render_as_string(hide_password=False), clock=SystemClock())
    await backend.open()
    try:
        yield backend, url.render_as_string(hide_password=False), name
    finally:
        await backend.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP ROLE {name}")
        await admin.close()


@pytest.mark.postgres
@pytest.mark.parametrize("use", USES)
async def test_the_engines_own_database_is_recognised_whatever_its_name(use: str) -> None:
    async with own_database() as (backend, url, _), proxy_to(make_url(POSTGRES).port or 5432) as proxy:
        spellings = [
            make_url(url),
            make_url(url).set(host="localhost"),
            make_url(url).set(host="127.1"),
            make_url(url).set(drivername="postgres", query={"ssl": "disable"}),
            make_url(url).set(host="127.0.0.1", port=proxy.port),
        ]
        for spelling in spellings:
            room = Room("")
            room.resources.own = backend.identities
            credential = SqlCredential(url=SecretStr(spelling.render_as_string(hide_password=False)))
            with pytest.raises(StepError) as caught:
                await USES[use](room, None, credential)
            assert caught.value.error_code == "sql.url", spelling
            assert "engine's own database" in caught.value.message
            await room.resources.close()


@pytest.mark.postgres
async def test_a_role_cannot_hide_the_engines_own_database() -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with own_database() as (backend, url, role):
        session = await asyncpg.connect(url)
        await session.execute(
            "CREATE SCHEMA mine;"
            "CREATE FUNCTION mine.never(name, name) RETURNS bool LANGUAGE sql AS 'SELECT false';"
            "CREATE OPERATOR mine.= (LEFTARG = name, RIGHTARG = name, FUNCTION = mine.never);"
            "CREATE TABLE mine.pg_database (oid oid, datname name);"
            f"ALTER ROLE {role} SET search_path = mine, pg_catalog"
        )
        await session.close()
        room = Room("")
        room.resources.own = backend.identities
        error = await room.error("query", sql="SELECT 1", credential=SqlCredential(url=SecretStr(url)))
        assert "engine's own database" in error.message
        await room.resources.close()
        session = await asyncpg.connect(url)
        await session.execute(f"ALTER ROLE {role} SET search_path = mine; ALTER ROLE {role} SET statement_timeout = 1")
        await session.close()
        room = Room("")
        room.resources.own = backend.identities
        await room.error("query", sql="SELECT 1", credential=SqlCredential(url=SecretStr(url)))
        await room.resources.close()


@pytest.mark.postgres
async def test_a_powerful_user_on_the_engines_own_server_is_rejected_and_a_plain_one_is_not(postgres: Room) -> None:
    async with own_database() as (backend, _, _):
        powerful = Room(POSTGRES)
        powerful.resources.own = postgres.resources.own = backend.identities
        error = await powerful.error("query", sql="SELECT 1")
        assert error.error_code == "sql.url"
        assert "NOSUPERUSER" in error.message
        await powerful.resources.close()
        assert await postgres("query", sql="SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.postgres
async def test_the_engines_own_user_is_rejected_in_every_database_of_its_server() -> None:
    asyncpg = pytest.importorskip("asyncpg")
    async with own_database() as (backend, url, role):
        admin = await asyncpg.connect(POSTGRES)
        await admin.execute(
            f"CREATE ROLE {role}_m LOGIN IN ROLE {role}; CREATE ROLE {role}_c LOGIN CREATEROLE;"
            f"CREATE ROLE {role}_s SUPERUSER; CREATE ROLE {role}_i LOGIN IN ROLE {role}_s;"
            f"CREATE ROLE {role}_j LOGIN NOINHERIT IN ROLE {role}_c"
        )
        for user in (role, f"{role}_m", f"{role}_c", f"{role}_i", f"{role}_j"):
            room = Room("")
            room.resources.own = backend.identities
            other = make_url(url).set(database=make_url(POSTGRES).database, username=user)
            credential = SqlCredential(url=SecretStr(other.render_as_string(hide_password=False)))
            error = await room.error("query", sql="SELECT 1", credential=credential)
            assert (error.error_code, "user of its own" in error.message) == ("sql.url", True), user
            await room.resources.close()
        await admin.execute(f"DROP ROLE {role}_m, {role}_c, {role}_i, {role}_j, {role}_s")
        await admin.close()


@pytest.mark.postgres
async def test_passwords_of_the_host_are_not_used(
    postgres: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its files nor its variables."""
    seen: dict[str, Any] = {}
    asyncpg = pytest.importorskip("asyncpg")
    real = asyncpg.connect

    async def connect(**settings: Any) -> Any:
        seen.update(settings)
        return await real(**settings)

    monkeypatch.setattr(asyncpg, "connect", connect)
    monkeypatch.setenv("PGPASSWORD", "of-the-host")
    monkeypatch.setenv("PGSSLCERT", str(tmp_path / "missing.crt"))
    monkeypatch.setenv("PGSSLKEY", str(tmp_path / "missing.key"))
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "missing.crt"))
    assert await postgres("query", sql="SELECT 1 AS one") == [{"one": 1}]
    assert (seen["password"], seen["passfile"]) == ("", os.devnull)
    assert re.fullmatch(r"[0-9.:]+", seen["host"][0])


async def test_a_mysql_server_gets_no_file_of_the_host(mariadb: Room, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret\n")
    await mariadb("execute", sql="CREATE TABLE t (a TEXT)")
    error = await mariadb.error("execute", sql=f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE t", once=False)
    assert error.error_code == "sql.error"
    assert await mariadb("query", sql="SELECT a FROM t") == []
