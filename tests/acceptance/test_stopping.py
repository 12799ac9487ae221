"""Real servers that stop or reload under load: no sender is reset, none waits in vain."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.stopping_senders import FLOW, check_stop


@pytest.mark.promise(8)
@pytest.mark.rule(41)
@pytest.mark.parametrize("kind", ["hypercorn", "uvicorn"])
def test_a_stop_under_load_resets_no_connection_and_keeps_none_waiting(
    make_server: Callable[..., ServerProcess], kind: Literal["hypercorn", "uvicorn"]
) -> None:
    server = make_server("--server", kind, "--drain-delay", "0.5")
    server.flow(FLOW)
    server.start()
    check_stop(server, senders=10, rejected=50)


@pytest.mark.long
@pytest.mark.promise(8)
@pytest.mark.rule(41)
@pytest.mark.parametrize("kind", ["hypercorn", "uvicorn"])
def test_a_stop_under_heavy_load_resets_none_of_a_thousand_connections(
    make_server: Callable[..., ServerProcess], kind: Literal["hypercorn", "uvicorn"]
) -> None:
    server = make_server("--server", kind, "--drain-delay", "5")
    server.flow(FLOW)
    server.start()
    # The delay is long enough for a thousand on a busy machine.
    seen = check_stop(server, senders=60, rejected=1_000_000)
    assert sum(seen.values()) > 1000


@pytest.mark.rule(41)
def test_a_server_that_drains_is_not_ready_and_accepts(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server("--drain-delay", "60")
    server.flow(FLOW)
    server.start()
    os.kill(server.pid, signal.SIGTERM)
    eventually("the server isn't ready", lambda: server.get("/readyz")[0] == 503)
    status, _, headers = server.request("POST", "/hook/f", b"{}", {"Content-Type": "application/json"})
    assert (status, {name.lower(): value for name, value in headers.items()}["connection"]) == (202, "close")
    # A second signal has no patience.
    os.kill(server.pid, signal.SIGINT)
    assert server.died(10) == 1


@pytest.mark.rule(41)
def test_sighup_reloads_and_never_ends_a_server(make_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = make_server()
    server.flow(FLOW)
    server.launch()
    server.eventually("the server has begun to start", lambda: (tmp_path / ".hookline").exists())
    os.kill(server.pid, signal.SIGHUP)
    server.eventually("the server is ready", server.is_ready)

    def reloaded(what: str) -> None:
        lines = server.log().count(what)
        os.kill(server.pid, signal.SIGHUP)
        server.eventually(what, lambda: server.log().count(what) > lines)

    (tmp_path / "hookline.toml").write_text('log_level = "debug"\ngrace = 3.0\n')
    server.flow({**FLOW, "id": "new"})
    reloaded("reloaded")
    assert "log_level" in server.log()
    assert "['grace']" in server.log()
    # The settings come before the flows.
    server.eventually("the new flow is served", lambda: server.post("new", {})[0] == 202)
    (tmp_path / "hookline.toml").write_text('log_level = "loud"\n')
    reloaded("reloading failed")
    for _ in range(20):
        os.kill(server.pid, signal.SIGHUP)
    assert server.post("f", {})[0] == 202
    os.kill(server.pid, signal.SIGHUP)
    assert server.stop() == 0
