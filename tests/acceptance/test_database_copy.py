"""A server moves from SQLite to PostgreSQL by `hookline db copy`, and everything continues."""

import base64
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hookline.cli.main import main
from tests.acceptance.database import locked, query
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

OPEN = {"use": "webhook", "with": {"verify": "none"}}
NAP = {"id": "nap", "use": "sleep", "with": {"for": "20s"}}
WAIT = {"id": "answer", "use": "webhook", "with": {"timeout": "1d"}}
JSON = {"Content-Type": "application/json"}

pytestmark = [pytest.mark.long, pytest.mark.postgres, pytest.mark.promise(1, 2), pytest.mark.timeout(180)]


@pytest.fixture
def target() -> Iterator[str]:
    with postgres_schema() as url:
        yield url


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server over a SQLite file that isn't in `.hookline`."""
    server = ForkedServer(tmp_path, environment={"HOOKLINE_DB": f"sqlite:///{tmp_path}/data/hookline.db"})
    yield server
    if server.running:
        server.kill()


def flows(sink: Sink) -> list[dict[str, Any]]:
    send = {"id": "send", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}
    rows = {"id": "rows", "use": "csv.parse", "with": {"file": "$.attachments[0]"}}
    secured = {"use": "webhook", "with": {"verify": {"scheme": "basic", "credential": "shop"}}}
    once = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}}
    both = {"id": "both", "use": "map", "with": {"body": {"given": "$.trigger.body.secret", "answered": "$.body"}}}
    no = {"id": "no", "use": "fail", "with": {"code": "order.wrong", "message": "not today"}}
    return [
        {"id": "asks", "trigger": OPEN, "redact": ["$.body.secret"], "steps": [WAIT, both, send]},
        {"id": "files", "trigger": OPEN, "steps": [NAP, rows, send]},
        {"id": "sleeps", "trigger": OPEN, "steps": [NAP, send]},
        {"id": "ordered", "trigger": OPEN, "order_by": "$.body.key", "steps": [send, WAIT]},
        {"id": "fails", "trigger": OPEN, "steps": [no]},
        {"id": "once", "trigger": once, "steps": []},
        {"id": "secured", "trigger": secured, "steps": []},
    ]


def accepted(server: ServerProcess, flow_id: str, body: Any) -> str:
    status, answer = server.post(flow_id, body)
    assert status == 202, answer
    return str(answer["execution_id"])


def reaches(server: ServerProcess, execution_id: str, state: str) -> None:
    path = f"/api/v1/executions/{execution_id}"
    server.eventually(f"{execution_id} is {state}", lambda: server.get(path)[1]["state"] == state)


def resume_url(server: ServerProcess, execution_id: str) -> str:
    (wait,) = server.get(f"/api/v1/executions/{execution_id}")[1]["waits"]
    return str(wait["url"]).removeprefix(server.url)


def answer(server: ServerProcess, url: str, body: Any) -> None:
    status, said, _ = server.request("POST", url, json.dumps(body).encode(), JSON)
    assert status == 202, said


def sign_in(server: ServerProcess, password: str) -> int:
    given = base64.b64encode(f"shop:{password}".encode()).decode()
    return server.post("secured", {}, {"Authorization": f"Basic {given}"})[0]


class Before:
    """The work of a server on SQLite that is unfinished when it stops."""

    def __init__(self, server: ServerProcess, sink: Sink) -> None:
        self.first = accepted(server, "once", {"id": 7})
        self.dead = accepted(server, "fails", {})
        reaches(server, self.dead, "failed")
        server.run("credentials", "set", "shop", "--type", "basic", "username=shop", "password=open sesame")
        server.eventually("the credential is used", lambda: sign_in(server, "open sesame") == 202)
        self.token = server.api("POST", "/api/v1/tokens", {"name": "reader", "scopes": ["read"]})["token"]
        self.asking = accepted(server, "asks", {"secret": "s3cret"})
        self.file = self._upload(server, b"name,price\ntea,3\n")
        self.line = [accepted(server, "ordered", {"key": "k", "n": n}) for n in range(3)]
        self.sleeping = accepted(server, "sleeps", "slept")
        for waiting in (self.asking, self.line[0], self.file, self.sleeping):
            reaches(server, waiting, "waiting")
        self.urls = {one: resume_url(server, one) for one in (self.asking, self.line[0])}
        assert [one.body for one in sink.received] == [{"key": "k", "n": 0}]

    @staticmethod
    def _upload(server: ServerProcess, content: bytes) -> str:
        status, said, _ = server.request("POST", "/hook/files", content, {"Content-Type": "application/octet-stream"})
        assert status == 202, said
        return str(said["execution_id"])

    def continues(self, server: ServerProcess, sink: Sink) -> None:
        """Everything goes on where it was."""
        status, said = server.post("once", {"id": 7})
        assert (status, said["execution_id"], said["status"]) == (200, self.first, "duplicate")
        (group,) = server.api("GET", "/api/v1/dead-letters")["items"]
        assert (group["flow_id"], group["count"]) == ("fails", 1)
        server.api("POST", f"/api/v1/executions/{self.dead}/retry")
        assert server.ended(self.dead)["attempt"] == 2
        assert [sign_in(server, password) for password in ("open sesame", "sesame")] == [202, 401]
        assert server.api("GET", "/api/v1/me", token=self.token)["name"] == "reader"
        answer(server, self.urls[self.asking], "yes")
        assert server.ended(self.asking)["state"] == "succeeded"
        assert sink.received[-1].body == {"given": "s3cret", "answered": "yes"}
        self._line_moves_on(server, sink)
        assert [server.ended(one, 60)["error"] for one in (self.file, self.sleeping)] == [None, None]
        bodies = [one.body for one in sink.received]
        assert bodies.count([{"name": "tea", "price": "3"}]) == bodies.count("slept") == 1
        assert len(sink.received) == len(sink.keys), "an action ran twice"

    def _line_moves_on(self, server: ServerProcess, sink: Sink) -> None:
        later = accepted(server, "ordered", {"key": "k", "n": 3})
        for one in (*self.line, later):
            reaches(server, one, "waiting")
            answer(server, self.urls.get(one) or resume_url(server, one), "go on")
            assert server.ended(one)["state"] == "succeeded"
        ordered = [one.body["n"] for one in sink.received if isinstance(one.body, dict) and "n" in one.body]
        assert ordered == [0, 1, 2, 3]


