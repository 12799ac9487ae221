"""Everything that can be full, slow or gone, one after another, under a steady load of messages.

Two servers: one over SQLite whose log and database share a small disk, and one over PostgreSQL whose log is a pipe.
Nobody restarts anything by hand. With `HOOKLINE_TEST_TROUBLE_SECONDS=600` it also runs for so long, and sends
`HOOKLINE_TEST_TROUBLE_MESSAGES`.
"""

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.own_disk import full, small_disk
from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

_SECONDS: Final = float(os.environ.get("HOOKLINE_TEST_TROUBLE_SECONDS", "600"))
_MESSAGES: Final = int(os.environ.get("HOOKLINE_TEST_TROUBLE_MESSAGES", "5000"))
_MEMORY: Final = 60_000_000
"""Bytes by which the memory of a server may have grown at the end."""

Trouble = Callable[["Watched"], AbstractAsyncContextManager[None]]


class Watched:
    """A server under load."""

    def __init__(self, server: ServerProcess, disk: Path | None, postgres: OwnPostgres | None) -> None:
        self.server = server
        self.disk = disk
        self.postgres = postgres
        self.accepted: list[str] = []
        """The executions of the messages that got 202."""
        self.rejected: set[str] = set()
        """The messages whose answers say that they aren't stored."""
        self.answers: dict[int, int] = {}
        self.before = (0, 0)
        self.printed = b""
        """The end of its log."""
        self._pipe: int | None = None

    def open_pipe(self) -> None:
        """Make a pipe of the log."""
        log = self.server.folder / "server.log"
        os.mkfifo(log)
        self._pipe = os.open(log, os.O_RDONLY | os.O_NONBLOCK)

    def read_pipe(self) -> None:
        """Read what the log has, if anybody reads it now."""
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):
                self.printed = (self.printed + os.read(self._pipe, 1 << 20))[-10_000:]

    @contextlib.contextmanager
    def unread(self, *, gone: bool) -> Iterator[None]:
        """Nobody reads the log; `gone`: its reader has closed it."""
        assert self._pipe is not None
        pipe, self._pipe = self._pipe, None
        if gone:
            os.close(pipe)
        yield
        self._pipe = os.open(self.server.folder / "server.log", os.O_RDONLY | os.O_NONBLOCK) if gone else pipe

    def measure(self) -> tuple[int, int]:
        """Its memory in bytes, and its descriptors."""
        return self.server.memory(), psutil.Process(self.server.pid).num_fds()

    async def send(self, session: aiohttp.ClientSession, number: int) -> None:
        """Send a message; what isn't accepted is sent again by nobody."""
        body: dict[str, Any] = {"n": f"{self.server.port}-{number}", "key": number % 7}
        try:
            async with session.post(f"{self.server.url}/hook/f", json=body) as response:
                self.answers[response.status] = self.answers.get(response.status, 0) + 1
                said = await response.json(content_type=None)
                if response.status == 202:
                    self.accepted.append(said["execution_id"])
                elif said["code"] != "request.possibly_stored":
                    self.rejected.add(body["n"])
        except (aiohttp.ClientError, OSError):
            self.answers[0] = self.answers.get(0, 0) + 1


@contextlib.asynccontextmanager
async def full_disk(watched: Watched) -> AsyncIterator[None]:
    """The disk of the database and the log is full."""
    with contextlib.nullcontext() if watched.disk is None else full(watched.disk):
        yield


@contextlib.asynccontextmanager
async def unread_log(watched: Watched) -> AsyncIterator[None]:
    """Nobody reads the log."""
    with contextlib.nullcontext() if watched.postgres is None else watched.unread(gone=False):
        yield


@contextlib.asynccontextmanager
async def no_reader(watched: Watched) -> AsyncIterator[None]:
    """The reader of the log has gone."""
    with contextlib.nullcontext() if watched.postgres is None else watched.unread(gone=True):
        yield


@contextlib.asynccontextmanager
async def frozen_database(watched: Watched) -> AsyncIterator[None]:
    """PostgreSQL answers nothing."""
    with contextlib.nullcontext() if watched.postgres is None else watched.postgres.frozen():
        yield


@contextlib.asynccontextmanager
async def no_descriptors(watched: Watched) -> AsyncIterator[None]:
    """No file can be opened, and no connection made or accepted."""
    before = resource.prlimit(watched.server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(watched.server.pid, resource.RLIMIT_NOFILE, (8, before[1]))
    yield
    resource.prlimit(watched.server.pid, resource.RLIMIT_NOFILE, before)


@contextlib.asynccontextmanager
async def hangups(watched: Watched) -> AsyncIterator[None]:
    """SIGHUP comes again and again."""

    async def send() -> None:
        while True:
            os.kill(watched.server.pid, signal.SIGHUP)
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(send())
    yield
    sending.cancel()


TROUBLES: Final[tuple[Trouble, ...]] = (
    full_disk,
    unread_log,
    no_reader,
    frozen_database,
    no_descriptors,
    hangups,
)


async def under_load(all_watched: list[Watched], seconds: float, messages: int) -> None:
    """Send messages all the time, while each trouble comes for half of its share of the time."""
    share = seconds / len(TROUBLES)
    ended = asyncio.Event()

    async def load(watched: Watched) -> None:
        pause, number = seconds / messages * len(all_watched), 0
        # Connections are made anew now and then, as those of other senders.
        timeout = aiohttp.ClientTimeout(total=20)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=50)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            while not ended.is_set():
                tasks.create_task(watched.send(session, number))
                number += 1
                watched.read_pipe()
                await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as tasks:
        for watched in all_watched:
            tasks.create_task(load(watched))
        await asyncio.sleep(share / 4)
        for watched in all_watched:
            watched.before = watched.measure()
        for trouble in TROUBLES:
            async with contextlib.AsyncExitStack() as stack:
                for watched in all_watched:
                    await stack.enter_async_context(trouble(watched))
                await asyncio.sleep(share / 2)
            await asyncio.sleep(share / 2)
            for watched in all_watched:
                watched.read_pipe()
        ended.set()


