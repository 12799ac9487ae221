"""What more workers cost and bring on one PostgreSQL, and what an idle cluster costs.

    python -m tests.benchmarks.bench_workers [--postgres postgresql://127.0.0.1] [--workers 1 2 4] [--rounds 3]
        [--seconds 5] [--connections 32] [--server uvicorn] [--nodes 3] [--flows 1000] [--idle 20] [--only run|idle]

Servers with so many workers, and one on SQLite, run webhook → map → http.request in turn, each with a database of its
own. Each worker gets as many connections, since the messages that arrive together share a commit. For each, the table
has:

- executions a second, from the first message until the last execution has ended;
- processor time for each execution: of all processes of the server, and of the sessions of PostgreSQL. It hardly
  changes when something else runs on the machine, and the rate does;
- waiting for locks: the share of the run in which a worker's session that writes waits for another session (`Lock` in
  `pg_stat_activity`), and for a part of PostgreSQL's memory (`LWLock`).

The idle cluster has nodes with so many flows, which get no messages: the share of one core that all of them use, and
queries a second. Those are counted by `pg_stat_statements` if `shared_preload_libraries` has it, and otherwise, as
transactions, by `pg_stat_database`.

PostgreSQL has to run on this machine. Load comes from `wrk`. Exit code 1 if a ratio is over its limit.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import asyncpg
import psutil
from tests.benchmarks.bench_server import (
    BODY,
    executed,
    executed_on_postgres,
    free_port,
    postgres_database,
    run_flow,
    served,
    write_flows,
)

KEY: Final = "mCi7NFMiYYh5HdX_eWYU6aA0JM_tiXOm5SlGpJOcHDs="
#: The most that the processor time of an execution may be, relative to one worker, by the number of workers. 0: that of
#: one worker on PostgreSQL, relative to SQLite.
LIMITS: Final = {0: 1.25, 2: 1.18, 4: 1.25}
WAITING: Final = 0.05
IDLE_CORE: Final = 0.02
IDLE_QUERIES: Final = 20.0
_SAMPLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run."""

    rate: float
    server: float
    """Microseconds of processor time of an execution."""
    database: float
    """The same of PostgreSQL's sessions."""
    lock: float
    """The share of the run that a session which writes waits for another one."""
    memory: float
    """The same for a part of PostgreSQL's shared memory."""
    p99: float
    """Milliseconds until a message is accepted."""


