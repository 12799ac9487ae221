"""What 1,000 flows and 1,000,000 old executions cost a request, beside one flow and none.

    python tests/benchmarks/bench_scale.py [--flows 1000] [--executions 1000000] [--rounds 3] [--server hypercorn]

Both servers are measured in turn, so that what else the machine does meets both; the figure to look at is the
processor time of a request, as a ratio.
"""

import argparse
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import psutil
from bench_server import BODY, executed, load, served, write_flows

#: Version 7 ids of the past: the time in milliseconds, then the number.
_OLD_EXECUTIONS = """
with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < :count)
insert into executions ({columns}) select {values}
from numbers, (select * from executions where state = 'succeeded' limit 1) as model
"""
_OF_ITS_OWN = {
    "id": "printf('01900000-%04x-7000-8000-%012x', n >> 16, n)",
    "created_at": "n * 1000",
    "started_at": "n * 1000",
    "finished_at": "n * 1000",
}
_OLD_JOURNAL = """
insert into journal (execution_id, seq, step_id, path, use, state, attempt, started_at, finished_at, input, output)
select e.id, j.seq, j.step_id, j.path, j.use, j.state, 1, e.created_at, e.created_at, j.input, j.output
from executions e, (select * from journal where execution_id = (select max(execution_id) from journal)) j
where e.id < '0191'
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request."""

    rate: float
    microseconds: float
    """Of processor time."""
    high: float
    """99th percentile, ms."""


def fill(folder: Path, count: int) -> None:
    """Add old executions, each a copy of one that really ran."""
    with sqlite3.connect(folder / "bench.db") as connection:
        connection.execute("pragma synchronous = off")
        columns = [row[1] for row in connection.execute("pragma table_info(executions)")]
        values = [_OF_ITS_OWN.get(column, f"model.{column}") for column in columns]
        statement = _OLD_EXECUTIONS.format(columns=", ".join(columns), values=", ".join(values))
        connection.execute(statement, {"count": count})
        connection.execute(_OLD_JOURNAL)
    with sqlite3.connect(folder / "bench.db") as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


def run_once(url: str) -> None:
    """One request, answered."""
    urlopen(Request(f"{url}/hook/bench", BODY.encode(), {"Content-Type": "application/json"})).close()


def measure(process: psutil.Process, url: str, folder: Path, seconds: int, *, whole: bool) -> Cost:
    """The cost of accepting, or of accepting and running."""
    before, began = executed_of_now(folder), process.cpu_times()
    rate, _, high, _ = load(f"{url}/hook/bench", folder, seconds, 32)
    if whole:
        while executed_of_now(folder) - before < rate * seconds * 0.999:
            time.sleep(0.05)
    ended = process.cpu_times()
    used = ended.user - began.user + ended.system - began.system
    return Cost(rate, used / (rate * seconds) * 1e6, high)


def executed_of_now(folder: Path) -> int:
    """How many executions of this run have succeeded: the old ones aren't counted, which would take a while."""
    with sqlite3.connect(f"file:{folder}/bench.db?mode=ro", uri=True) as connection:
        count: int = connection.execute(
            "select count(*) from executions where state = 'succeeded' and finished_at is not null and id > '0191'"
        ).fetchone()[0]
    connection.close()
    return count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    with (
        tempfile.TemporaryDirectory(prefix="hookline-bench-") as one,
        tempfile.TemporaryDirectory(prefix="hookline-bench-") as many,
        served("sink", "uvicorn", Path(one)) as (sink, _),
    ):
        folders = {"1 flow, no history": Path(one), "many flows, long history": Path(many)}
        for folder in folders.values():
            write_flows(folder, f"{sink}/")
            with served("all", given.server, folder) as (url, _):
                run_once(url)
                while executed(folder) < 1:
                    time.sleep(0.05)
        write_flows(Path(many), f"{sink}/", given.flows)
        began = time.monotonic()
        fill(Path(many), given.executions)
        size = (Path(many) / "bench.db").stat().st_size / 1e6
        print(f"{given.executions:,} executions written in {time.monotonic() - began:.0f} s: {size:,.0f} MB")
        for what, whole in (("accept", False), ("all", True)):
            found: dict[str, list[Cost]] = {name: [] for name in folders}
            for _ in range(given.rounds):
                for name, folder in folders.items():
                    began = time.monotonic()
                    with served(what, given.server, folder) as (url, process):
                        started = time.monotonic() - began
                        load(f"{url}/hook/bench", folder, 1, 32)
                        found[name].append(measure(process, url, folder, given.seconds, whole=whole))
                    if whole or len(found[name]) > 1:
                        continue
                    print(f"{name}: answers {started:.1f} s after its process began")
            print(f"\n{what:30}{'a second':>10}{'µs CPU':>9}{'p99 ms':>9}")
            for name, costs in found.items():
                print(
                    f"  {name:28}{median(c.rate for c in costs):>10,.0f}"
                    f"{median(c.microseconds for c in costs):>9.0f}{median(c.high for c in costs):>9.1f}"
                )
            base, other = (median(c.microseconds for c in costs) for costs in found.values())
            print(f"  ratio of processor time: {other / base:.2f}")


if __name__ == "__main__":
    main()
