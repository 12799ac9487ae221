"""What a foreach costs: python tests/benchmarks/bench_items.py [--items N] [--source NAME] [--step NAME].

A flow's items run through an action that does nothing, or through `map` and `sql.insert` into SQLite, 16 side by side,
and each is journalled. With `--source stream` they are rows of a CSV file that is read as it comes.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from hookline.api import Connector, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.model.execution import FINAL
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.secrets.encryption import generate_key, read_keys

STEPS: dict[str, list[dict[str, Any]]] = {
    "probe": [{"id": "count", "use": "bench.count", "with": {"value": "$.body.id"}}],
    "map+insert": [
        {"id": "row", "use": "map", "with": {"body": {"id": "$.item.id", "name": "{{ item.name }}!"}}},
        {
            "id": "keep",
            "use": "sql.insert",
            "with": {"url": "$.vars.db", "table": "kept", "row": "$.body", "once": False},
        },
    ],
}


class Plugin:
    """An action that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.connector = Connector("bench")

        @self.connector.action
        async def count(value: str) -> None:
            """Count."""
            self.calls += 1

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """The connector."""
        return [self.connector]


def _flow(folder: Path, source: str, step: str) -> None:
    import json
    import sqlite3

    database = folder / "kept.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table kept (id text, name text)")
    connection.close()
    steps: list[dict[str, Any]] = []
    if source == "stream":
        steps.append({"id": "rows", "use": "csv.parse", "with": {"stream": True}})
    steps.append({"id": "each", "foreach": "$.body", "concurrency": 16, "steps": STEPS[step]})
    steps.append({"id": "done", "use": "map", "with": {"body": 1}})
    document = {
        "id": "bench",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "vars": {"db": f"sqlite:///{database}"},
        "steps": steps,
    }
    (folder / "flows").mkdir()
    (folder / "flows" / "bench.json").write_text(json.dumps(document), encoding="utf-8")


async def _message(engine: Engine, source: str, items: int) -> Message:
    if source == "list":
        return Message([{"id": str(number), "name": f"name {number}"} for number in range(items)])
    writer = await engine.blobs.create()
    await writer.write(b"id,name\n")
    for start in range(0, items, 10_000):
        lines = (f"{number},name {number}\n" for number in range(start, min(start + 10_000, items)))
        await writer.write("".join(lines).encode())
    blob = await writer.commit()
    return Message(None, {}, (Attachment(blob.id, "rows", "rows.csv", "text/csv", blob.size, blob.sha256),))


async def _run(folder: Path, items: int, source: str, step: str) -> None:
    _flow(folder, source, step)
    plugin = Plugin()
    options = EngineOptions(
        db=f"sqlite:///{folder}/hookline.db",
        blobs=f"file://{folder}/blobs",
        flows=folder / "flows",
        secret_keys=read_keys(generate_key()),
        files_root=folder,
        watch=False,
    )
    process = psutil.Process()
    async with Engine(load_plugins(extra_plugins=[plugin]), options) as engine:
        message = await _message(engine, source, items)
        idle = process.memory_info().rss
        now = engine.clock.now()
        envelope = Envelope(engine.ids.new(), "bench", message, Arrival("webhook"), now)
        began, cpu = time.perf_counter(), time.process_time()
        await engine.intake.accept(engine.intake.flow("bench"), envelope)
        peak = idle
        while True:
            await asyncio.sleep(0.05)
            peak = max(peak, process.memory_info().rss)
            execution = await engine.store.execution(envelope.execution_id)
            if execution is not None and execution.state in FINAL:
                break
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        print(
            f"{source}, {step}: {items:,} items, {execution.state}, {items / wall:,.0f}/s, "
            f"{used / items * 1e6:.0f} µs CPU each, {(peak - idle) / 1e6:.0f} MB above idle"
        )
        if execution.error is not None:
            print(execution.error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--source", choices=["stream", "list"], default="stream")
    parser.add_argument("--step", choices=list(STEPS), default="probe")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder), given.items, given.source, given.step))


if __name__ == "__main__":
    main()
