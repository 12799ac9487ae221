"""Hostile documents of authors cost neither the server nor other flows anything, and have no effects outside."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.acceptance.server_process import TOKEN, ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.acceptance.test_stalls import LIMIT, Probe, Stalls

PROBE = {
    "id": "probe",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "end", "use": "stop"}],
}


def flow(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"id": "tried", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": list(steps)}


def step(number: int, body: Any) -> dict[str, Any]:
    return {"id": f"s{number}", "use": "map", "with": {"body": body}}


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"id": "last", "use": "stop"}
    for number in range(depth):
        inner = {"id": f"b{number}", "try": [inner], "finally": [step(number, 1)]}
    return inner


def hostile() -> dict[str, tuple[str, Any]]:
    """The path and the body of each request."""
    many = flow(*(step(number, {"a": "$.body"}) for number in range(10_000)))
    cycle = flow(*({"id": f"call{number}", "use": "flow", "with": {"id": "tried"}} for number in range(500)))
    message = {"body": "x" * 1_000_000}
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    growing = {"body": "{% set ns = [body] %}{% for i in range(100000) %}{{ body * 10000 }}{% endfor %}"}
    return {
        "check: 10,000 steps": ("check", {"document": many}),
        "try: 10,000 steps": ("try", {"document": many, "input": {"body": 1}}),
        "check: brackets": ("check", {"text": "[" * 1_990_000}),
        "check: keys": ("check", {"text": json.dumps({f"k{number}": 1 for number in range(60_000)})}),
        "check: nested": ("check", {"document": flow(nested(40))}),
        "check: references": ("check", {"document": {**flow(step(0, "$.body")), "schema": schema}}),
        "check: text": ("check", {"document": flow(step(0, "{{ " + "(" * 900_000))}),
        "try: cycle": ("try", {"document": cycle, "input": {"body": 1}}),
        "evaluate: repeat": ("evaluate", {"expression": growing["body"], "message": message}),
        "evaluate: power": ("evaluate", {"expression": "{{ 9 ** 9 ** 9 }}", "message": message}),
        "evaluate: pattern": (
            "evaluate",
            {"expression": "{{ body is matching('(x+x+)+y') }}", "message": message},
        ),
        "evaluate: search": ("evaluate", {"expression": "$..a..b..c", "message": {"body": [[[[1]] * 100] * 100]}}),
    }


def ask(server: ServerProcess, path: str, given: Any, *, timeout: float = 120) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = Request(f"{server.url}/api/v1/{path}", json.dumps(given).encode(), headers)
    try:
        with urlopen(request, timeout=timeout) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, json.load(error)


def workers(server: ServerProcess) -> list[psutil.Process]:
    """The processes that work for authors."""
    return [
        process
        for process in psutil.Process(server.pid).children(recursive=True)
        if "hookline.simulation.authoring.worker" in process.cmdline()
    ]


@pytest.fixture
def server(make_server: Callable[..., ServerProcess]) -> ServerProcess:
    server = make_server()
    server.flow(PROBE)
    server.start()
    return server


def quick() -> dict[str, tuple[str, Any]]:
    """Those that take no second."""
    return {name: one for name, one in hostile().items() if "10,000" not in name and not name.startswith("evaluate")}


@pytest.mark.long
def test_hostile_documents_end(server: ServerProcess) -> None:
    for name, (path, given) in quick().items():
        status, found = ask(server, path, given)
        assert status in (200, 400, 413, 422), (name, found)
    assert ask(server, "check", {"document": PROBE})[0] == 200


@pytest.mark.long
def test_other_requests_are_answered_while_a_large_document_is_checked(server: ServerProcess) -> None:
    path, given = hostile()["check: 10,000 steps"]
    statuses: list[int] = []
    asked = threading.Thread(target=lambda: statuses.append(ask(server, path, given)[0]))
    asked.start()
    meanwhile: list[tuple[int, int]] = []
    while asked.is_alive():
        healthy = server.get("/healthz")[0]
        with urlopen(Request(f"{server.url}/hook/probe", b"{}", {"Content-Type": "application/json"})) as response:
            meanwhile.append((healthy, response.status))
    # On a slow machine the check takes too long, and ends with 422.
    assert statuses in ([200], [422])
    assert len(meanwhile) >= 3
    assert set(meanwhile) == {(200, 202)}


@pytest.mark.timeout(300)
def test_a_worker_that_dies_is_replaced(server: ServerProcess) -> None:
    assert ask(server, "check", {"document": PROBE})[0] == 200
    (worker,) = workers(server)
    worker.kill()
    eventually("the worker is gone", lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 60)
    eventually("another one works", lambda: ask(server, "check", {"document": PROBE})[0] == 200, 120)
    (other,) = workers(server)
    assert other.pid != worker.pid
    assert server.get("/readyz")[0] == 200


_COUNTED = """
import json, sys, tempfile
from hookline.discovery.plugin_loader import load_plugins
from hookline.simulation.authoring.jobs import GivenDocument, TryJob
from hookline.simulation.authoring.try_document import try_document

