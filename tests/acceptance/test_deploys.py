"""Deploying, pausing and rolling back under load, over a real server."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

#: Senders side by side, and what each sends in all.
SENDERS = 4
PAUSE = 0.02
"""Seconds between the messages of one sender."""


def flow(number: int, **settings: Any) -> dict[str, Any]:
    """A flow that says which deploy it came with, and waits for a moment before it does."""
    return {
        "id": "deployed",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        **settings,
        "steps": [
            {"id": "before", "use": "log", "with": {"message": "begun"}},
            {"id": "number", "use": "map", "with": {"body": {"n": "$.trigger.body.n", "deploy": number}}},
        ],
    }


@pytest.fixture
def server(make_server: Callable[..., ServerProcess]) -> Iterator[ServerProcess]:
    """A server over one flow."""
    server = make_server()
    server.flow(flow(0))
    server.start()
    yield server
    assert server.stop() == 0


def given(server: ServerProcess, *arguments: str) -> Any:
    return json.loads(server.run(*arguments, "--json").stdout)


def put(server: ServerProcess, document: Mapping[str, Any]) -> None:
    """Replace a flow's file at once, as those who deploy do."""
    flows = server.folder / "flows"
    new = flows / ".new"
    new.write_text(json.dumps(document), encoding="utf-8")
    new.replace(flows / f"{document['id']}.json")


def serving(server: ServerProcess) -> str:
    version: str = server.get("/api/v1/flows/deployed")[1]["version"]
    return version


@pytest.mark.promise(1, 6)
@pytest.mark.rule(11)
def test_a_deploy_under_load_loses_nothing_and_starts_nothing_on_an_old_version(server: ServerProcess) -> None:
    answers: list[int] = []
    deployed = threading.Event()

    def send(sender: int) -> None:
        while not deployed.wait(PAUSE):
            answers.append(server.post("deployed", {"sender": sender, "n": len(answers)})[0])

    def came(count: int) -> bool:
        return len(answers) >= count

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for sender in senders:
        sender.start()
    versions, served = [serving(server)], [datetime.min.replace(tzinfo=UTC)]
    for number in (1, 2, 3):
        eventually("messages come", partial(came, len(answers) + 10))
        put(server, flow(number))
        eventually("it serves", lambda: serving(server) != versions[-1])
        versions.append(serving(server))
        served.append(datetime.now(UTC))
    eventually("messages come", partial(came, len(answers) + 10))
    deployed.set()
    for sender in senders:
        sender.join()
    assert set(answers) == {202}
    eventually("all have run", server.drained)

    kept = {one["version"] for one in given(server, "flows", "versions", "deployed")["items"]}
    assert [one for one in versions if one not in kept] == []
    executions = server.executions(flow_id="deployed")
    assert len(executions) == len(answers)
    for execution in executions:
        assert execution["outcome"] == "completed"
        started = datetime.fromisoformat(execution["started_at"])
        current = sum(at <= started for at in served) - 1
        # It may be one that served a moment before it was seen.
        assert versions.index(execution["flow_version"]) >= current
    assert {execution["flow_version"] for execution in executions} == set(versions)


@pytest.mark.long  # it starts a server twice
def test_a_flow_is_paused_stopped_and_resumed_over_restarts_and_rolled_back(server: ServerProcess) -> None:
    waits = flow(1)
    waits["steps"].insert(1, {"id": "approve", "use": "webhook", "with": {"timeout": "1h"}})
    put(server, waits)
    first = serving(server)
    eventually("it serves", lambda: serving(server) != first)
    _, begun = server.post("deployed", {"n": 1})

    def state(execution_id: str) -> str:
        found: str = server.get(f"/api/v1/executions/{execution_id}")[1]["state"]
        return found

    eventually("it waits", lambda: state(begun["execution_id"]) == "waiting")
    assert "paused (its file says active)" in server.run("flows", "pause", "deployed").stdout
    status, kept = server.post("deployed", {"n": 2})
    assert status == 202
    assert server.stop() == 0
    server.start()
    # What has begun is moved, and goes on to its end, while what was kept is not begun.
    more = {**waits, "steps": [*waits["steps"], {"id": "after", "use": "map", "with": {"body": "moved"}}]}
    (server.folder / "later.json").write_text(json.dumps(more), encoding="utf-8")
    plan = given(server, "flows", "plan", "deployed", "--file", "later.json")
    assert [(one["fits"], one["lands"]) for one in plan["items"]] == [(True, ["approve"])]
    put(server, more)
    eventually("it serves", lambda: serving(server) == plan["version"])
    moved = given(server, "executions", "move", begun["execution_id"], "--to", "current")
    assert moved["items"] == [{"id": begun["execution_id"], "moved": True, "version": plan["version"]}]
    server.run("executions", "resume", begun["execution_id"], "approve")
    ended = server.ended(begun["execution_id"])
    assert (ended["flow_version"], ended["steps"][-1]["output"]["body"]) == (plan["version"], "moved")
    assert state(kept["execution_id"]) == "queued"

    assert "stopped" in server.run("flows", "stop", "deployed").stdout
    assert server.post("deployed", {"n": 3})[0] == 404
    assert "no difference" in server.run("diff", "deployed").stdout
    done = given(server, "flows", "rollback", "deployed", first[:8])
    assert (done["version"], serving(server)) == (first, first)
    assert json.loads((server.folder / done["file"]).read_text(encoding="utf-8"))["steps"] == flow(0)["steps"]
    server.run("flows", "resume", "deployed")
    ended = server.ended(kept["execution_id"])
    assert (ended["flow_version"], ended["outcome"]) == (first, "completed")
