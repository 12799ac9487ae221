"""What is special to PostgreSQL: one server for a schema, and connections that break."""

import asyncio
import contextlib
import functools
import hashlib
import re
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from tests.acceptance.postgres import POSTGRES
from tests.integration.plugins.brokers.proxy import proxy_to

from hookline.kernel.errors import StoreAway, StoreError
from hookline.storage.change_declarations import Accepted
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql
from hookline_sqlstore.databases import pending_commits, postgres, postgres_address, postgres_session_upkeep
from hookline_sqlstore.databases.postgres_session_upkeep import socket_of
from hookline_sqlstore.dialect import Conflict, PostgresDialect
from hookline_sqlstore.node_lease import Lease, LeaseLost
from hookline_sqlstore.queue.flow_feed import READ_AHEAD
from hookline_sqlstore.queue.queue import SqlQueue

pytestmark = pytest.mark.postgres


@pytest.fixture
async def server(tables: str) -> AsyncIterator[Any]:
    """A session of the test's own."""
    connection = await asyncpg.connect(POSTGRES)
    yield connection
    await connection.close()


async def test_a_session_that_is_gone_when_it_should_make_its_plans_anew_is_replaced(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each use is late.
    monkeypatch.setattr(postgres_session_upkeep, "REPLAN", -1.0)
    engine = create_async_engine(make_url(POSTGRES).set(drivername="postgresql+asyncpg"), pool_size=1)
    postgres_session_upkeep.renew_plans(engine.sync_engine)

    async def process() -> int:
        async with engine.connect() as connection:
            found: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            return found

    first = await process()
    assert await process() == first
    await server.execute("SELECT pg_terminate_backend($1)", first)
    assert await process() != first
    await engine.dispose()


async def test_schemas_of_one_database_are_apart(server: Any, tables: str, clock: ManualClock) -> None:
    envelopes, schema = Envelopes(clock), f"hookline {uuid.uuid4().hex[:12]}"
    first = postgresql(tables, clock=clock)
    second = postgresql(f"{POSTGRES}?schema={schema.replace(' ', '%20')}", clock=clock)
    await first.open()
    await second.open()
    await first.queue.put(envelopes.make(key="k"))
    other = envelopes.make(key="k")
    assert await second.queue.put(other) == Accepted(other.execution_id)
    await first.close()
    await second.close()
    await server.execute(f'DROP SCHEMA "{schema}" CASCADE')


def _host(url: str) -> str:
    parts = make_url(url)
    return f"{parts.host or '127.0.0.1'}:{parts.port or 5432}"


def _with_hosts(url: str, *hosts: str) -> str:
    """The URL of the same database on one of several hosts, of which its own is the last."""
    several = make_url(url).set(host=None, port=None).update_query_dict({"host": [*hosts, _host(url)]})
    return several.update_query_dict({"target_session_attrs": "read-write"}).render_as_string(hide_password=False)


async def test_hosts_that_are_silent_or_gone_leave_time_for_the_one_that_answers(
    tables: str, clock: ManualClock
) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = _with_hosts(tables, f"127.0.0.1:{silent.getsockname()[1]}", "127.0.0.1:1")
        backend = postgresql(url, clock=clock)
        await backend.open()
        envelope = Envelopes(clock).make()
        assert await backend.queue.put(envelope) == Accepted(envelope.execution_id)
        assert await backend.store.execution(envelope.execution_id) is not None
        await backend.close()


@pytest.mark.parametrize("direct", [False, True])
async def test_wake_ups_are_heard_on_the_host_that_answers(
    server: Any, tables: str, clock: ManualClock, direct: bool
) -> None:
    several = _with_hosts(tables, "127.0.0.1:1")
    node = NodeDescription(listen_url=several) if direct else NodeDescription()
    backend = postgresql(tables if direct else several, clock=clock)
    await backend.open(node)
    schema = make_url(tables).query["schema"]
    channel = f"hookline_{hashlib.sha256(schema.encode()).hexdigest()[:16]}"
    heard = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hookline' AND query LIKE $1"
    async with asyncio.timeout(20):
        while await server.fetchval(heard, f"LISTEN %{channel}%") != 1:  # noqa: ASYNC110 - another session does it
            await asyncio.sleep(0.05)
    await backend.close()


@pytest.mark.parametrize(
    "error", [asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError]
)
async def test_a_host_that_ends_a_new_session_is_passed_over(
    tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    prepare, errors = postgres_address.prepare, [error("the host goes down")]

    async def ended(session: Any, **options: Any) -> None:
        await prepare(session, **options)
        if errors:
            raise errors.pop()

    monkeypatch.setattr(postgres_address, "prepare", ended)
    backend = postgresql(_with_hosts(tables, _host(tables)), clock=clock)
    await backend.open()
    assert isinstance(await backend.queue.put(Envelopes(clock).make()), Accepted)
    await backend.close()


async def test_a_host_that_says_nothing_is_named_with_what_happened(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_address, "CONNECT_TIMEOUT", 0.5)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        several = postgresql(f"postgresql:///x?host={place}&host=127.0.0.1:1", clock=clock)
        with pytest.raises(StoreError, match=rf"{place}: TimeoutError; 127\.0\.0\.1:1: .*Connect call failed"):
            await several.open()
        with pytest.raises(StoreError, match="can't be opened: TimeoutError"):
            await postgresql(f"postgresql://{place}/x", clock=clock).open()


async def test_each_host_is_named_if_none_answers(clock: ManualClock) -> None:
    backend = postgresql("postgresql:///x?host=127.0.0.1:1&host=127.0.0.1:2", clock=clock)
    with pytest.raises(
        StoreError, match=r"127\.0\.0\.1:1: .*Connect call failed.*; 127\.0\.0\.1:2: .*Connect call failed"
    ):
        await backend.open()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("shema=s", "the settings in the URL are schema, host, target_session_attrs; there is no shema"),
        ("schema=s&schema=t", "`schema` may be in the URL once"),
    ],
)
def test_settings_in_the_url_are_checked(query: str, problem: str, clock: ManualClock) -> None:
    with pytest.raises(StoreError, match=re.escape(problem)):
        postgresql(f"postgresql://me:hunter2@127.0.0.1/x?{query}", clock=clock)


