"""A PostgreSQL of a test's own, which may be frozen, cut off and killed."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import psutil

from tests.frozen_processes import frozen
from tests.ports import free_port
from tests.services import need_program

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class OwnPostgres:
    """A server with data of its own, whose log is in `folder`. `host` is the address at which it listens."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> None:
        """`prefix`: the beginning of its command line, such as `ip netns exec NAME`."""
        self.host, self.port = host, free_port()
        self._log = folder / "postgres.log"
        self._prefix = prefix
        # PostgreSQL refuses to run as root.
        self.user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._program = Path()
        self._folder: Path | None = None
        """Its data and its socket."""

    def __enter__(self) -> "OwnPostgres":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.database("postgres")

    def database(self, name: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://hookline@{self.host}:{self.port}/{name}"

    def start(self) -> None:
        binaries = [shutil.which("initdb"), *(str(path / "initdb") for path in _BINARIES)]
        initdb = next((path for path in binaries if path and Path(path).exists()), None) or need_program(
            "PostgreSQL", "initdb"
        )
        self._program = Path(initdb).with_name("postgres")
        # Each start of pytest closes the folder of temporary paths to other users, also to one that runs already.
        self._folder = Path(tempfile.mkdtemp(prefix="hookline-postgres-"))
        if self.user:
            shutil.chown(self._folder, "postgres")
        data = self._folder / "data"
        self.create(Path(initdb), data)
        self.launch()
        self.run("SELECT 1", wait=30)

    def create(self, initdb: Path, data: Path) -> None:
        """Make its data. `initdb`: the path of that program."""
        subprocess.run(
            [
                *self.user,
                str(initdb),
                *("-D", str(data), "-U", "hookline", "-A", "trust", "--no-sync", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        (data / "pg_hba.conf").write_text(
            "host all all 0.0.0.0/0 trust\nlocal all all trust\nhost replication all 0.0.0.0/0 trust\n"
        )

    def launch(self) -> None:
        """Start it over the data that it has, and don't wait until it answers."""
        assert self._folder is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    *self.user,
                    str(self._program),
                    *("-D", str(self._folder / "data"), "-p", str(self.port)),
                    *("-k", str(self._folder), "-h", self.host),
                    *("-c", "fsync=off", "-c", "shared_buffers=16MB"),
                ],
                cwd="/",
                stdout=log,
                stderr=log,
            )

    def halt(self, number: int) -> None:
        """Shut it down and keep its data: SIGINT is fast, SIGQUIT immediate, as after a crash."""
        assert self._folder is not None
        assert self._process is not None
        first = int((self._folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(first, number)
        self._process.wait(timeout=60)
        self._process = None

    def log(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-10_000:]

    def run(self, statement: str, wait: float = 0.0) -> Any:
        """Run a statement and return its first value; repeat for `wait` seconds while the server isn't there."""
        return asyncio.run(self._run(statement, wait))

    async def _run(self, statement: str, wait: float) -> Any:
        end = asyncio.get_running_loop().time() + wait
        while True:
            try:
                async with self.session() as session:
                    return await session.fetchval(statement)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def session(self, database: str = "postgres") -> Any:
        session = await asyncpg.connect(self.database(database), timeout=5)
        try:
            yield session
        finally:
            await session.close(timeout=5)

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Another session holds an exclusive lock on a table."""
        with asyncio.Runner() as runner:
            session = runner.run(asyncpg.connect(self.url, timeout=5))
            runner.run(session.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            try:
                yield
            finally:
                runner.run(session.close())

    def processes(self) -> list[psutil.Process]:
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _signal(self, number: int) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes are stopped, so that it takes connections and answers nothing."""
        with frozen(self.processes()):
            yield

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """It has ended like a crash, and is started again over its data."""
        self.halt(signal.SIGQUIT)
        try:
            yield
        finally:
            self.launch()
            self.run("SELECT 1", wait=30)

    def kill(self) -> None:
        """End all its processes at once, as a power failure does. Its data stays."""
        assert self._process is not None
        self._signal(signal.SIGKILL)
        self._process.wait(timeout=30)
        self._process = None

    def stop(self) -> None:
        """End it and remove its data. Raises AssertionError if it has ended by itself."""
        try:
            if self._process is not None:
                code = self._process.poll()
                assert code is None, f"PostgreSQL ended by itself with {code}:\n{self.log()}"
                self._signal(signal.SIGCONT)
                self._signal(signal.SIGQUIT)
                self._process.wait(timeout=30)
        finally:
            self._process = None
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
