"""Where the processor time of an execution goes: webhook → map → http.request on a real server, sampled by py-spy.

    python -m tests.benchmarks.profile_server [--server hypercorn] [--checkout CHECKOUT] [--rounds 3] [--seconds 8]

For each server, prints the table part × share × microseconds of processor time for an execution. py-spy is in the
dependency group `bench`: `pip install --group bench`. With `--checkout`, the code of another checkout of Hookline is
profiled, which is installed in `CHECKOUT/.venv`.

A sample belongs to the part in `PARTS` of its innermost frame that has one. So the runner, for example, is without the
steps that it runs, and each part with what it calls of Python, of pydantic and of the kernel.
py-spy stops the process for each sample, so the time for an execution is measured in rounds of its own. On a machine
with other work, the event loop looks larger than it is, since it is also seen while it waits for a processor.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil
from tests.benchmarks.bench_server import BODY, executed, free_port, run_flow, served, write_flows

PARTS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("the store, in the event loop", ("hookline_sqlstore/", "hookline/storage/")),
    ("the client: aiohttp", ("/aiohttp/", "/yarl/", "/multidict/", "/aiosignal/", "/propcache/")),
    ("the client: our guard, pool and limits", ("hookline/outbound/",)),
    ("the action `http.request`", ("hookline_http/",)),
    ("the action `map`", ("hookline_generic/",)),
    ("a step's expressions", ("hookline/flows/", "hookline_mapping/")),
    ("a step's call: context, limits, containment", ("hookline/executions/steps/attempt", "hookline/plugin_host/")),
    ("a step: attempts, settings, result", ("hookline/executions/steps/",)),
    ("the journal", ("hookline/executions/journal",)),
    ("the blocks around steps", ("hookline/executions/blocks/",)),
    ("the runner: start, end, delivery", ("hookline/executions/",)),
    ("a request: from its head to the 202", ("hookline/service/", "hookline/intake/", "hookline/credentials/")),
    ("the server library", ("/uvicorn/", "/hypercorn/", "/h11/", "/httptools/", "/h2/", "/wsproto/")),
    ("the event loop", ()),
)
"""Each part, and what the paths of its files contain. Code of no part belongs to the part that calls it; what nobody of
these calls is the event loop's."""

_ANSWERS: Final = 60.0
"""Seconds after which a server has to answer."""


THREADS: Final = "other threads: the store's commits and reads"
#: What only the stacks of threads beside the main one have.
_THREAD: Final = "_bootstrap_inner ("


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time for an execution."""

    main: float
    """Of the thread that has the event loop."""
    threads: float
    """Of all others together."""


def part_of(stack: str) -> str:
    """The part of the innermost frame that has one; the frames are `function (file:line)`, joined by semicolons."""
    for frame in reversed(stack.split(";")):
        for name, files in PARTS[:-1]:
            if any(file in frame for file in files):
                return name
    return PARTS[-1][0]


def costs(raw: str, cost: Cost) -> dict[str, float]:
    """The cost of each part, from the stacks that py-spy has written: one a line, and how often it was seen.

    The samples of the other threads don't count, since they are seen also while they wait for work or for the disk.
    """
    seen: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if _THREAD not in stack:
            seen[part_of(stack)] += int(count)
    if not seen:
        raise SystemExit("py-spy has seen nothing")
    return {name: seen[name] / seen.total() * cost.main for name, _ in PARTS} | {THREADS: cost.threads}


@contextmanager
def serving(python: Path, folder: Path, server: str) -> Iterator[tuple[str, psutil.Process]]:
    """`hookline serve` over a folder's flows, as its users start it; gives its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    others = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
    settings = {
        "HOOKLINE_ADMIN_TOKEN": "an-admin-token-of-the-benchmark",
        "HOOKLINE_EGRESS_ALLOW": "127.0.0.0/8",
        "HOOKLINE_LOG_LEVEL": "error",
        "HOOKLINE_DRAIN_DELAY": "0",
        "HOOKLINE_DB": f"sqlite:///{folder}/bench.db",
    }
    command = [python, "-m", "hookline.cli.main", "serve", "--port", str(port), "--server", server]
    process = subprocess.Popen(command, cwd=folder, env=others | settings, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _ANSWERS
        while True:
            with suppress(URLError, ConnectionError):
                urlopen(f"{url}/readyz").close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server doesn't answer")
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def run(python: Path, server: str, seconds: int, connections: int, *, profile: Path | None = None) -> Cost:
    """Run executions, and give what one costs."""
    with (
        tempfile.TemporaryDirectory(prefix="hookline-bench-") as path,
        served("sink", "uvicorn", Path(path)) as (sink, _),
    ):
        folder = Path(path)
        write_flows(folder, f"{sink}/")
        with serving(python, folder, server) as (url, process):
            urlopen(Request(f"{url}/hook/bench", BODY.encode(), {"Content-Type": "application/json"})).close()
            # What is made at the first uses isn't what an execution costs.
            run_flow(url, folder, 2, connections)
            spy = None if profile is None else _spy(process, profile, seconds)
            before, began = executed(folder), _used(process)
            run_flow(url, folder, seconds, connections)
            done, ended = executed(folder) - before, _used(process)
            if spy is not None and spy.wait(60):
                raise SystemExit("py-spy failed; it may need root, or kernel.yama.ptrace_scope=0")
    return Cost((ended.main - began.main) / done, (ended.threads - began.threads) / done)


def _used(process: psutil.Process) -> Cost:
    """The processor time that it has used, in microseconds."""
    used = {thread.id: (thread.user_time + thread.system_time) * 1e6 for thread in process.threads()}
    main = used.pop(process.pid)
    return Cost(main, sum(used.values()))


def _spy(process: psutil.Process, to: Path, seconds: int) -> "subprocess.Popen[bytes]":
    """Sample the process while the load lasts. What waits without a processor isn't sampled."""
    options = ["-d", str(seconds), "-r", "250", "-f", "raw", "--full-filenames", "-o", str(to)]
    program = Path(sys.executable).parent / "py-spy"
    return subprocess.Popen(
        [program if program.exists() else "py-spy", "record", *options, "-p", str(process.pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def table(server: str, python: Path, given: argparse.Namespace) -> Iterator[str]:
    """The lines of a server's table, in Markdown."""
    alone = [run(python, server, given.seconds, given.connections) for _ in range(given.rounds)]
    cost = Cost(median(one.main for one in alone), median(one.threads for one in alone))
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="hookline-profile-") as folder:
        for number in range(given.rounds):
            profile = Path(folder) / f"{server}-{number}.raw"
            run(python, server, given.seconds, given.connections, profile=profile)
            found.append(costs(profile.read_text(), cost))
            if given.raw is not None:
                shutil.copy(profile, given.raw)
    yield f"| {server}: part | share | µs |"
    yield "| --- | --- | --- |"
    each = {name: median(one[name] for one in found) for name in found[0]}
    for name, microseconds in each.items():
        yield f"| {name} | {microseconds / sum(each.values()):.0%} | {microseconds:.0f} |"
    yield f"| together | | {cost.main + cost.threads:.0f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], help="only this one")
    parser.add_argument("--checkout", type=Path, help="another checkout, to profile instead of this one")
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="how often, with py-spy and without it")
    parser.add_argument("--raw", type=Path, help="keep py-spy's stacks in this folder")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    python = Path(sys.executable) if given.checkout is None else given.checkout.absolute() / ".venv" / "bin" / "python"
    for server in [given.server] if given.server else ["uvicorn", "hypercorn"]:
        for line in table(server, python, given):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
