"""SQLite: one thread that writes, a few that read, and a lock against other processes."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, wait
from datetime import datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hookline.api import StoreError
from hookline.api_storage import Alone, Clock, NodeDescription, PartitionUpkeep, Threads
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.databases.created_mark import CreatedMark
from hookline_sqlstore.databases.database import GROUP, PATIENCE, PATIENT, Listener
from hookline_sqlstore.databases.pending_commits import LIMIT, Pending, PendingCommits, within_limit
from hookline_sqlstore.databases.process_lock import ProcessLock
from hookline_sqlstore.dialect import SqliteDialect
from hookline_sqlstore.reading.executions import open_executions
from hookline_sqlstore.writing.commit_application import Failure, apply
from hookline_sqlstore.writing.prepared_commit import Commit

T = TypeVar("T")

READERS: Final = 3
_GATHER: Final = 0.0002
"""Seconds for which the writer waits for more commits if several came together before, and the disk is slow."""
_SLOW: Final = 0.002
"""Seconds of a transaction from which the disk is slow: then writing once costs as much as many messages."""
_BUSY_TIMEOUT: Final = 4000
"""Milliseconds to wait for a lock that another program holds, such as a SQLite shell. It is shorter than the limit of a
commit, whose caller then learns the reason."""
_UNWRITTEN: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    }
)
"""The primary codes of errors after which no whole transaction is in the `-wal` file."""


class SqliteDatabase:
    """A SQLite file in WAL mode; each commit is on the disk when it returns (`synchronous=FULL`)."""

    def __init__(self, url: URL, *, clock: Clock, listener: Listener) -> None:
        """Raise StoreError if the URL names no file."""
        self.path = file_of(url)
        self._clock = clock
        self.membership = Alone(clock)
        self._lock = ProcessLock(self.path)
        self._mark = CreatedMark(self.path)
        self._pending = PendingCommits(str(self.path), listener)
        self._arrived: list[Pending] = []
        """The commits of this turn of the event loop."""
        self._requests: SimpleQueue[Pending | None] = SimpleQueue()
        self._writer: Thread | None = None
        self._places: dict[Path, tuple[int, int]] = {}
        self._engines: list[Engine] = []
        self._readers: Threads | None = None
        self._reads: set[Future[Any]] = set()
        """The reads that are running."""
        self._read_engine: Engine | None = None

    @property
    def identities(self) -> Collection[str]:
        return tuple(f"file:{device}/{inode}" for device, inode in self._places.values())

    async def open(self, node: NodeDescription) -> None:
        self.membership.node = node
        await asyncio.to_thread(self._open)
        loop = asyncio.get_running_loop()
        self._writer = Thread(
            target=self._write, args=(loop, self._engines[0]), name="hookline-sqlite-writer", daemon=True
        )
        self._writer.start()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._mark.check_before_open()
            self._lock.acquire()
        except OSError as error:
            raise StoreError(f"{self.path} can't be opened: {error.strerror}") from error
        try:
            writer = self._engine(size=1, query_only=False)
            with failing(f"{self.path} can't be opened"), writer.connect() as connection:
                self._upgrade(connection)
                open_executions.recover(connection, self._clock.now())
            self._read_engine = self._engine(size=READERS, query_only=True)
            self._readers = Threads(READERS, "hookline-sqlite-reader")
            wal = self.path.with_name(self.path.name + "-wal")
            self._places = {path: _place(path) for path in (self.path, wal)}
        except OSError as error:
            self._release()
            raise StoreError(f"{error.filename or self.path} can't be written: {error.strerror}") from error
        except BaseException:
            self._release()
            raise

    def _upgrade(self, connection: Connection) -> None:
        with connection.begin():
            # A field of the header that SQLite leaves to applications.
            stored_id = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        id_ = self._mark.check(stored_id, empty=table_versions.is_empty(connection))
        table_versions.upgrade(connection, self.membership.node.version)
        if id_ != stored_id:
            with connection.begin():
                connection.exec_driver_sql(f"PRAGMA user_version={id_}")
        self._mark.write(id_)

    def _engine(self, *, size: int, query_only: bool) -> Engine:
        # isolation_level None: the driver begins no transactions of its own; ours take the write lock at once, so that
        # none has to be given up half way. One statement for each kind of change and power of two has to stay prepared.
        engine = create_engine(
            _url(self.path, mode="rw" if query_only else "rwc"),
            pool_size=size,
            max_overflow=0,
            connect_args={"isolation_level": None, "cached_statements": 512, "check_same_thread": False},
        )
        self._engines.append(engine)
        if query_only:
            # A connection to other files would read them, also after the right ones are back.
            event.listen(engine, "do_connect", lambda *_: self._check_places(written=False))

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            for pragma in (
                f"busy_timeout={_BUSY_TIMEOUT}",
                "journal_mode=WAL",
                "synchronous=FULL",
                f"query_only={'ON' if query_only else 'OFF'}",
                # A statement that changes many rows notes how to undo itself: otherwise in a file, once for each group.
                f"temp_store={'DEFAULT' if query_only else 'MEMORY'}",
            ):
                connection.execute(f"PRAGMA {pragma}").close()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if not query_only:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return
            # All statements of a reading see one state. Passing this through SQLAlchemy would take four times as long.
            driver: Any = connection.connection.dbapi_connection
            driver.execute("BEGIN").close()

        return engine

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        if self._writer is None:
            raise StoreError(f"{self.path} is closed")
        pending = self._pending.add(commit)
        if not self._arrived:
            # Waking the thread takes longer than accepting a message, so all commits of one turn wake it once.
            asyncio.get_running_loop().call_soon(self._hand_over)
        self._arrived.append(pending)
        return pending.done

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        for pending in arrived:
            self._requests.put(pending)

    def _write(self, loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
        """Run the writer thread; commits that arrive during a transaction share the next one."""
        dialect = SqliteDialect()
        group, ended, slow, failed = list[Pending](), False, False, False
        with engine.connect() as connection:
            while not ended:
                group, ended = self._next_group(gather=slow and len(group) > 1)
                began = time.monotonic()
                try:
                    if failed:
                        # Nothing is begun until it would succeed. Meanwhile, callers may still give up.
                        with connection.begin():
                            pass
                        self._check_places(written=False)
                    group = self._pending.begin(group)
                    failures = apply(connection, dialect, [pending.commit for pending in group]) if group else []
                    # After the commit, so that the reported state is the stored one.
                    self._check_places(written=True)
                except Exception as error:  # noqa: BLE001 - the callers wait: whatever it is, it is theirs to hear
                    # Once for the whole group, since each call wakes the loop through its socket.
                    loop.call_soon_threadsafe(self._tell_failure, group, self._failure(error))
                    failed = True
                else:
                    loop.call_soon_threadsafe(self._tell, group, failures)
                    failed = False
                slow = time.monotonic() - began > _SLOW

    def _tell(self, group: list[Pending], failures: list[Failure | None]) -> None:
        self._pending.end(group, failures)
        self._pending.works()

    def _tell_failure(self, group: list[Pending], failure: StoreError) -> None:
        self._pending.fail(group, failure)
        # The transaction was rolled back, so its outcome is known.
        self._pending.end_doubt()

    def _next_group(self, *, gather: bool) -> tuple[list[Pending], bool]:
        """Wait until a commit is there that isn't patient; return the group, and true if it is the last one.

        `gather`: more commits are expected right after the first one.
        """
        group: list[Pending] = []
        patient, until = True, 0.0
        request = self._requests.get()
        if gather:
            time.sleep(_GATHER)
        while request is not None:
            group.append(request)
            patient = patient and request.commit.patient
            if len(group) == GROUP:
                return group, False
            try:
                if patient and len(group) < PATIENT:
                    until = until or time.monotonic() + PATIENCE
                    request = self._requests.get(timeout=max(0.0, until - time.monotonic()))
                else:
                    request = self._requests.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _failure(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        cause = error.orig if isinstance(error, DBAPIError) else error
        # After other errors, all of it may be in the `-wal` file, so that a crash makes it durable.
        unwritten = (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _UNWRITTEN
        failure = StoreError(f"{self.path} can't be written: {_cause(error)}", in_doubt=not unwritten)
        failure.__cause__ = error
        return failure

    def _check_places(self, *, written: bool) -> None:
        """Raise StoreError if a file was deleted or replaced; what was `written` is lost unless the file is put back.

        SQLite itself continues, with files that nobody can open any more.
        """
        for path, place in self._places.items():
            try:
                now = _place(path)
            except FileNotFoundError:
                raise StoreError(
                    f"{path} was deleted while the server ran; put it back, or restart the server", in_doubt=written
                ) from None
            if now != place:
                raise StoreError(f"another file has taken the place of {path}; restart the server", in_doubt=written)

    def tell(self, flow_ids: Iterable[str]) -> None:
        """Do nothing: there is no other node."""

    async def read(self, question: Callable[[Connection], T], *, long: bool = False) -> T:
        engine, readers = self._read_engine, self._readers
        if engine is None or readers is None:
            raise StoreError(f"{self.path} is closed")

        def ask() -> T:
            with failing(f"{self.path} can't be read"), engine.connect() as connection:
                try:
                    return question(connection)
                except BaseException:
                    # Rows that weren't fetched would keep the connection at the state that it saw.
                    connection.invalidate()
                    raise

        name = str(self.path)
        if self._pending.in_doubt:
            await within_limit(name, asyncio.ensure_future(self._pending.settled()), long=long)
        reading = readers.submit(ask)
        self._reads.add(reading)
        reading.add_done_callback(self._reads.discard)
        return await within_limit(name, asyncio.wrap_future(reading), long=long)

    async def keep_partitions(self, _longest: timedelta, before: datetime) -> PartitionUpkeep:
        """Do nothing: no table is partitioned."""
        return PartitionUpkeep(0, before)

    async def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            self._hand_over()
            self._requests.put(None)
            await asyncio.to_thread(writer.join, LIMIT)
            if writer.is_alive():
                return  # the disk hangs; the lock ends with the process
            # The loop handles the thread's last calls before this continues.
            await asyncio.sleep(0)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        """Release everything, unless a reader hangs."""
        if self._readers is not None:
            self._readers.shutdown()
        self._readers = self._read_engine = None
        if wait(tuple(self._reads), timeout=LIMIT).not_done:
            return  # as above; and without the lock, SQLite's own locks for these readers would end
        while self._engines:
            self._engines.pop().dispose()
        self._lock.release()


def file_of(url: URL) -> Path:
    """Return the file that a URL names. Raises StoreError if it names none."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreError(f"{url}: a file has to be named, as in sqlite:///hookline.db (here) or sqlite:////srv/x.db")
    if url.query:
        raise StoreError(f"{url}: the URL of a SQLite database takes no settings ({', '.join(url.query)})")
    # SQLite keeps its log beside the file itself, also if a link names it.
    return Path(url.database).resolve()


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[Connection]:
    """A connection to a file that nobody in this process has open, for queries; each transaction reads one state.

    It creates nothing that stays. Raises SQLAlchemyError, and StoreError if a database that was created before is
    missing or empty.
    """
    engine = create_engine(
        _url(path, mode="rw"),
        poolclass=NullPool,
        connect_args={"isolation_level": None, "check_same_thread": False},
    )
    # SQLite would delete the log of a file that is empty.
    event.listen(engine, "do_connect", lambda *_: CreatedMark(path).check_before_open())

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        for pragma in (f"busy_timeout={_BUSY_TIMEOUT}", "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with engine.connect() as connection:
        yield connection


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise a database's errors as StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"{what}: {_cause(error)}") from error


def _url(path: Path, *, mode: str) -> URL:
    """The URL of a file. In the mode `rwc`, SQLite creates a missing file, and deletes a log that it left behind; in
    the mode `rw`, it fails."""
    return URL.create("sqlite+pysqlite", database=path.as_uri(), query={"mode": mode, "uri": "true"})


def _place(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _cause(error: BaseException) -> str:
    cause = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return f"{cause}: another program, such as a SQLite shell, has a lock on it" if "is locked" in cause else cause