async def test_a_connection_that_breaks_is_made_again(server: Any, tables: str, clock: ManualClock) -> None:
    envelopes = Envelopes(clock)
    backend = postgresql(tables, clock=clock)
    await backend.open()
    await backend.queue.put(envelopes.make())
    database = backend._database  # type: ignore[attr-defined]  # nothing else names the session
    connection = await database._connection.get_raw_connection()
    session = await connection.driver_connection.fetchval("SELECT pg_backend_pid()")
    await server.execute("SELECT pg_terminate_backend($1)", session)
    failed = await asyncio.gather(backend.queue.put(envelopes.make()), return_exceptions=True)
    assert isinstance(failed[0], StoreError)
    assert failed[0].in_doubt
    again = envelopes.make()
    assert await backend.queue.put(again) == Accepted(again.execution_id)
    assert await backend.store.execution(again.execution_id) is not None
    await backend.close()


async def test_reads_go_on_when_their_sessions_have_ended(server: Any, tables: str, clock: ManualClock) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # as above

    def session(connection: Connection) -> int:
        found: int = connection.execute(text("SELECT pg_backend_pid() FROM pg_sleep(0.05)")).scalar_one()
        return found

    async def sessions() -> set[int]:
        return set(await asyncio.gather(*(database.read(session) for _ in range(postgres.READERS))))

    first = await sessions()
    assert len(first) == postgres.READERS
    await server.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS ended(pid)", list(first))
    assert not first & await sessions()
    await backend.close()


async def test_a_read_whose_session_ends_meanwhile_is_asked_once_more(tables: str, clock: ManualClock) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # as above
    asked = 0

    def end_own_session(connection: Connection) -> str:
        nonlocal asked
        asked += 1
        if asked in endings:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return "answer"

    endings = {1}
    assert await database.read(end_own_session) == "answer"
    assert asked == 2
    asked, endings = 0, {1, 2}
    with pytest.raises(StoreAway, match="can't be read"):
        await database.read(end_own_session)
    assert asked == 2
    await backend.close()


async def test_a_read_isnt_repeated_for_another_error_than_the_end_of_its_session(
    tables: str, clock: ManualClock
) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    asked = 0

    def fail(connection: Connection) -> None:
        nonlocal asked
        asked += 1
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'too many clients' USING ERRCODE = '53300'; END $$"))

    with pytest.raises(StoreAway, match="too many clients"):
        await backend._database.read(fail)  # type: ignore[attr-defined]  # as above
    assert asked == 1
    await backend.close()


