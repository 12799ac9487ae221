"""What a message costs: accepting it durably, and running webhook → map → http.request, beside a no-op endpoint.

    python tests/benchmarks/bench_server.py [--server hypercorn|uvicorn] [--seconds 5] [--connections 32]
    python tests/benchmarks/bench_server.py --against CHECKOUT [--rounds 5] …
    python tests/benchmarks/bench_server.py --postgres postgresql://127.0.0.1 [--rounds 5] …

With `--against`, another checkout of Hookline, installed in `CHECKOUT/.venv`, is measured in turn with this one, and
each row ends with the ratio of this one's figure to the other's. With `--postgres`, this checkout is measured on
PostgreSQL and on SQLite in turn; with both options, both checkouts are measured on PostgreSQL. Each run makes a
database on that server, and drops it.

Load comes from `wrk` (Debian's package of that name). Figures are ratios within one run; the machine also runs the
load generator and the sink.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import asyncpg
import psutil

HERE = Path(__file__).parent
BODY = json.dumps(
    {
        "id": "WH-58D329510W468432D-8HN650336L201105X",
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "create_time": "2019-02-14T21:50:07.940Z",
        "resource": {"id": "27M47624FP291604U", "amount": {"currency_code": "USD", "value": "2.51"}, "note": "x" * 190},
    }
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    what: str,
    server: str,
    folder: Path,
    *,
    profile: Path | None = None,
    checkout: Path | None = None,
    db: str | None = None,
) -> Iterator[tuple[str, psutil.Process]]:
    """A process that serves; gives its URL. `db`: the URL of its database; None for one in the folder."""
    port = free_port()
    python, script = sys.executable, HERE / "served.py"
    if checkout is not None:
        python, script = str(checkout / ".venv" / "bin" / "python"), checkout / "tests" / "benchmarks" / "served.py"
    command = [python, str(script), what, server, str(folder), str(port)]
    process = subprocess.Popen(command if db is None else [*command, db])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.05)
        if profile is not None:
            subprocess.Popen(["py-spy", "record", "-d", "5", "-o", str(profile), "-f", "raw", "-p", str(process.pid)])
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def load(url: str, folder: Path, seconds: int, connections: int) -> tuple[float, float, float, int]:
    """Requests a second, median and 99th percentile in ms, and answers that were not 2xx."""
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = {json.dumps(BODY)}\n"
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None, text
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return float(rate[1]), _latency(text, "50%"), _latency(text, "99%"), int(errors[1]) if errors else 0


def _latency(text: str, which: str) -> float:
    found = re.search(rf"{which}\s+([\d.]+)(us|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def write_flows(folder: Path, sink: str, count: int = 1) -> None:
    """The flow that is measured, and others beside it."""
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    flow = {
        "id": "bench",
        "trigger": trigger,
        "vars": {"sink": sink},
        "steps": [
            {
                "id": "map",
                "use": "map",
                "with": {"body": {"reference": "$.body.resource.id", "note": "PayPal {{ body.create_time[:10] }}"}},
            },
            {"id": "post", "use": "http.request", "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"}},
        ],
    }
    (flows / "bench.json").write_text(json.dumps(flow))
    for number in range(count - 1):
        other = {**flow, "id": f"other-{number}"}
        (flows / f"other-{number}.json").write_text(json.dumps(other))


def executed(folder: Path) -> int:
    """How many executions have succeeded."""
    with sqlite3.connect(f"file:{folder}/bench.db?mode=ro", uri=True) as connection:
        count: int = connection.execute("select count(*) from executions where state = 'succeeded'").fetchone()[0]
    connection.close()
    return count


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """The URL of a new database on a server of PostgreSQL."""
    name, url = f"hookline_bench_{os.getpid()}_{time.monotonic_ns()}", server.rstrip("/")
    asyncio.run(_on_postgres(f"{url}/postgres", f'create database "{name}"'))
    try:
        yield f"{url}/{name}"
    finally:
        asyncio.run(_on_postgres(f"{url}/postgres", f'drop database "{name}" with (force)'))


async def _on_postgres(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def executed_on_postgres(url: str) -> int:
    """How many executions have succeeded."""
    count: int = asyncio.run(_on_postgres(url, "select count(*) from executions where state = 'succeeded'"))
    return count


def run_flow(
    url: str, folder: Path, seconds: int, connections: int, count: Callable[[], int] | None = None
) -> tuple[float, float, float, int, float]:
    """The load's figures, and executions finished a second while it lasts and until all are done.

    `count` returns how many have succeeded, if the database isn't in the folder.
    """
    count = count or partial(executed, folder)
    before, began = count(), time.monotonic()
    figures = load(f"{url}/hook/bench", folder, seconds, connections)
    sent = figures[0] * seconds
    while True:
        done = count() - before
        if done >= sent * 0.999:
            return *figures, done / (time.monotonic() - began)
        if time.monotonic() - began > seconds * 20 + 60:
            raise SystemExit(f"only {done} of about {sent:.0f} executions ended")
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Cost:
    """The figures of one run: messages a second, and the server's processor time for each, in microseconds.

    Processor time hardly changes when something else runs on the machine; the rate does.
    """

    rate: float
    processor: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of two that are measured in turn."""

    checkout: Path | None = None
    """None for this one."""
    postgres: str | None = None
    """The server on which it has its database; None for SQLite."""


