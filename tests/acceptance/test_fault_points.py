"""Killed at each commit of a run, and started again: the end is the same as without the kill."""

import contextlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess

LINES = [1, 2, 3]
MESSAGE = {"id": "order-7", "kind": "order", "lines": [{"n": n} for n in LINES]}
#: Servers that run at once: most of a case is waiting.
AT_ONCE = 4
SIGKILL = -9

#: Each case starts ten servers and more.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

#: What each kind of commit is called in faults, and at which of its passings the process is to die.
CASES: Mapping[str, Sequence[int]] = {
    "publish": (1,),
    "accept": (1,),
    "start": (1,),
    "record": (1, 2, 4, 6),
    "park": (1,),
    "resume": (1,),
    "end": (1,),
}

#: Everything that an execution of the flow below calls, as the sink sees it.
CALLS = {"/tell 1", "/tell 2", "/tell 3", "/late order-7", "/gone order-7", "/last order-7"}


class Service:
    """The other side: `/gone` is never there, `/late` isn't the first time, all else is."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = {}
        """For each call, the idempotency keys with which it came."""
        self._lock = Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = f"{self.path} {body['n']}"
                with service._lock:
                    came = service.keys.setdefault(name, [])
                    came.append(self.headers["Idempotency-Key"])
                    first = len(came) == 1
                status = 404 if self.path == "/gone" else 503 if self.path == "/late" and first else 200
                answer = dumps({"got": body["n"]}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                # A client that was killed is what these tests are about.
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Service":
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def flow(database: Path, url: str) -> dict[str, Any]:
    """One of each kind of step that there is."""

    def call(step_id: str, path: str, n: str, **settings: Any) -> dict[str, Any]:
        given = {"method": "POST", "url": f"{url}{path}", "json": {"n": n}}
        return {"id": step_id, "use": "http.request", "with": given, **settings}

    return {
        "id": "book",
        "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}},
        "vars": {"db": f"sqlite:///{database}"},
        "steps": [
            {"id": "order", "use": "map", "with": {"body": {"id": "$.body.id", "lines": "$.body.lines"}}},
            {
                "id": "route",
                "switch": [
                    {
                        "when": "{{ trigger.body.kind == 'order' }}",
                        "steps": [
                            {
                                "id": "lines",
                                "foreach": "$.body.lines",
                                "concurrency": 2,
                                "steps": [
                                    {
                                        "id": "row",
                                        "use": "sql.insert",
                                        "with": {"url": "$.vars.db", "table": "booked", "row": {"n": "$.item.n"}},
                                    },
                                    call("tell", "/tell", "$.item.n"),
                                ],
                            }
                        ],
                    },
                    {"otherwise": True, "steps": [{"use": "fail", "with": {"message": "not an order"}}]},
                ],
            },
            # Longer than a second: the wait is a row, and the execution is parked.
            call("late", "/late", "$.trigger.body.id", retry={"attempts": 4, "wait": "1050ms"}),
            call("gone", "/gone", "$.trigger.body.id", on_error="continue"),
            call("last", "/last", "$.trigger.body.id"),
            {
                "id": "result",
                "use": "map",
                "with": {
                    "body": {
                        "told": "$.steps.lines.body",
                        "late": "$.steps.late.body",
                        "gone": "$.steps.gone.error.code",
                        "last": "$.body",
                    }
                },
            },
        ],
    }


@dataclass(frozen=True)
class End:
    """How a run ended, as far as it must be the same every time."""

    state: str
    outcome: str
    outputs: Mapping[str, Any]
    """The last output's body, by step path."""
    states: Mapping[str, str]
    rows: Sequence[int]
    calls: frozenset[str]
    keys: Mapping[str, int]
    """How many different keys each call came with."""
    left: int
    """Executions that have not ended."""


