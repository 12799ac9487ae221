"""Killed while it purges, and started again: nothing is left by half, and nothing goes that has not ended."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import eventually

OLD = 400
FLOW: dict[str, Any] = {
    "id": "f",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "wait", "use": "sleep", "with": {"for": "1h"}}],
}
_FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :old)"
    " INSERT INTO executions (id, flow_id, state, outcome, created_at, finished_at, attempt, order_holds, history)"
    " SELECT printf('01800000-0000-7000-8000-%012d', i), 'f', 'succeeded', 'completed', i, i, 1, 0, 1 FROM n"
)
_PAYLOADS = (
    "INSERT INTO payloads SELECT id, randomblob(10000) FROM executions WHERE state = 'succeeded'",
    "INSERT INTO journal (execution_id, seq, step_id, path, use, state, attempt, started_at, finished_at)"
    " SELECT id, 1, 'wait', 'wait', 'sleep', 'succeeded', 1, 1, 1 FROM executions WHERE state = 'succeeded'",
)


def counts(folder: Path) -> tuple[int, int, int]:
    """How many old executions, payloads of them, and entries of their journals there are."""
    old = "id < '0181'"
    with closing(sqlite3.connect(folder / ".hookline" / "hookline.db")) as connection:
        (executions,) = connection.execute(f"SELECT count(*) FROM executions WHERE {old}").fetchone()
        (payloads,) = connection.execute(f"SELECT count(*) FROM payloads WHERE execution_{old}").fetchone()
        (entries,) = connection.execute(f"SELECT count(*) FROM journal WHERE execution_{old}").fetchone()
    return executions, payloads, entries


def killed_and_started_again(folder: Path, fault: str) -> None:
    folder.mkdir()
    server = ForkedServer(folder)
    server.flow(FLOW)
    server.start()
    waiting = server.post("f", {})[1]["execution_id"]
    assert server.stop() == 0
    with closing(sqlite3.connect(folder / ".hookline" / "hookline.db")) as connection, connection:
        connection.execute(_FILL, {"old": OLD})
        for statement in _PAYLOADS:
            connection.execute(statement)
    server = ForkedServer(folder, environment={"HOOKLINE_FAULT": fault, "HOOKLINE_DISK_BUDGET": "2MB"})
    server.start()
    assert server.died(60) == -9
    executions, payloads, entries = counts(folder)
    assert 0 < executions < OLD
    assert executions == payloads == entries
    server = ForkedServer(folder, environment={"HOOKLINE_DISK_BUDGET": "2MB"})
    server.start()
    try:
        eventually("more is purged", lambda: counts(folder)[0] < OLD // 2, 60)
        executions, payloads, entries = counts(folder)
        assert server.post("f", {})[0] == 202
        assert server.get(f"/api/v1/executions/{waiting}")[1]["state"] == "waiting"
    finally:
        server.stop()
    executions, payloads, entries = counts(folder)
    assert executions == payloads == entries


@pytest.mark.timeout(180)
@pytest.mark.long  # the budget is looked at every ten seconds
def test_a_kill_while_purging_leaves_nothing_by_half(tmp_path: Path) -> None:
    faults = ("purge.before_commit:3", "purge.after_commit:3")
    with ThreadPoolExecutor(len(faults)) as pool:
        for done in [pool.submit(killed_and_started_again, tmp_path / fault, fault) for fault in faults]:
            done.result()
