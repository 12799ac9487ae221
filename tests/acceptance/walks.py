"""The files of the engine that one request and one execution pass through, on a real server.

`python -m tests.acceptance.walks` prints both lists. docs/architecture.md describes these walks in a few stops each.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal
from urllib.request import Request, urlopen

from click.testing import CliRunner

import hookline
from hookline.cli.host.server_process import ListeningServer, run_server
from hookline.cli.main import main
from hookline.server_settings import load
from hookline.service.server.listening import listen
from tests.acceptance.sink import Sink

ENGINE: Final = Path(hookline.__file__).parent
#: Everything in a task that begins in this room belongs to an execution.
_EXECUTIONS: Final = "executions/"
#: Everything in a task that begins in these rooms belongs to a request. Other tasks are the engine's own.
_REQUESTS: Final = ("service/", "intake/")
#: Tasks that begin here stand beside both walks: they are this script's own, or an engine's or a server's clock.
_BESIDE: Final = ("cli/host/server_process.py", "service/server/serving.py", "executions/delivery/timers.py")
#: Requests that are traced.
_TRACED: Final = 10
_SECRET: Final = "a secret of GitHub's"
_BODY: Final = json.dumps({"number": 7, "sender": "Ada"}).encode()


@dataclass
class Walks:
    """The files, in the order in which they were first entered."""

    accepting: dict[str, None] = field(default_factory=dict)
    """From a request's first byte to its 202."""
    running: dict[str, None] = field(default_factory=dict)
    """From the delivery of the message to the end of its execution."""


def trace(folder: Path, server: Literal["hypercorn", "uvicorn"]) -> Walks:
    """Send one signed request to a server over `folder`, and run its execution, which maps and sends a request."""
    sink = Sink()
    sink.start()
    _write_flow(folder, sink.url)
    variables = {"HOOKLINE_EGRESS_ALLOW": "127.0.0.0/8", "HOOKLINE_DB": f"sqlite:///{folder}/hookline.db"}
    variables |= {"HOOKLINE_FLOWS": str(folder / "flows"), "HOOKLINE_BLOBS": f"file://{folder}/blobs"}
    with _environment(variables), contextlib.closing(listen("127.0.0.1", 0)) as sock:
        setting = ["credentials", "set", "hub", "--type", "github", f"secret={_SECRET}"]
        assert CliRunner().invoke(main, setting).exit_code == 0
        found = Walks()

        async def ready(running: ListeningServer) -> None:
            try:
                # The first request builds what later ones find.
                await _send(running)
                traced = [Walks() for _ in range(_TRACED)]
                for walks in traced:
                    with _traced(walks):
                        await _send(running)
                # What comes between by chance, such as a look of the engine's own, isn't in all.
                first, *others = traced
                found.accepting = {
                    file: None for file in first.accepting if all(file in one.accepting for one in others)
                }
                found.running = {file: None for file in first.running if all(file in one.running for one in others)}
            finally:
                running.shutdown.set()

        asyncio.run(run_server(load({"server": server}), sock, ready))
    sink.stop()
    return found


async def _send(server: ListeningServer) -> None:
    """Send a request, and wait for the end of its execution."""
    execution_id = await asyncio.to_thread(_post, f"{server.url}/hook/orders")
    store = server.engine.store
    while (execution := await store.execution(execution_id)) is None or execution.finished_at is None:  # noqa: ASYNC110 - only the store tells
        await asyncio.sleep(0.01)
    assert execution.state == "succeeded", execution.error


def _post(url: str) -> str:
    signature = hmac.new(_SECRET.encode(), _BODY, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    with urlopen(Request(url, _BODY, headers), timeout=30) as response:
        assert response.status == 202
        return str(json.load(response)["execution_id"])


@contextlib.contextmanager
def _traced(found: Walks) -> Iterator[None]:
    """Note each function of the engine that this thread calls, by where its task began."""

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or (file := _file(frame)) is None or frame.f_code.co_name == "<module>":
            return
        outermost, outer = file, frame.f_back
        while outer is not None:
            outermost = _file(outer) or outermost
            outer = outer.f_back
        if outermost in _BESIDE:
            return
        if outermost.startswith(_EXECUTIONS):
            found.running.setdefault(file)
        elif outermost.startswith(_REQUESTS):
            found.accepting.setdefault(file)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def _file(frame: FrameType) -> str | None:
    return _engine_file(frame.f_code.co_filename)


@cache
def _engine_file(filename: str) -> str | None:
    path = Path(filename)
    return str(path.relative_to(ENGINE)) if path.is_relative_to(ENGINE) else None


def _write_flow(folder: Path, sink: str) -> None:
    flow = {
        "id": "orders",
        "trigger": {"use": "webhook", "with": {"verify": {"scheme": "github", "credential": "hub"}}},
        "vars": {"sink": sink},
        "steps": [
            {
                "id": "order",
                "use": "map",
                "with": {"body": {"number": "$.body.number", "by": "{{ body.sender }}"}},
            },
            {"id": "send", "use": "http.request", "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"}},
        ],
    }
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "orders.json").write_text(json.dumps(flow), encoding="utf-8")


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    for server in ("hypercorn", "uvicorn"):
        with tempfile.TemporaryDirectory() as folder:
            walks = trace(Path(folder), server)  # type: ignore[arg-type]  # one of both
        for name, walk in (("accepting", walks.accepting), ("running", walks.running)):
            print(f"{name} on {server}: {len(walk)} files", *walk, sep="\n  ")
