"""Each client command gives the same against a remote server as on the server's own machine."""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN
from tests.integration.cli.places import Place, Transcript, elsewhere, here

from hookline.cli.command import Command
from hookline.cli.main import COMMANDS, main

OPEN = {"use": "webhook", "with": {"verify": "none"}}
NO = {"id": "no", "use": "fail", "with": {"code": "order.wrong", "message": "not today"}}
FLOWS: dict[str, dict[str, Any]] = {
    "fails": {"id": "fails", "trigger": OPEN, "steps": [NO]},
    "holds": {
        "id": "holds",
        "trigger": OPEN,
        "order_by": "$.body.key",
        "order_on_failure": "hold",
        "steps": [NO],
    },
    "asks": {
        "id": "asks",
        "trigger": OPEN,
        "steps": [
            {"id": "answer", "use": "webhook", "with": {"timeout": "1d"}},
            {"id": "told", "use": "map", "with": {"body": {"answer": "$.body"}}},
        ],
    },
    "greets": {
        "id": "greets",
        "trigger": OPEN,
        "steps": [{"id": "hello", "use": "map", "with": {"body": {"hello": "$.body.name"}}}],
    },
}
#: The changed flow of the test, in the folder of the commands.
CHANGED = {**FLOWS["greets"], "steps": [{"id": "hello", "use": "map", "with": {"body": {"bye": "$.body.name"}}}]}


