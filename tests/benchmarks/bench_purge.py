"""How long accepting takes while 1,000,000 old executions are purged, beside accepting alone.

    python tests/benchmarks/bench_purge.py [--executions 1000000] [--rate 200] [--seconds 10]

Messages are committed to the store at a steady rate, as the hook does it; each commit's time is what a sender waits.
"""

import argparse
import asyncio
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

import structlog

from hookline.kernel.clocks import SystemClock
from hookline.kernel.ids import Ids
from hookline.maintenance.retention import Purger, Retention
from hookline.model.message import Arrival, Envelope, Message
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept
from hookline.testing.hook_over_memory import MemoryBlobs
from hookline_sqlstore.backend_makers import sqlite

_OLD = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
    " INSERT INTO executions (id, flow_id, state, outcome, created_at, started_at, finished_at, attempt,"
    " order_holds, history, payload) SELECT printf('01800000-%04x-7000-8000-%012x', i >> 16, i), 'f', 'succeeded',"
    " 'completed', i, i, i, 1, 0, 1, randomblob(400) FROM n"
)
_JOURNAL = (
    "INSERT INTO journal (execution_id, seq, step_id, path, use, state, attempt, started_at, finished_at, input,"
    " output) SELECT id, seq, 'post', 'post', 'http.request', 'succeeded', 1, 1, 1, randomblob(200), randomblob(200)"
    " FROM executions, (SELECT 1 AS seq UNION SELECT 2)"
)


async def accepting(backend: Backend, rate: int, done: asyncio.Event) -> list[float]:
    """Milliseconds that each of the messages took, which come at a rate until `done`."""
    clock = SystemClock()
    ids, times, tasks = Ids(clock), list[float](), set[asyncio.Task[None]]()

    async def one() -> None:
        now = clock.now()
        envelope = Envelope(
            execution_id=ids.new(),
            flow_id="f",
            message=Message({"order": "x" * 300}),
            arrival=Arrival("webhook", method="POST", received_at=now),
            accepted_at=now,
        )
        began = time.perf_counter()
        await backend.store.commit([Accept(envelope)])
        times.append((time.perf_counter() - began) * 1000)

    while not done.is_set():
        task = asyncio.create_task(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*tasks)
    return times


async def measure(folder: Path, count: int, rate: int, seconds: float) -> None:
    """Print the table."""
    url = f"sqlite:///{folder}/bench.db"
    backend = sqlite(url, clock=SystemClock())
    await backend.open()
    await backend.close()
    began = time.monotonic()
    with closing(sqlite3.connect(folder / "bench.db")) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_OLD, {"count": count})
        connection.execute(_JOURNAL)
    # Else the first commits wait for all of it to be on disk.
    os.sync()
    size = (folder / "bench.db").stat().st_size / 1e6
    print(f"{count:,} executions written in {time.monotonic() - began:.0f} s: {size:,.0f} MB")
    await backend.open()
    try:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, done.set)
        alone = await accepting(backend, rate, done)
        done = asyncio.Event()
        purger = Purger(
            backend.store,
            MemoryBlobs(),
            SystemClock(),
            structlog.get_logger("bench"),
            lambda _: Retention(timedelta(days=1)),
        )
        began = time.monotonic()
        beside = asyncio.create_task(accepting(backend, rate, done))
        gone = await purger.purge()
        took = time.monotonic() - began
        done.set()
        both = await beside
    finally:
        await backend.close()
    print(f"{gone:,} purged in {took:.0f} s: {gone / took:,.0f} a second")
    print(f"{'':24}{'messages':>10}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for name, times in (("accepting", alone), ("while it is purged", both)):
        cuts = quantiles(times, n=100)
        print(f"{name:24}{len(times):>10,}{cuts[49]:>9.1f}{cuts[98]:>9.1f}{max(times):>9.1f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as folder:
        asyncio.run(measure(Path(folder), given.executions, given.rate, given.seconds))


if __name__ == "__main__":
    main()