@contextmanager
def cluster(folder: Path, db: str, server: str, *, workers: int = 1, name: str = "bench") -> Iterator[tuple[str, int]]:
    """`hookline serve`; gives its URL and its process id."""
    port = free_port()
    home = folder / name
    home.mkdir()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HOOKLINE_")},
        "HOOKLINE_DB": db,
        "HOOKLINE_FLOWS": str(folder / "flows"),
        "HOOKLINE_NODE_NAME": name,
        "HOOKLINE_SECRET_KEY": KEY,
        "HOOKLINE_ADMIN_TOKEN": "bench-admin-token",
        "HOOKLINE_EGRESS_ALLOW": "127.0.0.0/8",
        "HOOKLINE_MAX_BACKLOG": "10000000",
        "HOOKLINE_MAX_BACKLOG_TOTAL": "10000000",
        "HOOKLINE_DRAIN_DELAY": "0",
        "HOOKLINE_GRACE": "1",
    }
    command = [sys.executable, "-m", "hookline.cli.main", "serve", "--port", str(port), "--server", server]
    if workers > 1:
        command += ["--workers", str(workers)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    try:
        _until_ready(process, f"http://127.0.0.1:{port}", home / "log")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(URLError, OSError), urlopen(f"{url}/readyz", timeout=5):
            # It says so when all its workers are ready.
            if "Hookline listens on" in log.read_text():
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server isn't ready:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def processor_time(pid: int) -> float:
    """Seconds, of a process and its children that run."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            total += times.user + times.system
    return total


class Sessions:
    """The sessions of a server in a database: their processor time, and what they wait for meanwhile."""

    def __init__(self, db: str) -> None:
        self._db = db
        self._ended = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._sample()), daemon=True)
        self._before: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self.samples = 0
        self.waiting = {"Lock": 0, "LWLock": 0}

    async def _sample(self) -> None:
        session = await asyncpg.connect(self._db)
        try:
            while not self._ended.is_set():
                rows = await session.fetch(
                    # Not this program's own, which counts executions meanwhile.
                    "SELECT pid, state, wait_event_type FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'hookline'"
                )
                for row in rows:
                    self._last[row["pid"]] = processor_time(row["pid"])
                    if row["state"] == "active" and row["wait_event_type"] in self.waiting:
                        self.waiting[row["wait_event_type"]] += 1
                if not self.samples:
                    self._before = dict(self._last)
                self.samples += 1
                await asyncio.sleep(_SAMPLE)
        finally:
            await session.close()

    @property
    def seconds(self) -> float:
        """Of processor time, of all its sessions together."""
        return sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._last.items())

    def __enter__(self) -> "Sessions":
        self._thread.start()
        while not self.samples and self._thread.is_alive():
            time.sleep(_SAMPLE)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def measure(given: argparse.Namespace, workers: int) -> Figures:
    """One run. `workers`: 0 for one process on SQLite."""
    connections = given.connections * (workers or 1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookline-bench-")))
        sink, _ = stack.enter_context(served("sink", "uvicorn", folder))
        write_flows(folder, f"{sink}/")
        if workers:
            db = stack.enter_context(postgres_database(given.postgres))
            count = partial(executed_on_postgres, db)
        else:
            db, count = f"sqlite:///{folder}/bench.db", partial(executed, folder)
        url, pid = stack.enter_context(cluster(folder, db, given.server, workers=workers or 1))
        # The first messages cost more: modules are imported, connections are made, statements are prepared.
        urlopen(Request(f"{url}/hook/bench", BODY.encode(), {"Content-Type": "application/json"})).close()
        run_flow(url, folder, 1, connections, count)
        sessions = stack.enter_context(Sessions(db)) if workers else None
        before, began = count(), processor_time(pid)
        *_, p99, errors, rate = run_flow(url, folder, given.seconds, connections, count)
        if errors:
            raise SystemExit(f"{errors:.0f} messages weren't accepted")
        used, done = processor_time(pid) - began, count() - before
        if sessions is None:
            return Figures(rate, used / done * 1e6, 0.0, 0.0, 0.0, p99)
        sessions.__exit__()
        time_of_writers = sessions.samples * workers
        return Figures(
            rate,
            used / done * 1e6,
            sessions.seconds / done * 1e6,
            sessions.waiting["Lock"] / time_of_writers,
            sessions.waiting["LWLock"] / time_of_writers,
            p99,
        )


def name_of(workers: int) -> str:
    """As the tables have it."""
    return {0: "SQLite", 1: "1 worker"}.get(workers, f"{workers} workers")


def compare(given: argparse.Namespace) -> bool:
    """Measure all in turn; false if a ratio is over its limit."""
    kinds = [0, *sorted(set(given.workers) | {1})]
    found: dict[int, list[Figures]] = {kind: [] for kind in kinds}
    print(
        f"{'':18}{'run/s':>9}{'p99 ms':>9}{'µs server':>11}{'µs PostgreSQL':>15}{'% Lock':>9}{'% LWLock':>10}",
        flush=True,
    )
    for number in range(given.rounds):
        # Whichever comes later finds a warmer machine.
        for kind in kinds if number % 2 else reversed(kinds):
            one = measure(given, kind)
            found[kind].append(one)
            print(
                f"{number + 1}  {name_of(kind):15}{one.rate:>9,.0f}{one.p99:>9.1f}{one.server:>11,.0f}"
                f"{one.database:>15,.0f}{one.lock * 100:>9.1f}{one.memory * 100:>10.1f}",
                flush=True,
            )
    print()
    holds = True
    for kind, limit in LIMITS.items():
        of, to = (1, 0) if kind == 0 else (kind, 1)
        if of in found and to in found:
            pairs = zip(found[of], found[to], strict=True)
            ratio = statistics.median(mine.server / its.server for mine, its in pairs)
            holds &= _told(f"processor time, {name_of(of)} / {name_of(to)}", ratio, limit)
    waiting = max(statistics.median(one.lock for one in found[kind]) for kind in kinds)
    holds &= _told("most time waiting for locks", waiting, WAITING)
    for kind in kinds[2:]:
        pairs = zip(found[kind], found[1], strict=True)
        print(f"rate, {name_of(kind)} / 1 worker: {statistics.median(mine.rate / its.rate for mine, its in pairs):.2f}")
    return holds


def _told(what: str, figure: float, limit: float) -> bool:
    print(f"{what}: {figure:.3f}, at most {limit:g}{'' if figure <= limit else '  <-- over the limit'}")
    return figure <= limit


async def _counts(db: str) -> tuple[dict[str, int], int]:
    """How often each statement ran, if the server counts them, and how many transactions ended."""
    session = await asyncpg.connect(db)
    try:
        statements: dict[str, int] = {}
        with contextlib.suppress(asyncpg.PostgresError):
            await session.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            rows = await session.fetch(
                "SELECT query, sum(calls)::bigint AS calls FROM pg_stat_statements WHERE dbid ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND query NOT LIKE '%pg_stat_%' GROUP BY query"
            )
            statements = {row["query"]: row["calls"] for row in rows}
        ended: Any = await session.fetchval(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
        return statements, int(ended)
    finally:
        await session.close()


def idle(given: argparse.Namespace) -> bool:
    """Measure a cluster that has nothing to do; false if it uses more than it may."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookline-bench-")))
        write_flows(folder, "http://127.0.0.1:1/", given.flows)
        db = stack.enter_context(postgres_database(given.postgres))
        pids = [
            stack.enter_context(cluster(folder, db, given.server, name=f"node-{number + 1}"))[1]
            for number in range(given.nodes)
        ]
        # What a start leaves to do is done.
        time.sleep(given.settle)
        statements, ended = asyncio.run(_counts(db))
        began, before = time.monotonic(), [processor_time(pid) for pid in pids]
        with Sessions(db) as sessions:
            time.sleep(given.idle)
        seconds = time.monotonic() - began
        used = [(processor_time(pid) - one) / seconds for pid, one in zip(pids, before, strict=True)]
        later, ended_later = asyncio.run(_counts(db))
    print(f"{given.nodes} idle nodes with {given.flows:,} flows, {seconds:.0f} s")
    print(f"share of a core of each: {', '.join(f'{one * 100:.2f} %' for one in used)}")
    print(f"share of a core of PostgreSQL's sessions: {sessions.seconds / seconds * 100:.2f} %")
    calls = {query: (count - statements.get(query, 0)) / seconds for query, count in later.items()}
    for query, rate in sorted(calls.items(), key=lambda one: -one[1])[: given.statements]:
        print(f"{rate:>8.2f}/s  {' '.join(query.split())[:140]}")
    transactions = (ended_later - ended - sessions.samples) / seconds
    print(f"transactions a second, those of this program left out: {transactions:.1f}")
    holds = _told("share of a core of all nodes", sum(used), IDLE_CORE)
    return holds & _told(
        "queries a second" if calls else "transactions a second",
        sum(calls.values()) if calls else transactions,
        IDLE_QUERIES,
    )


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--postgres", metavar="URL", default="postgresql://root@127.0.0.1:5432", help="a server, without a database"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="how long messages come")
    parser.add_argument("--connections", type=int, default=32, help="of each worker")
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="uvicorn")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=20, help="seconds for which the idle cluster is measured")
    parser.add_argument("--settle", type=int, default=15, help="seconds before that")
    parser.add_argument("--statements", type=int, default=12, help="how many are listed, the most frequent first")
    parser.add_argument("--only", choices=["run", "idle"])
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    holds = True
    if given.only != "idle":
        holds &= compare(given)
    if given.only != "run":
        print()
        holds &= idle(given)
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