class Run:
    """A folder with the flow, what it writes to, and servers over it, one after the other."""

    def __init__(self, folder: Path, service: Service) -> None:
        folder.mkdir()
        self.folder = folder
        self.service = service
        (folder / ".hookline" / "files").mkdir(parents=True)
        self.database = folder / ".hookline" / "files" / "booked.db"
        with sqlite3.connect(self.database) as connection:
            # No unique constraint: a row that is written twice must show.
            connection.execute("create table booked (n integer not null)")
        connection.close()
        self._servers: list[ServerProcess] = []

    def server(self, fault: str | None = None) -> ServerProcess:
        server = ForkedServer(self.folder, environment={"HOOKLINE_FAULT": fault} if fault else None)
        server.flow(flow(self.database, self.service.url))
        self._servers.append(server)
        return server

    def dies(self, fault: str) -> None:
        """Serve, send the message if it comes to that, and die of the fault."""
        server = self.server(fault)
        server.launch()
        accepted = False
        deadline = time.monotonic() + 30
        while server.running and time.monotonic() < deadline:
            if not accepted:
                with contextlib.suppress(OSError, HTTPException):  # not there yet, or dead
                    accepted = server.post("book", MESSAGE)[0] in (200, 202)
            time.sleep(0.02)
        assert not server.running, f"{fault} was not passed:\n{server.log()[-4000:]}"
        assert server.died() == SIGKILL

    def ends(self) -> End:
        """Serve without faults, send the message again, as senders do, and see how it ends."""
        server = self.server()
        server.start()
        status, answer = server.post("book", MESSAGE)
        assert status in (200, 202), answer
        execution = server.ended(answer["execution_id"])
        executions = server.executions()
        assert [one["id"] for one in executions] == [execution["id"]], "the message was accepted once"
        steps: dict[str, Any] = {step["path"]: step for step in execution["steps"]}
        with sqlite3.connect(self.database) as connection:
            rows = sorted(n for (n,) in connection.execute("select n from booked"))
        connection.close()
        end = End(
            state=execution["state"],
            outcome=execution["outcome"],
            outputs={path: (step["output"] or {}).get("body") for path, step in steps.items()},
            states={path: step["state"] for path, step in steps.items()},
            rows=rows,
            calls=frozenset(self.service.keys),
            keys={call: len(set(keys)) for call, keys in self.service.keys.items()},
            left=sum(one["state"] not in ("succeeded", "failed", "cancelled") for one in executions),
        )
        assert server.stop() == 0
        return end

    def close(self) -> None:
        for server in self._servers:
            if server.running:
                server.kill()


def outcome(folder: Path, *faults: str) -> End:
    """How a message ends where the server dies of each of the faults in turn, and is then left alone."""
    with Service() as service:
        run = Run(folder, service)
        try:
            for fault in faults:
                run.dies(fault)
            return run.ends()
        finally:
            run.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> End:
    """How it ends without a kill."""
    return outcome(tmp_path_factory.mktemp("undisturbed") / "run")


def test_a_run_without_a_kill_does_everything_once(undisturbed: End) -> None:
    assert (undisturbed.state, undisturbed.outcome, undisturbed.left) == ("succeeded", "completed", 0)
    assert undisturbed.rows == LINES
    assert undisturbed.calls == CALLS
    assert set(undisturbed.keys.values()) == {1}, "one call, one key; the retry included"
    assert undisturbed.outputs["result"] == {
        "told": [{"got": n} for n in LINES],
        "late": {"got": "order-7"},
        "gone": "http.404",
        "last": {"got": "order-7"},
    }


@pytest.mark.promise(1, 2)
@pytest.mark.parametrize("kind", CASES)
def test_a_kill_at_a_commit_changes_nothing_of_the_end(kind: str, tmp_path: Path, undisturbed: End) -> None:
    faults = [f"{kind}.{side}_commit:{n}" for n in CASES[kind] for side in ("before", "after")]
    _all_end_like(undisturbed, {fault.replace(":", "-"): (fault,) for fault in faults}, tmp_path)


@pytest.mark.promise(3)
def test_a_kill_at_the_start_after_a_kill_changes_nothing_of_the_end(tmp_path: Path, undisturbed: End) -> None:
    """What was cut off is unblocked at a start, and resumed; both may be cut off too."""
    runs: dict[str, tuple[str, ...]] = {
        f"{second}.{side}": ("park.after_commit", f"{second}.{side}_commit")
        for second in ("unblock", "resume")
        for side in ("before", "after")
    }
    runs["record"] = ("record.after_commit:2", "record.before_commit", "record.after_commit", "end.before_commit")
    _all_end_like(undisturbed, runs, tmp_path)


def _all_end_like(undisturbed: End, runs: Mapping[str, Sequence[str]], folder: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = {name: pool.submit(partial(outcome, folder / name, *faults)) for name, faults in runs.items()}
    assert {name: end.result() for name, end in ends.items()} == dict.fromkeys(runs, undisturbed)
