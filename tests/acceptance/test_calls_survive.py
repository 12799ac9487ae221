"""Killed at each commit about a call to a step that waits: a call that got 202 has resumed the execution, once."""

import contextlib
import sqlite3
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from json import dumps
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

SIGKILL = -9

#: Each point, and what the caller may be answered who goes on asking until there is an answer. The execution goes on
#: while that is on its way: where it dies of it, the answer to the first call may be lost.
CASES: Mapping[str, tuple[int, ...]] = {
    "begin_wait.before": (202,),
    "begin_wait.after": (202,),
    "callback.before": (202,),
    "callback.after": (200,),
    "end_wait.before": (202, 200),
    "end_wait.after": (202, 200),
}

#: Each case starts two servers.
pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


class Run:
    """A folder with a flow that waits, and servers over it, one after the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / ".hookline" / "files").mkdir(parents=True)
        self.database = folder / ".hookline" / "files" / "booked.db"
        with sqlite3.connect(self.database) as connection:
            # No unique constraint: a row that is written twice must show.
            connection.execute("create table booked (n integer not null)")
        connection.close()

    def server(self, fault: str | None = None) -> ServerProcess:
        server = ForkedServer(self.folder, environment={"HOOKLINE_FAULT": fault} if fault else None)
        insert = {"url": f"sqlite:///{self.database}", "table": "booked", "row": {"n": "$.body.n"}, "once": False}
        server.flow(
            {
                "id": "asked",
                "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}},
                "steps": [
                    {"id": "approve", "use": "webhook", "with": {"timeout": "1h"}},
                    {"id": "book", "use": "sql.insert", "with": insert},
                ],
            }
        )
        return server

    def rows(self) -> list[int]:
        with sqlite3.connect(self.database) as connection:
            found = [n for (n,) in connection.execute("select n from booked")]
        connection.close()
        return found


def begin(server: ServerProcess) -> tuple[str, str]:
    """Send the message, and wait for the step; gives the execution's id and the path of the URL that it waits at."""
    status, answer = server.post("asked", {"id": "1"})
    assert status in (200, 202), answer
    found: list[str] = []

    def waits() -> bool:
        _, execution = server.get(f"/api/v1/executions/{answer['execution_id']}")
        found[:] = [urlsplit(wait["url"]).path for wait in execution["waits"]]
        return bool(found) and execution["state"] == "waiting"

    eventually("the step waits", waits)
    return answer["execution_id"], found[0]


def call(server: ServerProcess, path: str) -> int | None:
    """The status of a call; None where it got no answer."""
    with contextlib.suppress(OSError, HTTPException):
        return server.request("POST", path, dumps({"n": 7}).encode(), {"Content-Type": "application/json"})[0]
    return None


def outcome(folder: Path, point: str) -> tuple[int | None, str, list[int]]:
    """What the caller was answered at last, how the execution ended, and what it wrote."""
    run = Run(folder)
    first, second = run.server(f"{point}_commit"), run.server()
    try:
        first.start()
        status: int | None = None
        with contextlib.suppress(OSError, HTTPException, AssertionError):
            _, path = begin(first)
            status = call(first, path)
        deadline = time.monotonic() + 30
        while first.running and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not first.running, f"{point} was not passed:\n{first.log()[-4000:]}"
        assert first.died() == SIGKILL
        second.start()
        if status is None:
            # A sender that got no answer sends the same again.
            _, answer = second.post("asked", {"id": "1"})
            execution_id = answer["execution_id"]
            path = begin(second)[1] if point.startswith("begin_wait") else path
            status = call(second, path)
        else:
            execution_id = second.executions()[0]["id"]
        ended = second.ended(execution_id)
        assert len(second.executions()) == 1
        return status, ended["state"], run.rows()
    finally:
        for server in (first, second):
            if server.running:
                server.kill()


@pytest.mark.promise(5)
def test_a_kill_at_a_commit_loses_no_call_and_repeats_none(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        ends = {point: pool.submit(partial(outcome, tmp_path / point, point)) for point in CASES}
    for point, end in ends.items():
        status, state, rows = end.result()
        assert (status in CASES[point], state, rows) == (True, "succeeded", [7]), f"{point}: {status}, {state}, {rows}"
