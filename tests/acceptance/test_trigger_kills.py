"""Killed at the commits of triggers that start flows by themselves, and started again: no run is lost, none comes
twice."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

SIGKILL = -9
SECOND = timedelta(seconds=1)

#: Real servers and a real clock: each case takes some seconds.
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

KEEP = [{"id": "kept", "use": "map", "with": {"body": "$.body"}}]
TICK = {
    "id": "tick",
    "trigger": {"use": "schedule", "with": {"every": "1s", "missed": "all", "overlap": True}},
    "steps": KEEP,
}
FILES = {
    "id": "files",
    "trigger": {"use": "file.new", "with": {"existing": True, "every": "1s"}},
    "steps": KEEP,
}


def put(folder: Path, name: str) -> None:
    """A file that nobody has written to for a while."""
    (folder / "drop" / name).write_text(name)
    os.utime(folder / "drop" / name, (1_700_000_000, 1_700_000_000))


def server(folder: Path, fault: str | None = None) -> ServerProcess:
    environment = {"HOOKLINE_FILES": str(folder / "drop")} | ({"HOOKLINE_FAULT": fault} if fault else {})
    made = ForkedServer(folder, environment=environment)
    for flow in (TICK, FILES):
        made.flow(flow)
    return made


def bodies(running: ServerProcess, flow_id: str) -> list[Any]:
    found = []
    for execution in running.executions(flow_id=flow_id):
        steps = running.ended(execution["id"])["steps"]
        found.append(steps[0]["output"]["body"])
    return found


def survives(folder: Path, fault: str) -> None:
    (folder / "drop").mkdir(parents=True)
    for name in ("a", "b"):
        put(folder, name)
    first = server(folder, fault)
    first.launch()
    assert first.died() == SIGKILL, first.log()[-4000:]
    put(folder, "c")
    second = server(folder)
    try:
        second.start()
        eventually("all files are seen", lambda: len(second.executions(flow_id="files")) >= 3)
        before = len(second.executions(flow_id="tick"))
        eventually("the schedule goes on", lambda: len(second.executions(flow_id="tick")) >= before + 2)
        assert sorted(body["path"] for body in bodies(second, "files")) == ["a", "b", "c"]
        times = sorted(datetime.fromisoformat(body["scheduled_at"]) for body in bodies(second, "tick"))
        assert times == [times[0] + n * SECOND for n in range(len(times))], "none is missing, and none is there twice"
        assert second.stop() == 0
    finally:
        second.kill()


@pytest.mark.promise(1)
def test_a_kill_at_a_commit_of_a_trigger_loses_no_run_and_repeats_none(tmp_path: Path) -> None:
    faults = [f"cursor.{side}_commit:{n}" for side, n in (("before", 3), ("after", 1), ("after", 3))]
    with ThreadPoolExecutor(3) as pool:
        runs = {fault: pool.submit(survives, tmp_path / fault.replace(":", "-"), fault) for fault in faults}
    failures = {fault: run.exception() for fault, run in runs.items() if run.exception() is not None}
    assert failures == {}
