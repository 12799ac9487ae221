"""What is special to SQLite: one process, durable commits, bounded reading."""

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import SQLAlchemyError

from hookline.kernel.errors import StoreAway, StoreError
from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept, Accepted, End, Park, PutStatistics, RollUpStatistics, Start
from hookline.storage.queue import Delivery
from hookline.storage.statistics import Counts, FlowMinute
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import sqlite
from hookline_sqlstore.databases import pending_commits
from hookline_sqlstore.databases import sqlite as sqlite_module
from hookline_sqlstore.databases.status import status_of_file
from hookline_sqlstore.queue.flow_feed import READ_AHEAD
from hookline_sqlstore.queue.queue import SqlQueue
from hookline_sqlstore.reading import statistics
from hookline_sqlstore.reading.executions import open_executions
from hookline_sqlstore.tables import executions


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def envelopes(clock: ManualClock) -> Envelopes:
    return Envelopes(clock)


@pytest.fixture
async def backend(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Backend]:
    backend = sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock)
    await backend.open()
    yield backend
    await backend.close()


_HANG = """
import asyncio, sys
from threading import Event
from hookline.testing.clock import ManualClock
from hookline_sqlstore.backend_makers import sqlite
from hookline_sqlstore.databases import pending_commits, sqlite as database
pending_commits.LIMIT = database.LIMIT = 0.3

async def hang():
    backend = sqlite(sys.argv[1], clock=ManualClock())
    await backend.open()
    try:
        await backend._database.read(lambda _: Event().wait())
    except Exception as error:
        print(error)
    await backend.close()
    try:
        await backend.open()
    except Exception as error:
        print(error)

asyncio.run(hang())
"""


@pytest.mark.rule(38)
def test_a_process_ends_although_a_reader_hangs(tmp_path: Path) -> None:
    """The lock stays until then: without it, another process could change the file below the reader."""
    url = f"sqlite:///{tmp_path}/x.db"
    done = subprocess.run([sys.executable, "-c", _HANG, url], timeout=60, check=True, capture_output=True, text=True)
    assert re.fullmatch(r".* hasn't answered within 0.3 s\nprocess \d+ has .*\n", done.stdout), done
    assert done.stderr == ""


