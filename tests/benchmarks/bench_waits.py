"""What executions cost that wait for calls, and how soon one of them goes on when its call comes.

    python tests/benchmarks/bench_waits.py [--executions 100000] [--calls 200]

They are committed in groups, by what a running flow commits when it begins to wait. Then an engine is started over them
in a process of its own, and over none in another: the difference is what they hold. Calls are made one after the other,
at the endpoint for `/resume/…`, each to another execution; measured is the time until the answer, and until the next
step runs.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

from hookline.api import Connector, Context, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.clocks import Clock, SystemClock
from hookline.kernel.ids import Ids
from hookline.model.execution import CALLBACK, StepRecord, StepState
from hookline.model.message import Arrival, Envelope, Message
from hookline.service.app import create_endpoints
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.receive import HookOptions
from hookline.storage.change_declarations import Accept, BeginWait, Change, Park, RecordSteps, Start

KEYS = (b"k" * 32,)
GROUP = 500
FLOW = {
    "id": "asked",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "approve", "use": "webhook", "with": {"timeout": "30d"}}, {"id": "after", "use": "bench.reached"}],
}


class Reached:
    """A plugin with one action: it says when it runs."""

    def __init__(self) -> None:
        self.now = asyncio.Event()
        self.connector = Connector("bench")

        @self.connector.action
        async def reached(ctx: Context[None]) -> None:
            """Say so."""
            self.now.set()

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """The action."""
        return [self.connector]


def engine(folder: Path, plugin: Reached, **more: Any) -> Engine:
    """An engine over a folder."""
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    (flows / "asked.json").write_text(json.dumps(FLOW))
    database, blobs = f"sqlite:///{folder}/bench.db", f"file://{folder}/blobs"
    options = EngineOptions(db=database, blobs=blobs, flows=flows, secret_keys=KEYS, watch=False, **more)
    return Engine(load_plugins(extra_plugins=[plugin]), options)


def waiting(ids: Ids, clock: Clock, version: str) -> tuple[str, list[Change]]:
    """An execution that waits."""
    id_, now = ids.new(), clock.now()
    arrival = Arrival("webhook", method="POST", received_at=now)
    message = Message({"order": id_, "note": "x" * 200}, {"content-type": "application/json"})
    due = now.replace(year=now.year + 1)
    entry = StepRecord(1, "approve", "approve", "webhook", StepState.WAITING, 1, now, now, due_at=due)
    return id_, [
        Accept(Envelope(id_, "asked", message, arrival, now)),
        Start(id_, version, now),
        RecordSteps(id_, (entry,)),
        BeginWait(id_, "approve", "asked", "approve", None, now),
        Park(id_, now, due, CALLBACK),
    ]


async def fill(folder: Path, count: int) -> None:
    """Let executions wait."""
    async with engine(folder, Reached(), role="webhook") as running:
        clock = SystemClock()
        ids = Ids(clock)
        version = running.intake.flow("asked").version
        began = time.monotonic()
        for start in range(0, count, GROUP):
            made = [waiting(ids, clock, version) for _ in range(min(GROUP, count - start))]
            await running.store.commit([change for _, changes in made for change in changes])
            with (folder / "ids").open("a") as file:
                file.writelines(f"{id_}\n" for id_, _ in made)
        print(f"{count:,} executions wait; committed {count / (time.monotonic() - began):,.0f} a second")


async def measure(folder: Path, calls: int) -> dict[str, Any]:
    """Memory of an engine over the folder, and the milliseconds of each call."""
    plugin = Reached()
    ids = (folder / "ids").read_text().split() if (folder / "ids").exists() else []
    chosen = random.Random(7).sample(ids, min(calls, len(ids)))
    began = time.monotonic()
    async with engine(folder, plugin) as running:
        started = time.monotonic() - began
        del ids
        await asyncio.sleep(1)
        memory = psutil.Process().memory_full_info().uss
        endpoints = create_endpoints(running, HookOptions("http://127.0.0.1"))
        answered, reached = [], []
        for execution_id in chosen:
            token = running.resume_tokens.make(execution_id, "approve")
            plugin.now.clear()
            at = time.perf_counter()
            reply = await endpoints.resume.handle(request(token))
            answered.append((time.perf_counter() - at) * 1000)
            assert reply.status == 202, reply
            await plugin.now.wait()
            reached.append((time.perf_counter() - at) * 1000)
    return {"memory": memory, "started": started, "answered": answered, "reached": reached}


def request(token: str) -> HookRequest:
    """A call."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"ok": true}'

    headers = [(b"content-type", b"application/json"), (b"content-length", b"12")]
    return HookRequest("POST", token, b"/resume/" + token.encode(), b"", headers, body(), "127.0.0.1")


def apart(folder: Path, calls: int) -> dict[str, Any]:
    """`measure`, in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(folder), "--calls", str(calls)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1])
    return found


def at(values: list[float], share: float) -> float:
    """A percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        print(json.dumps(asyncio.run(measure(given.measure, given.calls))))
        return
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as name:
        none, many = Path(name) / "none", Path(name) / "many"
        none.mkdir()
        many.mkdir()
        asyncio.run(fill(many, given.executions))
        idle, full = apart(none, 0), apart(many, given.calls)
        size = sum(path.stat().st_size for path in many.glob("bench.db*")) / 1e6
    print(f"database                 {size:8.0f} MB")
    print(f"start                    {full['started']:8.2f} s   (of none: {idle['started']:.2f} s)")
    above, base = (full["memory"] - idle["memory"]) / 1e6, idle["memory"] / 1e6
    print(f"memory above idle        {above:8.1f} MB  (idle: {base:.0f} MB)")
    for what, key in (("answered", "answered"), ("next step runs", "reached")):
        half, most = at(full[key], 0.5), at(full[key], 0.99)
        print(f"{what:16} p50 {half:6.1f} ms   p99 {most:6.1f} ms   of {len(full[key])} calls")


if __name__ == "__main__":
    main()
