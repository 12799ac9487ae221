"""Killed while a step runs that must not run twice: its probe finds out how it went, and it is done once.

Each case starts two servers, with a plugin that is found as an installed one is.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

SIGKILL = -9

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PLUGIN = '''
from typing import Annotated, Any

from hookline.api import NOT_DONE, Connector, Context, FromVars, Signal, hookimpl

bank = Connector("bank")


async def find_payment(ctx: Context[None], url: str) -> dict[str, Any] | Signal:
    found = await ctx.http.get_json(f"{url}/payments", params={"key": ctx.idempotency_key})
    return found[0] if found else NOT_DONE


@bank.action(idempotent=False, probe=find_payment)
async def pay(ctx: Context[None], url: Annotated[str, FromVars()], amount: int) -> dict[str, Any]:
    """Pay."""
    return await ctx.http.post_json(f"{url}/payments", {"key": ctx.idempotency_key, "amount": amount})


@hookimpl
def register_connectors() -> list[Connector]:
    return [bank]
'''


class Bank:
    """Pays as often as it is told to, and knows what it has paid."""

    def __init__(self) -> None:
        self.paid: list[dict[str, Any]] = []
        bank = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = loads(self.rfile.read(int(self.headers["Content-Length"])))
                bank.paid.append({**body, "number": len(bank.paid) + 1})
                self._answer(bank.paid[-1])

            def do_GET(self) -> None:
                (key,) = parse_qs(urlsplit(self.path).query)["key"]
                self._answer([one for one in bank.paid if one["key"] == key])

            def _answer(self, value: Any) -> None:
                answer = dumps(value).encode()
                self.send_response(200)
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

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def installed(folder: Path) -> Mapping[str, str]:
    """Put the plugin where Python finds it, with its entry point; gives the variable that says where."""
    site = folder / "site"
    info = site / "hookline_bank-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "hookline_bank.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hookline-bank\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[hookline]\nbank = hookline_bank\n", encoding="utf-8")
    return {"PYTHONPATH": str(site)}


@pytest.mark.parametrize(
    ("fault", "attempt"),
    [("record.after_commit", 2), ("end.before_commit", 1)],
    ids=["it was marked, and did not run", "it ran, and its result was lost"],
)
def test_a_kill_leaves_nothing_unknown_where_there_is_a_probe(
    tmp_path: Path, bank: Bank, fault: str, attempt: int
) -> None:
    environment = installed(tmp_path)
    step = {"id": "pay", "use": "bank.pay", "with": {"url": "$.vars.bank", "amount": "$.body.amount"}}
    flow = {
        "id": "pay",
        "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}},
        "vars": {"bank": bank.url},
        "steps": [{**step, "delivery": "at_most_once"}],
    }
    message = {"id": "order-7", "amount": 12}
    first = ServerProcess(tmp_path, environment={**environment, "HOOKLINE_FAULT": fault})
    second = ServerProcess(tmp_path, environment=environment)
    first.flow(flow)
    try:
        first.launch()
        accepted, deadline = False, time.monotonic() + 60
        while first.running and time.monotonic() < deadline:
            if not accepted:
                with contextlib.suppress(OSError, HTTPException):  # not there yet, or dead
                    accepted = first.post("pay", message)[0] in (200, 202)
            time.sleep(0.02)
        assert not first.running, f"{fault} was not passed:\n{first.log()[-4000:]}"
        assert first.died() == SIGKILL
        assert len(bank.paid) == (0 if attempt == 2 else 1)
        second.start()
        assert second.post("pay", message)[0] in (200, 202)
        eventually("it has ended", lambda: all(one["outcome"] is not None for one in second.executions()))
        (execution,) = second.executions()
        assert execution["outcome"] == "completed"
        last = second.ended(execution["id"])["steps"][-1]
        assert (last["attempt"], last["output"]["body"]["number"]) == (attempt, 1)
        assert second.stop() == 0
    finally:
        for each in (first, second):
            if each.running:
                each.kill()
    assert [one["amount"] for one in bank.paid] == [12]