_HOLD = """
import asyncio, sys
from hookline.testing.clock import ManualClock
from hookline_sqlstore.reading.executions import open_executions
from hookline_sqlstore.backend_makers import sqlite

async def hold():
    await sqlite(sys.argv[1], clock=ManualClock()).open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.mark.rule(2)
async def test_a_second_process_is_rejected_and_told_which_one_has_it(tmp_path: Path, clock: ManualClock) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, url, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match=rf"process {holder.pid} .*PostgreSQL"):
        await sqlite(url, clock=clock).open()
    holder.kill()
    await holder.wait()
    # A killed process has no lock.
    backend = sqlite(url, clock=clock)
    await backend.open()
    await backend.close()


@pytest.mark.rule(2)
async def test_a_second_backend_of_the_same_process_is_rejected(
    backend: Backend, tmp_path: Path, clock: ManualClock
) -> None:
    second = sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock)
    with pytest.raises(StoreError, match=f"process {os.getpid()} "):
        await second.open()
    await second.close()
    await backend.store.ping()


@pytest.mark.rule(1)
async def test_commits_are_on_the_disk_when_they_return(backend: Backend) -> None:
    found: list[tuple[object, object]] = []

    def look(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert raw is not None
        modes = [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        found.append((modes[0], modes[1]))

    event.listen(Engine, "commit", look)
    await backend.store.ping()
    event.remove(Engine, "commit", look)
    full = 2
    assert found == [("wal", full)]


@pytest.mark.rule(1)
@pytest.mark.parametrize(
    ("key", "steps"), [(None, ["INSERT"]), ("k", ["BEGIN", "INSERT", "INSERT", "COMMIT"])], ids=["plain", "keyed"]
)
async def test_what_many_callers_commit_shares_transactions(
    key: str | None, steps: list[str], tmp_path: Path, clock: ManualClock, envelopes: Envelopes
) -> None:
    run = list[str]()

    def trace(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_trace_callback(lambda statement: run.append(statement.split()[0]))

    event.listen(Engine, "connect", trace)
    backend = sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock)
    await backend.open()
    event.remove(Engine, "connect", trace)
    try:
        run.clear()
        messages = [envelopes.make(key=key and f"{key}{number}") for number in range(200)]
        accepted = await asyncio.gather(*(backend.queue.put(message) for message in messages))
    finally:
        await backend.close()
    assert accepted == [Accepted(message.execution_id) for message in messages]
    groups = len(run) // len(steps)
    assert 1 <= groups < 20
    assert run == steps * groups


@contextmanager
def _pages_left(count: int) -> Iterator[None]:
    """At the next transaction, the file may grow by so many pages, also later."""
    limited = False

    def limit(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        nonlocal limited
        if not limited and statement == "BEGIN IMMEDIATE":
            limited = True
            raw = connection.connection.driver_connection
            assert raw is not None
            pages = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count={pages + count}")

    event.listen(Engine, "before_cursor_execute", limit)
    yield
    event.remove(Engine, "before_cursor_execute", limit)
    assert limited


async def test_a_full_disk_is_a_store_error_and_ends_when_there_is_room(
    backend: Backend, envelopes: Envelopes, tmp_path: Path
) -> None:
    envelope = envelopes.make(body="x" * 100_000)
    with _pages_left(0), pytest.raises(StoreError, match="full"):
        await backend.queue.put(envelope)
    assert await backend.store.execution(envelope.execution_id) is None

    def lift(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA max_page_count=1000000")

    event.listen(Engine, "before_cursor_execute", lift)
    assert await backend.queue.put(envelope) == Accepted(envelope.execution_id)
    event.remove(Engine, "before_cursor_execute", lift)


@pytest.mark.parametrize("name", ["*.db", "*.db-wal"])
async def test_nothing_is_accepted_into_a_file_that_was_deleted_or_replaced(
    backend: Backend, envelopes: Envelopes, tmp_path: Path, name: str
) -> None:
    file = next(tmp_path.rglob(name))
    moved = file.rename(file.with_name("moved"))
    with pytest.raises(StoreError, match=f"{file.name} was deleted"):
        await backend.queue.put(envelopes.make())
    file.write_bytes(moved.read_bytes())
    with pytest.raises(StoreError, match="restart the server"):
        await backend.queue.put(envelopes.make())
    moved.rename(file)
    envelope = envelopes.make()
    assert await backend.queue.put(envelope) == Accepted(envelope.execution_id)


@pytest.mark.rule(2)
@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("name", ["*.db", "*.db-wal"])
async def test_files_that_are_put_back_have_all_that_was_accepted(
    backend: Backend, envelopes: Envelopes, tmp_path: Path, name: str, replaced: bool
) -> None:
    """A reader that connects meanwhile would let SQLite delete the log, or read other files ever after."""
    envelope = envelopes.make()
    await backend.queue.put(envelope)
    file = next(tmp_path.rglob(name))
    files = {path: path.stat().st_ino for path in tmp_path.rglob("*.db*")}
    moved = file.rename(tmp_path / "moved")
    if replaced:
        file.write_bytes(b"")
    reading = [backend.store.execution(envelope.execution_id) for _ in range(20)]
    results = await asyncio.gather(*reading, return_exceptions=True)
    # Connections from before have the right files.
    assert all(isinstance(result, StoreError) or result is not None for result in results)
    assert any(isinstance(result, StoreError) and not result.in_doubt for result in results)
    moved.rename(file)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.db*")} == files
    await backend.queue.put(later := envelopes.make())
    reading = [backend.store.execution(each.execution_id) for each in [envelope, later] * 10]
    assert None not in await asyncio.gather(*reading)
    assert await _count(next(tmp_path.rglob("*.db"))) == 2


async def test_a_feed_holds_a_bounded_number_however_long_the_backlog(backend: Backend, envelopes: Envelopes) -> None:
    async with consuming(backend) as consumer:
        await backend.store.commit([Accept(envelopes.make(body="x" * 10_000)) for _ in range(1000)])
        for _ in range(100):
            await consumer.next()
        await asyncio.gather(*(backend.queue.put(envelopes.make(body="x" * 10_000)) for _ in range(200)))
        assert isinstance(backend.queue, SqlQueue)
        assert backend.queue.read_ahead <= READ_AHEAD
        assert backend.queue.read_ahead_bytes <= READ_AHEAD * 16 * 1024


async def test_a_flow_that_nobody_consumes_holds_nothing(backend: Backend, envelopes: Envelopes) -> None:
    await asyncio.gather(*(backend.queue.put(envelopes.make()) for _ in range(100)))
    assert isinstance(backend.queue, SqlQueue)
    assert backend.queue.read_ahead == 0


async def test_what_ran_when_the_process_died_goes_before_what_was_accepted_later(
    tmp_path: Path, clock: ManualClock, envelopes: Envelopes
) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    backend = sqlite(url, clock=clock)
    await backend.open()
    running = envelopes.make()
    await backend.store.commit([Accept(running), Start(running.execution_id, "v1", clock.now())])
    clock.advance(1)
    queued = envelopes.make()
    await backend.store.commit([Accept(queued)])
    await backend.close()
    clock.advance(1)
    again = sqlite(url, clock=clock)
    await again.open()
    async with consuming(again) as consumer:
        taken = await consumer.take(2)
    assert [delivery.execution_id for delivery in taken] == [running.execution_id, queued.execution_id]
    await again.close()


async def test_closing_finishes_what_is_being_written(tmp_path: Path, clock: ManualClock, envelopes: Envelopes) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    backend = sqlite(url, clock=clock)
    await backend.open()
    made = [envelopes.make() for _ in range(50)]
    putting = [asyncio.ensure_future(backend.queue.put(envelope)) for envelope in made]
    await asyncio.sleep(0)
    await backend.close()
    assert await asyncio.gather(*putting) == [Accepted(envelope.execution_id) for envelope in made]
    again = sqlite(url, clock=clock)
    await again.open()
    assert len((await again.store.executions(limit=100)).items) == 50
    await again.close()


async def test_a_backend_that_is_closed_can_be_opened_again(backend: Backend, envelopes: Envelopes) -> None:
    await backend.close()
    await backend.close()
    with pytest.raises(StoreError, match="closed"):
        await backend.store.ping()
    with pytest.raises(StoreError, match="closed"):
        await backend.store.counts()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "a file has to be named"),
        ("sqlite:///:memory:", "a file has to be named"),
        ("sqlite:///x.db?mode=ro", "takes no settings"),
        ("not a url", "can't be read"),
    ],
)
def test_a_url_that_names_no_file_is_rejected(url: str, words: str, clock: ManualClock) -> None:
    with pytest.raises(StoreError, match=re.escape(words)):
        sqlite(url, clock=clock)


async def test_a_file_that_is_no_database_is_rejected_by_name(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"something else entirely" * 100)
    backend = sqlite(f"sqlite:///{path}", clock=clock)
    with pytest.raises(StoreError, match=re.escape(str(path))):
        await backend.open()
    assert path.read_bytes().startswith(b"something else")


async def test_a_directory_that_cant_be_made_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be opened"):
        await sqlite(f"sqlite:///{tmp_path}/file/x.db", clock=clock).open()


async def test_ended_executions_leave_no_row_in_the_queue(
    backend: Backend, envelopes: Envelopes, tmp_path: Path
) -> None:
    envelope = envelopes.make()
    id_, now = envelope.execution_id, envelope.accepted_at
    await backend.store.commit([Accept(envelope), Start(id_, "v1", now)])
    await backend.store.commit([End(id_, State.SUCCEEDED, Outcome.COMPLETED, now)])
    connection = sqlite3.connect(tmp_path / "x.db")
    assert connection.execute("SELECT count(*) FROM executions WHERE ready_at IS NOT NULL").fetchone() == (0,)
    connection.close()


async def test_what_was_parked_while_a_page_was_read_is_not_delivered_early(
    backend: Backend, envelopes: Envelopes, tmp_path: Path
) -> None:
    made = [envelopes.make() for _ in range(4)]
    ids = [envelope.execution_id for envelope in made]
    now = envelopes.clock.now()
    await backend.store.commit([Accept(envelope) for envelope in made])
    page = ids[:]
    await backend.store.commit(
        [Park(ids[0], now, now + timedelta(seconds=1), "retry"), Park(ids[1], now, None, "blocked: x")]
    )
    await backend.store.commit([Start(ids[2], "v1", now)])
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.connect() as connection:
        found = [row.id for row in open_executions.to_run(connection, [], page, now)]
        again = [row.id for row in open_executions.to_run(connection, [ids[2]], [ids[3]], now)]
    engine.dispose()
    assert found == [ids[3]]
    assert again == [ids[2], ids[3]]


async def test_a_consumer_hears_that_the_table_cant_be_read(backend: Backend, envelopes: Envelopes) -> None:
    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            raise SQLAlchemyError("the disk has gone")

    await backend.queue.put(envelopes.make())
    event.listen(Engine, "before_cursor_execute", fail)
    deliveries = backend.queue.deliveries("orders")
    with pytest.raises(StoreError, match="the disk has gone"):
        await anext(deliveries)
    event.remove(Engine, "before_cursor_execute", fail)
    async with consuming(backend) as consumer:
        await consumer.next()


async def test_nobody_else_can_read_the_messages(tmp_path: Path) -> None:
    backend = sqlite(f"sqlite:///{tmp_path}/private.db", clock=ManualClock())
    await backend.open()
    try:
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("private.db*")} == {0o600}
    finally:
        await backend.close()


async def _hold(url: str) -> asyncio.subprocess.Process:
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, url, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"
    return holder


@pytest.mark.rule(2)
async def test_no_other_name_of_the_file_gets_around_the_lock(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "folder").mkdir()
    database = tmp_path / "folder" / "x.db"
    holder = await _hold(f"sqlite:///{database}")
    (tmp_path / "symlink.db").symlink_to(database)
    (tmp_path / "hard.db").hardlink_to(database)
    (tmp_path / "linked").symlink_to(tmp_path / "folder")
    for name in ("symlink.db", "hard.db", "linked/x.db", "folder/../folder/./x.db"):
        with pytest.raises(StoreError, match=rf"process {holder.pid} "):
            await sqlite(f"sqlite:///{tmp_path}/{name}", clock=clock).open()
    holder.kill()
    await holder.wait()


@pytest.mark.rule(2)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system doesn't say which files a process has open")
async def test_no_other_file_is_the_lock_that_somebody_may_delete(tmp_path: Path, clock: ManualClock) -> None:
    database = tmp_path / "x.db"
    holder = await _hold(f"sqlite:///{database}")
    opened = {link.readlink().resolve() for link in Path(f"/proc/{holder.pid}/fd").iterdir()}
    own = {database, tmp_path / "x.db-wal", tmp_path / "x.db-shm"}
    written = {path for path in opened if path.is_file() and os.access(path, os.W_OK)}
    assert {path for path in written if path.suffix == ".lock" or tmp_path in path.parents} <= own
    for file in set(tmp_path.iterdir()) - own:
        file.unlink()
    with pytest.raises(StoreError, match=rf"process {holder.pid} "):
        await sqlite(f"sqlite:///{database}", clock=clock).open()
    holder.kill()
    await holder.wait()


@pytest.mark.rule(2)
async def test_a_rejected_backend_leaves_the_locks_of_sqlite_alone(
    backend: Backend, tmp_path: Path, clock: ManualClock
) -> None:
    with pytest.raises(StoreError, match="process"):
        await sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock).open()
    # A shell that believed to be alone would remove the log when it closes.
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM executions'); c.close()"
    shell = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path / "x.db"))
    assert await shell.wait() == 0
    assert (tmp_path / "x.db-wal").exists()
    await backend.store.ping()


async def test_a_database_can_be_opened_by_a_symlink(tmp_path: Path, clock: ManualClock, envelopes: Envelopes) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    envelope = envelopes.make()
    for name in ("link.db", "real.db"):
        backend = sqlite(f"sqlite:///{tmp_path}/{name}", clock=clock)
        await backend.open()
        await backend.queue.put(envelope)
        await backend.close()
    assert await _count(tmp_path / "real.db") == 1


async def _count(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM executions").fetchone()
    connection.close()
    return int(count)


async def _used(path: Path, clock: ManualClock, envelopes: Envelopes) -> None:
    backend = sqlite(f"sqlite:///{path}", clock=clock)
    await backend.open()
    await backend.queue.put(envelopes.make())
    await backend.close()


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _delete(path: Path) -> None:
    path.unlink()


def _drop_tables(path: Path) -> None:
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close()


@pytest.mark.rule(2)
@pytest.mark.parametrize("lose", [_truncate, _delete, _drop_tables])
async def test_a_database_that_was_lost_is_not_begun_anew_without_being_told(
    tmp_path: Path, clock: ManualClock, envelopes: Envelopes, lose: Callable[[Path], None]
) -> None:
    path = tmp_path / "x.db"
    await _used(path, clock, envelopes)
    lose(path)
    with pytest.raises(StoreError, match=r"x\.db .*created before.*delete .*x\.db\.created"):
        await _used(path, clock, envelopes)
    (tmp_path / "x.db.created").unlink()
    await _used(path, clock, envelopes)
    assert await _count(path) == 1


@pytest.mark.rule(2)
async def test_a_log_whose_database_is_gone_is_kept(tmp_path: Path, clock: ManualClock, envelopes: Envelopes) -> None:
    path = tmp_path / "x.db"
    holder = await _hold(f"sqlite:///{path}")
    holder.kill()
    await holder.wait()
    path.rename(tmp_path / "moved.db")
    (tmp_path / "x.db.created").unlink()
    with pytest.raises(StoreError, match=r"x\.db-wal has data"):
        await _used(path, clock, envelopes)
    path.touch()
    assert "x.db-wal has data" in str(status_of_file(path).problem)
    assert (tmp_path / "x.db-wal").stat().st_size
    (tmp_path / "moved.db").rename(path)
    await _used(path, clock, envelopes)


@pytest.mark.rule(2)
async def test_another_database_in_the_place_of_the_known_one_is_told(
    tmp_path: Path, clock: ManualClock, envelopes: Envelopes
) -> None:
    await _used(tmp_path / "x.db", clock, envelopes)
    await _used(tmp_path / "y.db", clock, envelopes)
    (tmp_path / "y.db").replace(tmp_path / "x.db")
    with pytest.raises(StoreError, match="not the database that was here before"):
        await _used(tmp_path / "x.db", clock, envelopes)


@pytest.mark.rule(1)
async def test_of_messages_that_share_a_statement_those_for_which_there_is_room_are_accepted(
    backend: Backend, envelopes: Envelopes
) -> None:
    with _pages_left(8):
        # With a key, it is accepted in a transaction, which is seen there.
        await backend.queue.put(envelopes.make(order_key="k"))
    # While the writer accepts the first one, the others come, and share the next statement.
    made = [*(envelopes.make() for _ in range(10)), *(envelopes.make(body="x" * 15_000) for _ in range(5))]
    results = await asyncio.gather(*map(backend.queue.put, made), return_exceptions=True)
    assert results[:10] == [Accepted(envelope.execution_id) for envelope in made[:10]]
    assert "full" in str(results[-1])


@pytest.mark.rule(38)
@pytest.mark.parametrize(
    ("code", "in_doubt"),
    [
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY_DBMOVED, False),
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_IOERR_SHMSIZE, True),
        (sqlite3.SQLITE_NOMEM, True),
    ],
)
async def test_a_commit_whose_content_may_be_in_the_log_is_in_doubt(
    backend: Backend, envelopes: Envelopes, monkeypatch: pytest.MonkeyPatch, code: int, in_doubt: bool
) -> None:
    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(sqlite_module, "apply", fail)
    with pytest.raises(StoreError, match="disk I/O error") as raised:
        await backend.queue.put(envelopes.make())
    assert raised.value.in_doubt == in_doubt


@pytest.mark.rule(38)
async def test_a_lock_of_another_program_fails_in_time_and_nothing_is_lost(
    backend: Backend, envelopes: Envelopes, tmp_path: Path
) -> None:
    shell = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    failed = await asyncio.gather(*(backend.queue.put(envelopes.make()) for _ in range(20)), return_exceptions=True)
    assert {type(failure) for failure in failed} == {StoreError}
    assert "database is locked" in str(failed[0]), "the reason comes before the limit of a commit"
    assert (await backend.store.executions()).items == ()
    shell.execute("ROLLBACK")
    shell.close()
    envelope = envelopes.make()
    assert await backend.queue.put(envelope) == Accepted(envelope.execution_id)
    assert await _count(tmp_path / "x.db") == 1


@pytest.mark.rule(38)
async def test_messages_that_are_withdrawn_give_back_their_places_in_the_feed(
    backend: Backend, envelopes: Envelopes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with consuming(backend) as consumer:
        first = envelopes.make()
        await backend.queue.put(first)
        assert (await consumer.next()).execution_id == first.execution_id
        with sqlite3.connect(tmp_path / "x.db", isolation_level=None) as shell, monkeypatch.context() as patch:
            patch.setattr(pending_commits, "LIMIT", 0.3)
            shell.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="hasn't answered"):
                await backend.queue.put(envelopes.make("other"))
            # While the writer is busy with that, these wait: one more than there are places.
            puts = [backend.queue.put(envelopes.make()) for _ in range(READ_AHEAD + 1)]
            failed = await asyncio.gather(*puts, return_exceptions=True)
            assert {type(failure) for failure in failed} == {StoreAway}
            assert isinstance(backend.queue, SqlQueue)
            assert backend.queue.read_ahead == 0
            shell.execute("ROLLBACK")
        shell.close()
        later = envelopes.make()
        await backend.queue.put(later)
        assert (await consumer.next()).execution_id == later.execution_id


@pytest.mark.rule(38)
async def test_what_starts_in_a_commit_that_was_given_up_and_stored_after_all_is_delivered_once(
    backend: Backend, envelopes: Envelopes, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_commits, "LIMIT", 0.3)
    ran: list[Delivery] = []
    envelope = envelopes.make()
    place = SimpleNamespace(change=Start(envelope.execution_id, "v1", clock.now()), run=ran.append)
    deliveries = backend.queue.deliveries("orders")
    waiting = asyncio.ensure_future(anext(deliveries))
    with sqlite3.connect(tmp_path / "x.db", isolation_level=None) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="hasn't answered"):
            await backend.queue.put(envelope, at_once=place)
        shell.execute("ROLLBACK")
    shell.close()
    delivery = await asyncio.wait_for(waiting, 30)
    assert (delivery.execution_id, delivery.fresh, ran) == (envelope.execution_id, False, [])
    stored = await backend.store.execution(envelope.execution_id)
    assert stored is not None
    assert stored.state is State.RUNNING
    await deliveries.aclose()


async def test_a_reading_that_fails_keeps_no_later_one_at_its_state(
    backend: Backend, clock: ManualClock, envelopes: Envelopes
) -> None:
    database = backend._database  # type: ignore[attr-defined]  # no reading of the store fails in the middle
    await backend.store.commit([Accept(envelopes.make()) for _ in range(3)])

    def fail(connection: Connection) -> None:
        rows = connection.execute(select(executions.c.id))
        rows.fetchone()
        raise OverflowError("a defect")

    failures: list[BaseException] = []
    for _ in range(50):
        try:
            await database.read(fail)
        except OverflowError as error:
            # A log keeps an error, and thereby the rows that weren't fetched.
            failures.append(error)
    await backend.store.commit([Accept(envelopes.make())])
    for _ in range(50):
        found = await database.read(lambda connection: connection.execute(select(executions.c.id)).all())
        assert len(found) == 4
    assert len(failures) == 50


class _Interrupted:
    """A connection on which something happens after each statement."""

    def __init__(self, connection: Connection, happen: Callable[[], object]) -> None:
        self._connection = connection
        self._happen = happen

    def execute(self, *given: Any) -> list[Any]:
        rows = list(self._connection.execute(*given))
        self._happen()
        return rows


@pytest.mark.parametrize("question", [statistics.points, statistics.flow_points])
async def test_hours_are_not_counted_twice_while_their_minutes_are_rolled_up(
    backend: Backend, clock: ManualClock, question: Callable[..., Sequence[Any]]
) -> None:
    database, loop = backend._database, asyncio.get_running_loop()  # type: ignore[attr-defined]  # see above
    now = clock.now()
    at = now - timedelta(days=3)
    await backend.store.commit([PutStatistics("n", (FlowMinute("f", at, Counts(accepted=10)),))])

    def roll_up() -> None:
        work = backend.store.commit([RollUpStatistics(now - timedelta(days=2), at - timedelta(days=9))])
        asyncio.run_coroutine_threadsafe(work, loop).result()

    def ask(connection: Connection) -> int:
        shown = question(_Interrupted(connection, roll_up), ["f"], at - timedelta(hours=2), now, hourly=True)
        return sum(getattr(one, "counts", one).accepted for one in shown)

    assert [await database.read(ask, long=True) for _ in range(2)] == [10, 10]


async def test_all_statements_of_a_reading_see_one_state(backend: Backend, envelopes: Envelopes) -> None:
    database, loop = backend._database, asyncio.get_running_loop()  # type: ignore[attr-defined]  # see above

    def accept() -> None:
        asyncio.run_coroutine_threadsafe(backend.store.commit([Accept(envelopes.make())]), loop).result()

    def count_twice(connection: Connection) -> list[int]:
        interrupted = _Interrupted(connection, accept)
        return [len(interrupted.execute(select(executions.c.id))) for _ in range(2)]

    assert [await database.read(count_twice) for _ in range(2)] == [[0, 0], [2, 2]]
