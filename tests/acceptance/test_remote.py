"""A server that is administered from another network namespace, which shares no file and no loopback with it."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.own_network import OwnNetwork, network
from tests.acceptance.server_process import TOKEN, ServerProcess

__all__ = ["network"]
SECRET = "0123456789abcdef-secret"
SIGNED = {"use": "webhook", "with": {"verify": {"scheme": "github", "credential": "gh"}}}


class Machine:
    """A machine with its own network, home and folder."""

    def __init__(self, network: OwnNetwork, folder: Path) -> None:
        self.folder = folder
        self._prefix = network.prefix
        (folder / "home").mkdir(parents=True)
        (folder / "flows").mkdir()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HOOKLINE_", "XDG_"))}
        self._environment = clean | {"HOME": str(folder / "home"), "NO_COLOR": "1"}

    def run(self, *arguments: str, text: str | None = None, code: int = 0) -> str:
        """Run a command there, and return what it prints; its errors if it fails as expected."""
        command = [*self._prefix, sys.executable, "-m", "hookline.cli.main", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stderr if code else done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def flow(self, flow_id: str, *steps: object, **more: Any) -> None:
        document = {"id": flow_id, "trigger": SIGNED, "steps": steps, **more}
        (self.folder / "flows" / f"{flow_id}.json").write_text(json.dumps(document), encoding="utf-8")

    def webhook(self, url: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Send a message as the provider would, with a program that knows nothing of Hookline."""
        data = json.dumps(body)
        signature = "sha256=" + hmac.new(SECRET.encode(), data.encode(), hashlib.sha256).hexdigest()
        headers = ("-H", "Content-Type: application/json", "-H", f"X-Hub-Signature-256: {signature}")
        command = [*self._prefix, "curl", "-sS", "-w", "\n%{http_code}", *headers, "--data-binary", data, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        answer, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(answer)


@pytest.fixture
def server(make_server: Callable[..., ServerProcess]) -> Iterator[ServerProcess]:
    # Its address for the other namespace; the tests themselves use loopback.
    server = make_server("--flows", "database", "--host", "0.0.0.0")
    server.start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def machine(network: OwnNetwork, server: ServerProcess, tmp_path: Path) -> Machine:
    machine = Machine(network, tmp_path / "machine")
    url = f"http://{network.here[0]}:{server.port}"
    assert "--insecure" in machine.run("login", url, "--token-file", "-", text=TOKEN, code=2)
    said = machine.run("login", url, "--token-file", "-", "--profile", "prod", "--insecure", text=TOKEN)
    assert "scope admin" in said
    profiles = machine.folder / "home" / ".config" / "hookline" / "profiles.json"
    assert profiles.stat().st_mode & 0o777 == 0o600
    return machine


def versions(machine: Machine) -> dict[str, str]:
    return {one["id"]: one["version"] for one in machine.json("--remote", "prod", "flows", "list")["items"]}


def shown(machine: Machine, execution_id: str) -> dict[str, Any]:
    found: dict[str, Any] = machine.json("executions", "show", execution_id, "--remote", "prod")
    return found


@pytest.mark.long  # two dozen processes, one after the other
@pytest.mark.timeout(180)
def test_flows_are_deployed_run_changed_and_rolled_back_from_another_network(
    network: OwnNetwork, server: ServerProcess, machine: Machine
) -> None:
    machine.run("credentials", "set", "gh", "--type", "github", "secret=-", "--remote", "prod", text=SECRET)
    answer = {"id": "answer", "use": "webhook", "with": {"timeout": "1d"}}
    machine.flow("asks", answer)
    machine.flow("greets", {"id": "hello", "use": "map", "with": {"body": {"hello": "$.body.name"}}})
    first = machine.json("deploy", "--remote", "prod", "--yes", "--message", "the first")
    assert {one["change"] for one in first["flows"]} == {"added"}
    before = versions(machine)
    assert before.keys() == {"asks", "greets"}

    # A signed webhook, from there, and the execution that it starts.
    hook = f"http://{network.here[0]}:{server.port}/hook"
    status, accepted = machine.webhook(f"{hook}/greets", {"name": "Ann"})
    assert status == 202, accepted
    server.ended(accepted["execution_id"])
    execution = shown(machine, accepted["execution_id"])
    assert execution["trigger"]["verified_by"] == "github"
    assert execution["steps"][0]["output"]["body"] == {"hello": "Ann"}
    (machine.folder / "event.json").write_text('{"name": "Bob"}', encoding="utf-8")
    assert machine.json("send", "greets", "event.json", "--remote", "prod")["status"] == 202

    # A changed flow is deployed while an execution waits, which stays on its version until it is moved.
    status, accepted = machine.webhook(f"{hook}/asks", {})
    waiting = accepted["execution_id"]
    server.eventually("it waits", lambda: server.get(f"/api/v1/executions/{waiting}")[1]["state"] == "waiting")
    machine.flow("asks", answer, {"id": "told", "use": "map", "with": {"body": {"was": "$.body"}}})
    said = machine.run("deploy", "--remote", "prod", "--yes")
    assert "+ steps.told: map, after answer" in said
    assert f"{waiting} continues at answer" in said
    changed = versions(machine)
    assert (changed["greets"], changed["asks"] == before["asks"]) == (before["greets"], False)
    assert shown(machine, waiting)["flow_version"] == before["asks"]
    machine.run("executions", "move", waiting, "--to", "current", "--remote", "prod")
    machine.run("executions", "resume", waiting, "answer", "-i", "event.json", "--remote", "prod")
    server.ended(waiting)
    assert shown(machine, waiting)["steps"][-1]["output"]["body"] == {"was": {"name": "Bob"}}

    machine.run("deployments", "rollback", first["deployment"]["id"], "--yes", "--remote", "prod")
    assert versions(machine) == before
    entries = machine.json("audit", "--operation", "flow.rollback", "--remote", "prod")["items"]
    assert {one["address"] for one in entries} == {network.there}


@pytest.mark.long  # ten processes, one after the other
@pytest.mark.timeout(120)
def test_one_wrong_flow_of_ten_changes_nothing(server: ServerProcess, machine: Machine) -> None:
    for number in range(10):
        machine.flow(f"f{number}", {"id": "a", "use": "map", "with": {"body": number}})
    machine.run("deploy", "--remote", "prod", "--yes")
    before, history = versions(machine), machine.json("deployments", "list", "--remote", "prod")
    for number in range(10):
        machine.flow(f"f{number}", {"id": "a", "use": "map" if number != 7 else "mapp", "with": {"body": "new"}})
    for option in ("--check", "--no-check"):
        said = machine.run("deploy", "--remote", "prod", "--yes", option, code=1)
        assert "flows/f7.json:1: /steps/0/use: there is no action 'mapp' (did you mean 'map'?)" in said
        assert versions(machine) == before
    assert machine.json("deployments", "list", "--remote", "prod") == history
