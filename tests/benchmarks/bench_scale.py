"""What many flows, and a long history, cost a message: beside a server with one flow and no history.

    python -m tests.benchmarks.bench_scale [--flows 10000] [--executions 1000000] [--rounds 7] [--server hypercorn]
    python -m tests.benchmarks.bench_scale --against CHECKOUT …

With `--against`, another checkout of Hookline, installed in `CHECKOUT/.venv`, is measured in turn with this one.

All servers run at the same time and are measured in turn, so that what else the machine does meets each of them. The
figures to look at are the processor time of a message, as a ratio to that with one flow in the same round, and the
memory for a flow.
"""

import argparse
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final
from urllib.request import Request, urlopen

import psutil
from tests.benchmarks.bench_server import BODY, executed, load, served, write_flows

from hookline.cli.host import interpreter_tuning

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


ONE: Final = "1 flow, no history"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one message."""

    rate: float
    microseconds: float
    """Of processor time."""
    high: float
    """99th percentile, ms."""


@dataclass(slots=True)
class Subject:
    """What is measured: the code of a checkout, over so many flows and so long a history."""

    name: str
    checkout: Path | None
    folder: Path
    flows: int
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    """By what is measured, one for each round."""
    start: float = 0.0
    """Seconds from the beginning of the process until it accepts connections."""
    memory: int = 0
    """Bytes that are its own, before the first message."""

    def ratio(self, what: str, base: "Subject") -> float:
        """The ratio of its processor time to that of another, of the same rounds."""
        pairs = zip(self.costs[what], base.costs[what], strict=True)
        return median(mine.microseconds / its.microseconds for mine, its in pairs)


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
    if not rate:
        raise SystemExit("no message was answered in time; the machine is too busy to measure")
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


def prepare(subject: Subject, server: str, sink: str, executions: int) -> None:
    """Write its flows and its history."""
    write_flows(subject.folder, f"{sink}/", subject.flows)
    if not executions:
        return
    with served("all", server, subject.folder, checkout=subject.checkout) as (url, _):
        run_once(url)
        while executed(subject.folder) < 1:
            time.sleep(0.05)
    began = time.monotonic()
    fill(subject.folder, executions)
    size = (subject.folder / "bench.db").stat().st_size / 1e6
    print(f"{executions:,} executions written in {time.monotonic() - began:.0f} s: {size:,.0f} MB", flush=True)


def measure_side_by_side(subjects: Sequence[Subject], what: str, given: argparse.Namespace) -> None:
    """Serve all of them at the same time, and measure one after the other in each round."""
    with ExitStack() as stack:
        running: list[tuple[Subject, str, psutil.Process]] = []
        for subject in subjects:
            began = time.monotonic()
            url, process = stack.enter_context(served(what, given.server, subject.folder, checkout=subject.checkout))
            if what == "all":
                subject.start = time.monotonic() - began
                subject.memory = process.memory_full_info().uss
            # It answers once it has looked for what was left.
            run_once(url)
            running.append((subject, url, process))
        # What a start does only once is no cost of a message.
        time.sleep(interpreter_tuning.LATER + 1)
        for subject, url, _ in running:
            load(f"{url}/hook/bench", subject.folder, 1, 32)
        for number in range(given.rounds):
            # Whichever comes second finds a warmer machine.
            for subject, url, process in running if number % 2 else reversed(running):
                cost = measure(process, url, subject.folder, given.seconds, whole=what == "all")
                subject.costs.setdefault(what, []).append(cost)


def show(checkout: str, subjects: list[Subject]) -> None:
    """Print the figures of one checkout."""
    base = subjects[0]
    for what, title in (("accept", "accept durably"), ("all", "webhook → map → http.request")):
        print(f"\n{checkout + title:46}{'a second':>10}{'µs CPU':>9}{'ratio':>8}{'p99 ms':>9}")
        for subject in subjects:
            costs = subject.costs[what]
            print(
                f"  {subject.name:44}{median(c.rate for c in costs):>10,.0f}"
                f"{median(c.microseconds for c in costs):>9.0f}{subject.ratio(what, base):>8.3f}"
                f"{median(c.high for c in costs):>9.1f}"
            )
    print(f"\n{checkout + 'start':46}{'seconds':>10}{'MB':>9}{'KB for each flow':>18}")
    for subject in subjects:
        each = f"{(subject.memory - base.memory) / (subject.flows - 1) / 1e3:.1f}" if subject.flows > 1 else ""
        print(f"  {subject.name:44}{subject.start:>10.1f}{subject.memory / 1e6:>9.0f}{each:>18}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=1_000_000, help="0: no long history is measured")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn")
    parser.add_argument("--against", type=Path, help="another checkout, to measure in turn with this one")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    with ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookline-bench-")))

        sink, _ = stack.enter_context(served("sink", "uvicorn", folder()))
        cases = [(ONE, 1, 0), (f"{given.flows:,} flows", given.flows, 0)]
        if given.executions:
            cases.append((f"{given.executions:,} old executions", 1, given.executions))
        checkouts = {"": None} if given.against is None else {"old, ": given.against.absolute(), "new, ": None}
        subjects: dict[str, list[Subject]] = {name: [] for name in checkouts}
        for name, flows, executions in cases:
            for checkout, path in checkouts.items():
                subjects[checkout].append(Subject(name, path, folder(), flows))
                prepare(subjects[checkout][-1], given.server, sink, executions)
        # Old and new code over the same flows are measured one right after the other.
        each = [one for beside in zip(*subjects.values(), strict=True) for one in beside]
        # Accepting comes last, since it leaves its messages in the queue.
        for what in ("all", "accept"):
            measure_side_by_side(each, what, given)
        for checkout, own in subjects.items():
            show(checkout, own)


if __name__ == "__main__":
    main()