async def test_a_read_isnt_repeated_on_a_database_that_was_closed_meanwhile(tables: str, clock: ManualClock) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # as above
    asked, engine = 0, database._reading

    def end_during_the_close(connection: Connection) -> None:
        nonlocal asked
        asked += 1
        database._reading = None
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StoreAway, match="can't be read"):
        await database.read(end_during_the_close)
    assert asked == 1
    database._reading = engine
    await backend.close()


async def test_a_repeated_read_sees_nothing_of_a_commit_in_doubt(tables: str, clock: ManualClock) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # as above
    asked = 0

    def doubt(connection: Connection) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            database._pending.begin_doubt()
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return "answer"

    reading = asyncio.ensure_future(database.read(doubt))
    await asyncio.sleep(0.5)
    assert asked == 1
    database._pending.end_doubt()
    assert await reading == "answer"
    assert asked == 2
    await backend.close()


@pytest.mark.rule(38)
@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param("TRIGGER no_space BEFORE INSERT ON {}", id="an insert"),
        pytest.param(
            "CONSTRAINT TRIGGER no_space AFTER INSERT ON {} INITIALLY DEFERRED FOR EACH ROW",
            id="the end of a transaction",
        ),
    ],
)
async def test_a_message_isnt_in_doubt_after_an_error_of_a_statement(
    server: Any, tables: str, clock: ManualClock, trigger: str
) -> None:
    envelopes = Envelopes(clock)
    backend = postgresql(tables, clock=clock)
    await backend.open()
    schema = make_url(tables).query["schema"]
    await server.execute(
        f"""CREATE FUNCTION "{schema}".no_space() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;
        CREATE {trigger.format(f'"{schema}".executions')} EXECUTE FUNCTION "{schema}".no_space()"""
    )
    with pytest.raises(StoreError, match="no space left") as raised:
        await backend.queue.put(envelopes.make())
    assert not raised.value.in_doubt
    await server.execute(f'DROP FUNCTION "{schema}".no_space() CASCADE')
    again = envelopes.make()
    assert await backend.queue.put(again) == Accepted(again.execution_id)
    await backend.close()


@pytest.mark.rule(38)
@pytest.mark.parametrize(
    ("failure", "in_doubt"),
    [
        (DBAPIError("INSERT", (), RuntimeError("no answer")), True),
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), True),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE in a read-only transaction"), False),
        (LeaseLost(), False),
    ],
)
async def test_each_message_that_is_stored_by_itself_has_its_own_result(
    tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, failure: Exception, in_doubt: bool
) -> None:
    envelopes = Envelopes(clock)
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # nothing else applies groups
    real, stored = database._transaction, list[str]()

    async def conflicting(connection: Any, dialect: Any, commits: Any) -> Any:
        if len(commits) > 1:
            raise Conflict("deadlock")
        if stored:
            raise failure
        stored.append(commits[0].operations[0].row[0])
        return await real(connection, dialect, commits)

    with monkeypatch.context() as patch:
        patch.setattr(database, "_transaction", conflicting)
        first, second = await asyncio.gather(
            *(backend.queue.put(envelopes.make()) for _ in range(2)), return_exceptions=True
        )
    assert first == Accepted(stored[0])
    assert isinstance(second, StoreError)
    assert second.in_doubt is in_doubt
    again = envelopes.make()
    assert await backend.queue.put(again) == Accepted(again.execution_id)
    assert {one.execution.id for one in (await backend.store.executions()).items} == {*stored, again.execution_id}
    await backend.close()


@pytest.mark.cluster_rule("C4")
@pytest.mark.parametrize("repeats", [2, 0])
async def test_a_message_that_meets_a_lock_of_the_lease_is_stored_when_the_lock_is_gone(
    server: Any, tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, repeats: int
) -> None:
    monkeypatch.setattr(postgres, "_REPEATS", repeats)
    monkeypatch.setattr(postgres, "_LOCK_LIMIT_ALONE", 0.1)
    monkeypatch.setattr(postgres, "PostgresDialect", functools.partial(PostgresDialect, lock_limit=0.1))
    renewing, renew = asyncio.Event(), Lease.renew

    async def noted(lease: Lease, driver: Any) -> int:
        renewing.set()
        return await renew(lease, driver)

    backend = postgresql(tables, clock=clock)
    await backend.open()
    transaction = server.transaction()
    await transaction.start()
    await server.execute(f'SELECT FROM "{make_url(tables).query["schema"]}".nodes FOR UPDATE')
    monkeypatch.setattr(Lease, "renew", noted)
    envelope = Envelopes(clock).make()
    putting = asyncio.ensure_future(backend.queue.put(envelope))
    met = asyncio.ensure_future(renewing.wait())
    await asyncio.wait((putting, met), return_when=asyncio.FIRST_COMPLETED)
    await transaction.rollback()
    assert await putting == Accepted(envelope.execution_id)
    await met
    await backend.close()


