"""Killed at the commits of what a flow keeps, and started again: each execution has counted once."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer

MESSAGES = 5

FLOW: dict[str, Any] = {
    "id": "count",
    "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.n"}},
    "steps": [
        {"id": "number", "use": "state.set", "with": {"key": "n", "add": 1}},
        {"id": "last", "use": "state.set", "with": {"key": "last", "value": "$.body"}},
    ],
}


@pytest.mark.timeout(120)
@pytest.mark.long  # each case starts two servers
@pytest.mark.parametrize("fault", ["state.before_commit:2", "state.after_commit:2"])
def test_a_kill_as_executions_count_makes_none_count_twice_or_not_at_all(fault: str, tmp_path: Path) -> None:
    server = ForkedServer(tmp_path, environment={"HOOKLINE_FAULT": fault})
    server.flow(FLOW)
    server.start()
    sent = 0
    while sent < MESSAGES and server.running:
        try:
            server.post("count", {"n": str(sent)})
        except OSError:
            break
        sent += 1
    assert server.died() == -9
    server = ForkedServer(tmp_path)
    server.start()
    try:
        ids = [server.post("count", {"n": str(n)})[1]["execution_id"] for n in range(MESSAGES)]
        steps = [server.ended(id_)["steps"][0] for id_ in ids]
    finally:
        server.stop()
    assert sorted(step["output"]["body"] for step in steps) == list(range(1, MESSAGES + 1))
    with sqlite3.connect(tmp_path / ".hookline" / "hookline.db") as connection:
        kept = dict(connection.execute("select key, value from state"))
    connection.close()
    assert (kept["n"], int(kept["last"]) in range(1, MESSAGES + 1)) == (str(MESSAGES).encode(), True)