def compare(given: argparse.Namespace, new: Side, old: Side) -> None:
    """Measure both sides in turn, and print the ratios of the new one's figures to the old one's."""
    ratios: dict[str, list[tuple[float, float]]] = {}
    for number in range(given.rounds):
        # Whichever comes second finds a warmer machine.
        order = (new, old) if number % 2 else (old, new)
        costs = {side: _measure(given, side) for side in order}
        for name, one in costs[new].items():
            other = costs[old][name]
            ratios.setdefault(name, []).append((one.rate / other.rate, one.processor / other.processor))
            print(
                f"round {number + 1}  {name:30}{one.rate:>8,.0f}/s{other.rate:>8,.0f}/s{one.rate / other.rate:>7.2f}"
                f"{one.processor:>9,.0f} µs{other.processor:>7,.0f} µs{one.processor / other.processor:>7.2f}",
                flush=True,
            )
    print()
    for name, found in ratios.items():
        for what, figures in zip(("rate", "processor time"), zip(*found, strict=True), strict=True):
            low, middle, high = min(figures), statistics.median(figures), max(figures)
            ratio = "new/old" if given.against else "PostgreSQL/SQLite"
            print(f"{name:30} {what:15} {ratio}: median {middle:.2f}, from {low:.2f} to {high:.2f}")


def _measure(given: argparse.Namespace, side: Side) -> dict[str, Cost]:
    """The costs of accepting a message, and of running its execution too."""
    costs = {}
    for name, what in (("accept durably", "accept"), ("webhook → map → http.request", "all")):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookline-bench-")))
            sink, _ = stack.enter_context(served("sink", "uvicorn", folder))
            write_flows(folder, f"{sink}/")
            db = None if side.postgres is None else stack.enter_context(postgres_database(side.postgres))
            count = partial(executed, folder) if db is None else partial(executed_on_postgres, db)
            url, process = stack.enter_context(served(what, given.server, folder, checkout=side.checkout, db=db))
            costs[name] = _cost(given, what, url, process, folder, count)
    return costs


def _cost(
    given: argparse.Namespace, what: str, url: str, process: psutil.Process, folder: Path, count: Callable[[], int]
) -> Cost:
    urlopen(Request(f"{url}/hook/bench", BODY.encode(), {"Content-Type": "application/json"})).close()
    before, done = _processor_time(process), count()
    if what == "accept":
        rate = load(f"{url}/hook/bench", folder, given.seconds, given.connections)[0]
        messages = rate * given.seconds
    else:
        rate = run_flow(url, folder, given.seconds, given.connections, count)[-1]
        messages = count() - done
    return Cost(rate, (_processor_time(process) - before) / messages * 1e6)


def _processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--profile", type=Path, help="write a py-spy profile of the flow's run here")
    parser.add_argument("--against", type=Path, help="another checkout, to measure in turn with this one")
    parser.add_argument("--postgres", metavar="URL", help="a server of PostgreSQL, to measure in turn with SQLite")
    parser.add_argument("--rounds", type=int, default=5, help="how often both are measured")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    print(f"{given.server}, {given.connections} connections, {len(BODY)} bytes of JSON, {given.seconds} s each\n")
    if given.against is not None:
        compare(given, Side(postgres=given.postgres), Side(given.against, given.postgres))
        return
    if given.postgres is not None:
        compare(given, Side(postgres=given.postgres), Side())
        return
    print(f"{'':34}{'a second':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'not 2xx':>9}")
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as name:
        folder = Path(name)
        write_flows(folder, "http://127.0.0.1:1/")
        with served("noop", given.server, folder) as (url, _):
            base = _row("no-op endpoint", load(url, folder, given.seconds, given.connections), None)
        with served("quart", given.server, folder) as (url, _):
            _row("no-op Quart route", load(url, folder, given.seconds, given.connections), base)
        with served("accept", given.server, folder) as (url, _):
            _row("accept durably", load(f"{url}/hook/bench", folder, given.seconds, given.connections), base)
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as name:
        folder = Path(name)
        sink_server = "uvicorn"
        with served("sink", sink_server, folder) as (sink, _):
            write_flows(folder, f"{sink}/")
            with served("all", given.server, folder, profile=given.profile) as (url, process):
                urlopen(Request(f"{url}/hook/bench", BODY.encode(), {"Content-Type": "application/json"})).close()
                *figures, rate = run_flow(url, folder, given.seconds, given.connections)
                _row("webhook → map → http.request", (rate, figures[1], figures[2], int(figures[3])), base)
                print(f"\nmemory of the server afterwards: {process.memory_info().rss / 1e6:.0f} MB")


def _row(name: str, figures: tuple[float, float, float, int], base: float | None) -> float:
    rate, median, high, errors = figures
    ratio = "" if base is None else f"{rate / base:.2f}"
    print(f"{name:34}{rate:>10,.0f}{ratio:>8}{median:>9.1f}{high:>9.1f}{errors:>9}", flush=True)
    return rate


if __name__ == "__main__":
    main()