@pytest.mark.parametrize(
    ("failure", "away"),
    [(asyncpg.ReadOnlySQLTransactionError("read-only"), False), (asyncpg.AdminShutdownError("it goes down"), True)],
)
async def test_an_error_while_a_node_registers_is_a_store_error(
    tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, failure: Exception, away: bool
) -> None:
    async def register(*_: Any, **__: Any) -> int:
        raise failure

    monkeypatch.setattr(Lease, "register", register)
    with pytest.raises(StoreError, match="can't be opened") as raised:
        await postgresql(tables, clock=clock).open()
    assert isinstance(raised.value, StoreAway) is away


async def test_a_session_that_the_server_has_ended_while_partitions_are_kept_is_a_store_error(
    tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keep(*_: Any) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    backend = postgresql(tables, clock=clock)
    await backend.open()
    monkeypatch.setattr(backend._database._partitions, "keep", keep)  # type: ignore[attr-defined]  # as above
    with pytest.raises(StoreError, match="can't be partitioned"):
        await backend.store.keep_partitions(timedelta(days=30), clock.now())
    await backend.close()


@pytest.mark.rule(38)
async def test_a_transaction_without_end_is_ended_and_nothing_is_read_before(
    server: Any, tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LONG_LIMIT", 1.5)
    envelopes = Envelopes(clock)
    backend = postgresql(tables, clock=clock)
    await backend.open()
    transaction = server.transaction()
    await transaction.start()
    await server.execute(f'LOCK TABLE "{make_url(tables).query["schema"]}".executions IN EXCLUSIVE MODE')
    lost, withdrawn = envelopes.make(), envelopes.make()
    with monkeypatch.context() as patch:
        patch.setattr(pending_commits, "LIMIT", 0.3)
        for envelope, in_doubt in ((lost, True), (withdrawn, False)):
            with pytest.raises(StoreError, match="hasn't answered") as raised:
                await backend.queue.put(envelope)
            assert raised.value.in_doubt == in_doubt
    # The lock lets others read, but the first message may still be stored until its session has been ended.
    assert await backend.store.execution(lost.execution_id) is None
    assert not backend._database._pending.in_doubt  # type: ignore[attr-defined]  # nothing else shows it
    await transaction.rollback()
    assert await backend.store.execution(lost.execution_id) is None
    again = envelopes.make()
    assert await backend.queue.put(again) == Accepted(again.execution_id)
    assert [item.execution.id for item in (await backend.store.executions()).items] == [again.execution_id]
    await backend.close()


@pytest.mark.rule(38)
async def test_messages_that_are_withdrawn_give_back_their_places_in_the_feed(
    server: Any, tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelopes = Envelopes(clock)
    backend = postgresql(tables, clock=clock)
    await backend.open()
    async with consuming(backend) as consumer:
        first = envelopes.make()
        await backend.queue.put(first)
        assert (await consumer.next()).execution_id == first.execution_id
        transaction = server.transaction()
        await transaction.start()
        await server.execute(f'LOCK TABLE "{make_url(tables).query["schema"]}".executions IN EXCLUSIVE MODE')
        with monkeypatch.context() as patch:
            patch.setattr(pending_commits, "LIMIT", 0.3)
            with pytest.raises(StoreError, match="hasn't answered"):
                await backend.queue.put(envelopes.make("other"))
            # While the writer is busy with that, these wait: one more than there are places.
            puts = [backend.queue.put(envelopes.make()) for _ in range(READ_AHEAD + 1)]
            failed = await asyncio.gather(*puts, return_exceptions=True)
        assert {type(failure) for failure in failed} == {StoreAway}
        assert isinstance(backend.queue, SqlQueue)
        assert backend.queue.read_ahead == 0
        await transaction.rollback()
        later = envelopes.make()
        await backend.queue.put(later)
        assert (await consumer.next()).execution_id == later.execution_id
    await backend.close()


@pytest.mark.rule(38)
async def test_a_commit_that_is_given_up_before_there_is_a_connection_is_never_stored(
    tables: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelopes = Envelopes(clock)
    direct = make_url(tables)
    async with proxy_to(direct.port or 5432) as proxy:
        url = direct.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        backend = postgresql(url, clock=clock)
        await backend.open()
        proxy.speaks.clear()
        proxy.cut()
        # The first one finds out that the connection is lost.
        with pytest.raises(StoreError, match="can't be written"):
            await backend.queue.put(envelopes.make())
        with monkeypatch.context() as patch:
            patch.setattr(pending_commits, "LIMIT", 0.1)
            with pytest.raises(StoreError, match="hasn't answered"):
                await backend.queue.put(envelopes.make())
        proxy.speaks.set()
        stored = envelopes.make()
        assert await backend.queue.put(stored) == Accepted(stored.execution_id)
        assert [item.execution.id for item in (await backend.store.executions()).items] == [stored.execution_id]
        await backend.close()


@pytest.mark.rule(2)
async def test_the_sessions_end_on_both_sides_when_the_other_one_is_gone(
    server: Any, tables: str, clock: ManualClock
) -> None:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    database = backend._database  # type: ignore[attr-defined]  # what it has set can't be seen from outside
    listening = await database._connect_to_listen()
    reader = await (await database._reading.connect()).get_raw_connection()
    for session in (database._driver, listening, reader.driver_connection):
        assert {name: await session.fetchval(f"SHOW {name}") for name in _SHOWN} == _SHOWN
        limited = await session.fetchval("SHOW statement_timeout") != "0"
        assert limited is (session is reader.driver_connection), "only queries have a limit"
        sock = socket_of(session)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 15_000
    await listening.close()
    reader.close()
    await backend.close()


_SHOWN = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "client_connection_check_interval": "5s",
    "idle_in_transaction_session_timeout": "1min",
}


@pytest.mark.cluster_rule("C21")
@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"database": "no-such-database"}, "create the database, or correct its name"),
        ({"username": "nobody-of-this-name"}, "correct the user"),
        ({"host": "no-such-host.invalid"}, "correct the host"),
    ],
)
async def test_an_address_that_is_wrong_is_told_with_its_remedy_and_not_waited_for(
    clock: ManualClock, changed: dict[str, str], remedy: str
) -> None:
    wrong = make_url(POSTGRES).set(**changed)  # type: ignore[arg-type]  # the parts are texts
    backend = postgresql(wrong.render_as_string(hide_password=False), clock=clock)
    with pytest.raises(StoreError, match=remedy) as raised:
        await backend.open()
    assert not isinstance(raised.value, StoreAway)