def copy(server: ServerProcess, target: str) -> Result:
    """`hookline db copy`, in this process: one of its own spends most time on imports."""
    with contextlib.chdir(server.folder):
        return CliRunner().invoke(main, ["db", "copy", "--to", target], env=server.environment())


def why_not_started(server: ServerProcess) -> str:
    """The error of a server that doesn't start."""
    done = subprocess.run(
        [sys.executable, "-m", "hookline.cli.main", "serve", "--port", str(server.port)],
        cwd=server.folder,
        env=server.environment(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr


def test_everything_continues_after_the_move_to_postgresql(server: ServerProcess, sink: Sink, target: str) -> None:
    for document in flows(sink):
        server.flow(document)
    server.start()
    before = Before(server, sink)

    rejected = copy(server, target)
    assert rejected.exit_code == 1
    assert f"process {server.pid} has the database" in rejected.output
    assert server.stop() == 0

    done = copy(server, target)
    assert done.exit_code == 0, done.output
    assert "both databases hold the same" in done.output
    assert f"Move {server.folder}/data/secret.key to .hookline/secret.key" in done.output

    server.set("HOOKLINE_DB", target)
    problem = why_not_started(server)
    assert "Set HOOKLINE_SECRET_KEY as on the nodes that have the key, or put the file secret.key" in problem

    server.set("HOOKLINE_SECRET_KEY", (server.folder / "data" / "secret.key").read_text(encoding="utf-8"))
    server.set("HOOKLINE_BLOBS", f"file://{server.folder}/data/blobs")
    server.start()
    before.continues(server, sink)


def test_an_execution_that_ran_when_the_server_was_killed_continues(
    server: ServerProcess, sink: Sink, target: str
) -> None:
    for document in flows(sink):
        server.flow(document)
    server.start()
    sink.delay = 30.0
    running = accepted(server, "ordered", {"key": "k", "n": 0})
    queued = accepted(server, "ordered", {"key": "k", "n": 1})
    server.eventually("the action is in progress", lambda: len(sink.received) == 1)
    server.kill()
    done = copy(server, target)
    assert done.exit_code == 0, done.output
    sink.delay = 0.0
    server.set("HOOKLINE_DB", target)
    server.set("HOOKLINE_SECRET_KEY", (server.folder / "data" / "secret.key").read_text(encoding="utf-8"))
    server.start()
    reaches(server, running, "waiting")
    assert len({one.key for one in sink.received}) == 1, "the action was repeated with another key"
    answer(server, resume_url(server, running), "go on")
    reaches(server, queued, "waiting")


@pytest.mark.rule(38)
def test_a_copy_that_was_killed_leaves_nothing_that_a_server_uses(
    server: ServerProcess, sink: Sink, target: str
) -> None:
    for document in flows(sink):
        server.flow(document)
    server.start()
    first = accepted(server, "once", {"id": 7})
    server.api("POST", "/api/v1/tokens", {"name": "reader", "scopes": ["read"]})
    server.ended(first)
    server.stop()

    kill_a_copy_half_way(server, target)
    assert query(target, "SELECT count(*) FROM executions") == [(0,)]
    here = server.environment()["HOOKLINE_DB"]
    server.set("HOOKLINE_DB", target)
    assert "run `hookline db copy` again" in why_not_started(server)

    server.set("HOOKLINE_DB", here)
    again = copy(server, target)
    assert again.exit_code == 0, again.output
    third = copy(server, target)
    assert third.exit_code == 1
    assert "is not empty" in third.output
    server.set("HOOKLINE_DB", target)
    server.set("HOOKLINE_SECRET_KEY", (server.folder / "data" / "secret.key").read_text(encoding="utf-8"))
    server.start()
    assert server.post("once", {"id": 7})[1]["execution_id"] == first


def kill_a_copy_half_way(server: ServerProcess, target: str) -> None:
    """Kill it when it has written most tables; it waits for one that another session has locked."""
    schema = target.partition("?schema=")[2]
    server.run("db", "upgrade", "--db", target)
    with locked(target, "tokens"):
        process = subprocess.Popen(
            [sys.executable, "-m", "hookline.cli.main", "db", "copy", "--to", target],
            cwd=server.folder,
            env=server.environment(),
        )
        waiting = f"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '\"{schema}\".tokens'::regclass"
        eventually("the copy waits", lambda: query(target, waiting) == [(1,)], 60)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