registry = load_plugins()
touched = []
CALLS = ("socket.connect", "socket.bind", "socket.send", "socket.getaddrinfo", "subprocess.", "os.exec", "os.fork")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "sqlite3.connect")
OWN = tempfile.gettempdir()

def guard(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
    if event.startswith(CALLS) or ((writes or event.startswith(CHANGES)) and not str(arguments[0]).startswith(OWN)):
        touched.append(event)

sys.addaudithook(guard)
document = sys.stdin.buffer.read()
done = try_document(TryJob(GivenDocument(document), b'{"input": {"body": {"a": 1}}}', None), registry)
counted = len(touched)
import socket
socket.getaddrinfo("127.0.0.1", 1)  # the guard counts
open(sys.argv[1], "w").close()
print(json.dumps([done.outcome, list(done.stubbed), counted, len(touched) - counted]))
"""


def test_what_is_tried_without_effects_reaches_nothing_outside(sink: Sink, tmp_path: Path) -> None:
    """An egress guard counts what the process would do outside, in place of the one that would reject it."""
    own = tmp_path / "own"
    own.mkdir()
    steps = [
        {"id": "post", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}},
        {"id": "write", "use": "file.write", "with": {"path": "a.txt", "content": "x"}},
        {"id": "keep", "use": "state.set", "with": {"key": "last", "value": 1}},
        {"id": "end", "use": "map", "with": {"body": "$.body"}},
    ]
    done = subprocess.run(
        [sys.executable, "-c", _COUNTED, tmp_path / "written"],
        input=json.dumps(flow(*steps)).encode(),
        env=os.environ | {"TMPDIR": str(own)},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["completed", ["post", "write"], 0, 2]
    assert sink.received == []


@pytest.mark.long
@pytest.mark.timeout(300)
def test_all_hostile_documents_end_and_have_no_effects(server: ServerProcess, sink: Sink) -> None:
    for name, (path, given) in hostile().items():
        status, found = ask(server, path, given)
        assert status in (200, 400, 413, 422), (name, found)
    post = {"id": "post", "use": "http.request", "with": {"method": "POST", "url": sink.url}}
    status, tried = ask(server, "try", {"document": flow(post), "input": {"body": 1}})
    assert (status, tried["stubbed"], sink.received) == (200, ["post"], [])
    status, _ = ask(server, "check", {"document": PROBE})
    assert status == 200


@pytest.mark.long
def test_work_ends_when_its_caller_goes_away(server: ServerProcess) -> None:
    path, given = hostile()["check: 10,000 steps"]
    assert ask(server, "check", {"document": PROBE})[0] == 200
    (worker,) = workers(server)
    with pytest.raises(TimeoutError):
        ask(server, path, given, timeout=1.0)
    eventually("the work ends", lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, 60)
    assert ask(server, "check", {"document": PROBE})[0] == 200


@pytest.mark.long
@pytest.mark.alone
def test_hostile_documents_delay_no_other_flow(server: ServerProcess, sink: Sink) -> None:
    stalls = Stalls(server, sink, None, alone=True)
    late: list[str] = []
    for name, (path, given) in hostile().items():
        delays: list[float] = []
        for _ in range(3):
            with Probe(server) as probe:
                asked = threading.Thread(target=ask, args=(server, path, given))
                asked.start()
                asked.join()
            delays.append(probe.slowest - stalls.idle)
            if delays[-1] <= LIMIT:
                break
        if min(delays) > LIMIT:
            late.append(f"{name}: {min(delays) * 1000:.0f} ms")
    assert late == []
