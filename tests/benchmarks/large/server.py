"""A server with many flows and a long history."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.acceptance.server_process import ServerProcess
from tests.benchmarks.large.rows import History, fill

_HOOK: Final = {"use": "webhook", "with": {"verify": "none"}}
_SPAN: Final = timedelta(days=20)
"""The time over which the executions ended: less than they are kept."""
_PATIENCE: Final = 600.0
LONG: Final = "flow-long"
"""A flow of 200 steps."""
ITEMS: Final = "flow-items"
"""A flow whose execution has ten steps for each item."""


def _mapped(id_: str) -> dict[str, Any]:
    return {"id": id_, "use": "map", "with": {"body": "$.body"}}


def _flow(id_: str, steps: list[Any]) -> dict[str, Any]:
    return {"id": id_, "title": f"Orders of shop {id_}", "trigger": _HOOK, "steps": steps}


def start_large(server: ServerProcess, executions: int, flows: int, url: str | None = None) -> History:
    """Start it, with so many executions that have ended, and flows. `url`: of an empty database on PostgreSQL."""
    for number in range(flows):
        server.flow(_flow(f"flow-{number}", [_mapped(f"post{step}") for step in (1, 2, 3)]))
    server.flow(_flow(LONG, [_mapped(f"step{number}") for number in range(200)]))
    items = {"id": "lines", "foreach": "$.body", "as": "line", "steps": [_mapped(f"do{n}") for n in range(10)]}
    server.flow(_flow(ITEMS, [items]))
    if url is not None:
        server.set("HOOKLINE_DB", url)
    # The first start makes the tables and the versions of the flows.
    server.start(_PATIENCE)
    server.stop()
    history = History(
        executions,
        flows=flows,
        began=datetime.now(UTC) - _SPAN,
        apart_ms=int(_SPAN.total_seconds() * 1000) // (executions + executions // 100),
        waiting=executions // 100,
        versions=True,
    )
    asyncio.run(fill(url or f"sqlite:///{server.folder}/.hookline/hookline.db", history, surroundings=True))
    server.start(_PATIENCE)
    return history


def run_items(server: ServerProcess, items: int) -> str:
    """Run an execution with ten steps for each of as many items; return its id."""
    status, answer = server.post(ITEMS, list(range(items)))
    assert status == 202, answer
    ended = server.ended(answer["execution_id"], _PATIENCE)
    assert ended["state"] == "succeeded", ended["error"]
    return str(ended["id"])