@pytest.mark.cluster_rule("C21")
@pytest.mark.parametrize("place", ["127.0.0.1:1/x", "/x?host=/no/such/folder"])
async def test_a_server_that_isnt_there_may_come(clock: ManualClock, place: str) -> None:
    backend = postgresql(f"postgresql://root@{place}", clock=clock)
    with pytest.raises(StoreAway):
        await backend.open()


@pytest.mark.cluster_rule("C21")
async def test_a_backend_may_be_opened_again(tables: str, clock: ManualClock) -> None:
    backend = postgresql(tables, clock=clock)
    for _ in range(2):
        await backend.open()
        assert isinstance(await backend.queue.put(Envelopes(clock).make()), Accepted)
        assert backend.membership.held
        await backend.close()


async def test_a_server_that_isnt_there_is_a_store_error_without_the_password(clock: ManualClock) -> None:
    backend = postgresql("postgresql://user:secret-word@127.0.0.1:1/x", clock=clock)
    with pytest.raises(StoreError, match="can't be opened") as raised:
        await backend.open()
    assert "secret-word" not in str(raised.value)
    await backend.close()


def test_unknown_settings_in_the_url_are_rejected(clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="sslmod"):
        postgresql("postgresql://u:secret-word@h/x?sslmod=require", clock=clock)


async def test_a_driver_that_isnt_installed_is_named_with_what_to_install(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    backend = postgresql("postgresql://root@127.0.0.1:1/test", clock=clock)
    with pytest.raises(StoreError, match=r"asyncpg.*pip install 'hookline\[postgres\]'"):
        await backend.open()
    await backend.close()


def test_a_url_with_a_port_that_is_no_number_is_rejected(clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="can't be read") as raised:
        postgresql("postgresql://u:secret-word@h:port/x", clock=clock)
    assert "secret-word" not in str(raised.value)