def write(folder: Path, *documents: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for one in documents:
        (folder / f"{one['id']}.json").write_text(json.dumps(one), encoding="utf-8")


@contextlib.contextmanager
def two_places(folder: Path) -> Iterator[list[Place]]:
    """Two servers with the same flows: the one is used from its own folder, the other from elsewhere."""
    servers = []
    made: list[Place] = []
    for name in ("near", "far"):
        (folder / name).mkdir()
        server = ForkedServer(folder / name, "--flows", "database")
        server.launch()
        servers.append(server)
    try:
        for server in servers:
            server.eventually("the server is ready", server.is_ready, 60)
        made = [here(servers[0]), elsewhere(servers[1], folder / "machine")]
        for place in made:
            place.environment["HOOKLINE_FLOWS"] = "flows"
            write(place.folder / "flows", *FLOWS.values())
            (place.folder / "event.json").write_text('{"name": "Ann", "key": 1}', encoding="utf-8")
        yield made
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    with two_places(tmp_path_factory.mktemp("places")) as made:
        yield made


def client_commands() -> set[str]:
    found: set[str] = set()

    def add(name: str, command: click.Command) -> None:
        if isinstance(command, Command) and command.remote:
            found.add(name)
        inside: dict[str, click.Command] = getattr(command, "commands", {})
        for inner, one in inside.items():
            add(f"{name} {inner}", one)

    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        add(name, command)
    return found


class Scenario:
    """A day of an operator, in which each client command has its turn."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.said = Transcript(place)
        self.run = self.said.run

    def started(self, flow: str, state: str) -> str:
        """Start a flow, and return the id of the execution once it is in a state."""
        body = json.loads((self.place.folder / "event.json").read_text(encoding="utf-8"))
        status, answer = self.place.server.post(flow, body)
        assert status == 202, answer
        self.reaches(answer["execution_id"], state)
        return str(answer["execution_id"])

    def reaches(self, execution_id: str, state: str) -> None:
        server = self.place.server
        path = f"/api/v1/executions/{execution_id}"
        server.eventually(f"{execution_id} is {state}", lambda: server.get(path)[1]["state"] == state)

    def both(self, *arguments: str) -> None:
        """Run a command that reads, as text and as JSON."""
        self.run(*arguments)
        self.run(*arguments, "--json")

    def deploys(self) -> None:
        self.run("deploy", "--yes", "--message", "the first")
        self.run("deploy", "--yes")
        self.both("flows", "list")
        self.both("flows", "show", "asks")
        self.run("flows", "show", "akss")
        for decision in ("pause", "stop", "resume", "reset"):
            self.run("flows", decision, "greets")
        self.run("check", "flows")
        self.run("credentials", "set", "gh", "--type", "github", "secret=0123456789abcdef")
        self.run("credentials", "set", "wrong", "--type", "github", "sekret=x")
        self.both("credentials", "list")
        self.run("credentials", "set", "gh", "--flow", "greet-*", "--host", "api.github.com")
        self.both("credentials", "show", "gh")
        self.run("credentials", "verify", "gh")
        self.run("credentials", "authorize", "gh")
        self.run("credentials", "rotate", "--master")
        self.run("credentials", "delete", "gh")

    def runs(self) -> None:
        self.run("start", "greets", "-i", "event.json")
        self.run("send", "greets", "event.json", "--json")
        self.place.server.eventually("all have run", self.place.server.drained)
        waiting, other = self.started("asks", "waiting"), self.started("asks", "waiting")
        failed = self.started("fails", "failed")
        self.both("executions", "list")
        self.both("executions", "list", "--flow", "asks", "--state", "waiting")
        self.run("executions", "show", failed[-8:])
        self.run("executions", "show", "00000000")
        self.run("executions", "resume", waiting, "answer", "-i", "event.json")
        self.reaches(waiting, "succeeded")
        self.run("executions", "explain", waiting, "steps.told.body.answer")
        self.run("executions", "cancel", other)
        self.reaches(other, "cancelled")
        self.both("dead-letters", "list")
        cause = json.loads(self.place.ok("dead-letters", "list", "--json", "--flow", "fails"))["items"][0]["cause"]
        self.run("dead-letters", "show", cause)
        self.run("executions", "release", self.started("holds", "failed"))
        self.run("executions", "retry", failed)
        self.reaches(failed, "failed")
        self.run("dead-letters", "retry", cause)
        self.reaches(failed, "failed")
        self.run("executions", "replay", failed, "--edit", "$.body.key=2")
        self.place.server.eventually("the replay has run", self.place.server.drained)
        self.run("executions", "discard", "--all", "--flow", "fails")
        self.started("fails", "failed")
        self.run("dead-letters", "replay", cause)
        self.place.server.eventually("the other replay has run", self.place.server.drained)
        self.run("dead-letters", "discard", cause)
        self.run("test", "--from-execution", waiting)
        self.run("test", "--from-execution", waiting, "--write")

    def changes(self) -> None:
        waiting = self.started("asks", "waiting")
        longer = {
            **FLOWS["asks"],
            "steps": [{"id": "first", "use": "log", "with": {"message": "x"}}, *FLOWS["asks"]["steps"]],
        }
        write(self.place.folder / "flows", CHANGED, longer)
        self.both("diff")
        self.run("flows", "plan", "asks")
        self.run("backtest", "greets")
        self.run("deploy", "--yes", "--json")
        self.both("deployments", "list")
        listed = json.loads(self.place.ok("deployments", "list", "--json"))["items"]
        self.run("deployments", "show", listed[-1]["id"])
        self.both("flows", "versions", "asks")
        self.run("executions", "move", waiting, "--to", "current")
        self.run("flows", "rollback", "greets")
        self.run("graph", "greets@current", "--format", "mermaid")
        self.run("deployments", "rollback", listed[-1]["id"], "--yes")
        self.run("flows", "export", "backup")
        assert {file.name for file in (self.place.folder / "backup").iterdir()} >= {"asks.json", "greets.json"}

    def administers(self) -> None:
        self.run("state", "set", "greets", "count", "7")
        self.both("state", "list", "greets")
        self.run("state", "get", "greets", "count")
        self.run("state", "delete", "greets", "count")
        self.run("tokens", "create", "ci", "--scope", "read", "--flow", "greets")
        self.both("tokens", "list")
        self.run("tokens", "revoke", "ci")
        self.both("open")
        self.run("components", "http.request")
        self.run("components", "http.reqest")
        self.run("components", "options", "http.request", "url")
        self.place.server.request("POST", "/hook/greets", b"{", {"Content-Type": "application/json"})
        self.place.server.eventually(
            "the rejected request is stored", lambda: bool(self.place.server.get("/api/v1/rejected")[1]["items"])
        )
        self.both("rejected")
        self.both("attention")
        self.both("storage")
        self.both("audit", "--limit", "200")
        self.run("audit", "--export")
        self.both("nodes", "list")
        self.run("nodes", "drain", "nobody")

    def authors(self) -> None:
        self.run("drafts", "save", "later", "event.json")
        self.run("drafts", "save", "later", "event.json")
        self.both("drafts", "list")
        self.both("drafts", "show", "later")
        self.run("drafts", "delete", "later")
        self.run("captures", "open", "later")
        self.place.server.request("POST", "/hook/later", b"{}", {"Content-Type": "application/json"})
        self.place.server.eventually(
            "the request is captured",
            lambda: bool(self.place.server.get("/api/v1/captures/later/requests")[1]["items"]),
        )
        self.both("captures", "list")
        self.both("captures", "requests", "later")
        captured = self.place.json("captures", "requests", "later")["items"][0]["id"]
        self.run("captures", "show", "later", captured)
        self.run("captures", "close", "later")
        self.run("captures", "delete", "later")

    def follows(self) -> None:
        over = threading.Event()

        def send() -> None:
            while not over.wait(0.1):
                self.place.server.post("greets", {"name": "Ann"})

        sender = threading.Thread(target=send)
        sender.start()
        try:
            done = self.place.run("executions", "tail", "--count", "1", "--flow", "greets", "--json")
        finally:
            over.set()
            sender.join()
        assert json.loads(done.stdout)["event"], done.output
        self.said.commands.append("executions tail")


STAGES: tuple[Callable[[Scenario], None], ...] = (
    Scenario.deploys,
    Scenario.runs,
    Scenario.changes,
    Scenario.administers,
    Scenario.authors,
    Scenario.follows,
)


def _entries(text: str) -> list[str]:
    """The lines of a text, and the items of a JSON list.

    The operations of a bulk are audited in the order in which they end, so neither the order of audit entries nor their
    ids are compared.
    """
    return sorted(_AUDITED.sub("", entry) for entry in re.split(r"\n|(?<=\}),", text))


_AUDITED = re.compile(r'"id":"id\d+",(?="at":"TIME","actor")')


@pytest.mark.long  # each of some ninety commands runs twice
@pytest.mark.timeout(120)
def test_each_client_command_gives_the_same_from_another_machine(tmp_path: Path) -> None:
    with two_places(tmp_path) as places:
        same_in(places)


def same_in(places: list[Place]) -> None:
    near, far = (Scenario(place) for place in places)
    for stage in STAGES:
        for scenario in (near, far):
            stage(scenario)
        for this, other in zip(near.said.lines, far.said.lines, strict=True):
            assert _entries(other) == _entries(this), stage.__name__
    ran = {name for name in client_commands() if any(f"{one} ".startswith(f"{name} ") for one in far.said.commands)}
    assert client_commands() - ran == set()
    assert not (far.place.folder / ".hookline").exists()
    shutil.rmtree(far.place.folder)


def test_the_option_may_be_anywhere_and_the_one_nearest_to_the_command_wins(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    far = places[1]
    monkeypatch.delitem(far.environment, "HOOKLINE_REMOTE")
    near_url = places[0].server.url
    places[0].ok("deploy", "--yes")
    for arguments in (
        ("--remote", "there", "flows", "list"),
        ("flows", "--remote", "there", "list"),
        ("flows", "list", "--remote", "there"),
        ("--remote", "nowhere", "flows", "list", "--remote", "there"),
        ("flows", "list", "--remote", far.server.url),
    ):
        assert json.loads(far.ok(*arguments, "--json"))["items"] == []
    monkeypatch.setitem(far.environment, "HOOKLINE_REMOTE", near_url)
    monkeypatch.setitem(far.environment, "HOOKLINE_TOKEN", TOKEN)
    assert len(far.json("flows", "list")["items"]) == len(FLOWS)
    assert far.json("flows", "list", "--remote", "there")["items"] == []


def test_a_command_of_this_machine_takes_no_remote_server(places: list[Place]) -> None:
    far = places[1]
    assert "works only on this machine" in far.error("--remote", "there", "run", "greets", code=2)
    assert "works only on this machine" in far.error("--remote", "there", "credentials", "new-key", code=2)
    assert "leave one of them out" in far.error("executions", "list", "--db", "sqlite:///x.db", code=2)
    # The variable is for commands that are clients.
    assert "hello" in far.ok("run", "greets", "-i", "event.json")


def test_a_token_that_is_not_valid_or_not_allowed_is_told(places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    far = places[1]
    reader = far.json("tokens", "create", "reader", "--scope", "read")["token"]
    monkeypatch.setitem(far.environment, "HOOKLINE_TOKEN", reader)
    assert far.json("executions", "list")["items"] == []
    assert "scope" in far.error("flows", "pause", "greets")
    monkeypatch.setitem(far.environment, "HOOKLINE_TOKEN", "hookline_wrong")
    assert "token" in far.error("executions", "list")