def check(watched: Watched, sink: Sink) -> dict[str, Any]:
    """Nothing that was accepted is lost, and everything is as before; return what was measured."""
    server = watched.server
    try:
        eventually("the server is ready", server.is_ready)
    except AssertionError:
        watched.read_pipe()
        print(server.get("/readyz"), watched.answers, watched.printed.decode() or server.log()[-10_000:], sep="\n")
        if watched.postgres is not None:
            print(watched.postgres.log())
        raise
    eventually("all executions have ended", server.drained, 60)
    states = {one["id"]: one["state"] for one in server.executions()}
    lost = [one for one in watched.accepted if states.get(one) != "succeeded"]
    assert lost == [], f"{len(lost)} of {len(watched.accepted)}: {[states.get(one) for one in lost[:5]]}"
    assert set(states.values()) == {"succeeded"}
    assert len(sink.keys) >= len(watched.accepted)
    assert not watched.rejected & {received.body["n"] for received in sink.received}, "stored, unlike their answers say"
    eventually("its descriptors are closed", lambda: watched.measure()[1] <= watched.before[1] + 20, 40)
    memory, files = watched.measure()
    assert memory < watched.before[0] + _MEMORY
    return {
        "server": "SQLite" if watched.postgres is None else "PostgreSQL",
        "answers": dict(sorted(watched.answers.items())),
        "memory": f"{watched.before[0] / 1e6:.0f} MB before, {memory / 1e6:.0f} MB after",
        "descriptors": f"{watched.before[1]} before, {files} after",
    }


@pytest.fixture
def watched(tmp_path: Path, sink: Sink) -> Iterator[list[Watched]]:
    """Two servers that run."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path, 40))
        postgres = stack.enter_context(OwnPostgres(tmp_path))
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
        (disk / "server.log").touch()
        (folders[0] / "server.log").symlink_to(disk / "server.log")
        (folders[0] / ".hookline").symlink_to(disk)
        made = [
            Watched(ForkedServer(folders[0]), disk, None),
            Watched(ForkedServer(folders[1], environment={"HOOKLINE_DB": postgres.url}), None, postgres),
        ]
        made[1].open_pipe()
        step = {"id": "call", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}
        for one in made:
            one.server.flow(
                {
                    "id": "f",
                    "trigger": {"use": "webhook", "with": {"verify": "none"}},
                    "order_by": "$.body.key",
                    "steps": [{**step, "retry": {"attempts": 20}}],
                }
            )
            stack.callback(one.server.kill)
            one.server.start()
        yield made


def run(watched: list[Watched], sink: Sink, seconds: float, messages: int) -> None:
    began = time.monotonic()
    asyncio.run(under_load(watched, seconds, messages))
    for one in watched:
        print(check(one, sink))
    for one in watched:
        one.read_pipe()
        assert one.server.stop() == 0
    assert min(one.answers.get(202, 0) for one in watched) > 0
    print(f"{time.monotonic() - began:.0f} s")


@pytest.mark.long
def test_a_postgresql_lives_on_when_another_run_of_the_tests_closes_their_folder(tmp_path: Path) -> None:
    with OwnPostgres(tmp_path) as postgres:
        tmp_path.chmod(0o700)
        postgres.run("CHECKPOINT")
        assert postgres.run("SELECT 1", wait=5) == 1


@pytest.mark.promise(1)
@pytest.mark.rule(37)
@pytest.mark.rule(42)
def test_troubles_one_after_another_lose_nothing(watched: list[Watched], sink: Sink) -> None:
    run(watched, sink, seconds=12, messages=240)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.promise(1)
@pytest.mark.rule(37)
@pytest.mark.rule(42)
def test_troubles_for_90_seconds_lose_nothing(watched: list[Watched], sink: Sink) -> None:
    run(watched, sink, seconds=90, messages=2000)


@pytest.mark.skipif("HOOKLINE_TEST_TROUBLE_SECONDS" not in os.environ, reason="is run by hand")
@pytest.mark.timeout(_SECONDS + 300)
@pytest.mark.promise(1)
@pytest.mark.rule(37)
@pytest.mark.rule(42)
def test_troubles_for_as_long_as_wanted_lose_nothing(watched: list[Watched], sink: Sink) -> None:
    run(watched, sink, _SECONDS, _MESSAGES)
