"""Failures are found, understood and repaired by the command line, over a real server."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hookline.cli.main import main
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

ORDERS = {
    "id": "orders",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {"id": "order", "use": "map", "with": {"body": {"id": "$.body.id", "total": "{{ body.price * body.count }}"}}},
        {"id": "rate", "use": "map", "with": {"body": {"id": "$.body.id", "in_eur": "$.body.total"}}},
        {"id": "check", "use": "fail", "with": {"message": "order {{ body.id }} is closed", "code": "order.closed"}},
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all: each test has flows of its own."""
    made = ForkedServer(tmp_path_factory.mktemp("repairs"))
    made.start()
    yield made
    made.kill()


def cli(server: ServerProcess, *arguments: str, code: int = 0) -> Any:
    """What a command gives as JSON."""
    done = invoke(server, *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def invoke(server: ServerProcess, *arguments: str) -> Result:
    """A command in the server's folder."""
    with contextlib.chdir(server.folder):
        return CliRunner().invoke(main, arguments, env=server.environment())


def flow(server: ServerProcess, flow_id: str, *steps: dict[str, Any], **more: Any) -> None:
    """Write a flow, and wait until it serves."""
    document = {"id": flow_id, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps, **more}
    before = versions(server).get(flow_id)
    server.flow(document)
    eventually(f"flow {flow_id} serves", lambda: versions(server).get(flow_id) not in (None, before))


def versions(server: ServerProcess) -> dict[str, str]:
    return {one["id"]: one["version"] for one in server.get("/api/v1/flows")[1]["items"]}


def send(server: ServerProcess, flow_id: str, body: Any) -> str:
    """An execution that has ended."""
    status, answer = server.post(flow_id, body)
    assert status == 202, answer
    server.ended(answer["execution_id"])
    id_: str = answer["execution_id"]
    return id_


FAIL = {"id": "check", "use": "fail", "with": {"message": "order {{ body.n }} is closed", "code": "order.closed"}}
ONLY_EVEN = {
    "id": "sw",
    "switch": [{"when": "{{ body.n is divisibleby 2 }}", "steps": []}, {"otherwise": True, "steps": [FAIL]}],
}


@pytest.mark.promise(7)
@pytest.mark.rule(32)
def test_dead_letters_are_grouped_shown_edited_replayed_and_discarded(server: ServerProcess) -> None:
    flow(server, "dead", ONLY_EVEN)
    failed = [send(server, "dead", {"n": n}) for n in (1, 3, 5, 7)]
    send(server, "dead", {"n": 2})
    page = cli(server, "dead-letters", "list", "--flow", "dead")
    (group,) = page["items"]
    assert (group["count"], group["newest"], group["error"]["step"]) == (4, failed[-1], "sw/check")
    assert group["error"]["message"] == "order <n> is closed"
    assert server.get("/api/v1/dead-letters?flow_id=dead")[1] == page
    cause = group["cause"]
    shown = cli(server, "dead-letters", "show", cause)
    assert [one["id"] for one in shown["executions"]] == failed[::-1]
    assert shown["example"] == "order 7 is closed"
    assert "4 executions of dead failed at sw/check" in invoke(server, "dead-letters", "show", cause).stdout

    cli(server, "executions", "discard", failed[0])
    done = cli(server, "dead-letters", "replay", cause, "--edit", "$.body.n=4")
    assert [one["id"] for one in done["done"]] == failed[:0:-1]
    for one in done["done"]:
        again = server.ended(one["new_id"])
        assert (again["state"], again["replay_of"]) == ("succeeded", one["id"])
    assert cli(server, "dead-letters", "list", "--flow", "dead")["items"] == []
    gone = invoke(server, "dead-letters", "retry", cause)
    assert gone.exit_code == 1
    assert "no dead letters of the cause" in gone.stderr
    old = server.ended(failed[1])
    assert (old["state"], old["discarded_at"] is not None, old["cause"]) == ("failed", True, cause)


def test_many_executions_are_chosen_by_a_filter_and_only_with_all(server: ServerProcess) -> None:
    flow(server, "many", ONLY_EVEN)
    failed = [send(server, "many", {"n": n}) for n in (1, 3)]
    fine = send(server, "many", {"n": 2})
    rejected = invoke(server, "executions", "retry", "--flow", "many")
    assert rejected.exit_code == 2
    assert "--all" in rejected.stderr
    result = cli(server, "executions", "retry", "--flow", "many", "--code", "order.closed", "--since", "1h", "--all")
    assert [one["id"] for one in result["done"]] == failed[::-1]
    for id_ in failed:
        eventually("it has failed again", lambda id_=id_: server.ended(id_)["attempt"] == 2)
        steps = server.ended(id_)["steps"]
        assert [len(step["earlier"]) for step in steps if step["path"] == "sw/check"] == [1]
    none = cli(server, "executions", "retry", "--flow", "many", "--until", "2020-01-01T00:00:00Z", "--all")
    assert none["done"] == []
    mixed = cli(server, "executions", "discard", failed[0], fine, code=1)
    assert [one["id"] for one in mixed["done"]] == [failed[0]]
    assert [(one["id"], one["code"]) for one in mixed["rejected"]] == [(fine, "execution.state")]
    listed = cli(server, "executions", "list", "--flow", "many", "--outcome", "failed")
    assert [one["id"] for one in listed["items"]] == failed[::-1]


def test_a_bulk_operation_that_was_stopped_goes_on_with_its_cursor(server: ServerProcess) -> None:
    flow(server, "stopped", {"id": "m", "use": "map", "with": {"body": 1}})
    made = [send(server, "stopped", n) for n in range(3)]
    first = server.api("POST", "/api/v1/executions/many", {"do": "replay", "flow_id": "stopped", "limit": 2})
    assert [one["id"] for one in first["done"]] == made[:0:-1]
    rest = cli(
        server, "executions", "replay", "--flow", "stopped", "--cursor", first["next"], "--until", "2100-01-01", "--all"
    )
    assert [one["id"] for one in rest["done"]] == [made[0]]


def test_an_execution_is_replayed_from_a_step_with_another_input(server: ServerProcess, tmp_path: Path) -> None:
    flow(
        server,
        "chain",
        {"id": "a", "use": "map", "with": {"body": {"a": "$.body"}}},
        {"id": "b", "use": "map", "with": {"body": {"b": "$.body"}}},
    )
    first = send(server, "chain", 1)
    (tmp_path / "in.json").write_text('{"x": 12345678901234567890}')
    made = cli(server, "executions", "replay", first, "--from", "b", "--input", str(tmp_path / "in.json"))
    again = server.ended(made["done"][0]["new_id"])
    assert [(step["path"], step["output"]["body"]) for step in again["steps"]] == [
        ("a", {"a": 1}),
        ("b#input", {"x": 12345678901234567890}),
        ("b", {"b": {"x": 12345678901234567890}}),
    ]
    assert [one["id"] for one in cli(server, "executions", "list", "--replay-of", first)["items"]] == [again["id"]]
    wrong = invoke(server, "executions", "replay", first, "--from", "c")
    assert wrong.exit_code == 1
    assert "no step 'c'; its steps are a, b" in wrong.stderr


def test_what_waits_is_cancelled(server: ServerProcess) -> None:
    flow(server, "sleeper", {"id": "s", "use": "sleep", "with": {"for": "1d"}})
    _, answer = server.post("sleeper", None)
    id_ = answer["execution_id"]
    assert cli(server, "executions", "cancel", id_)["done"] == [{"id": id_, "new_id": None}]
    assert server.ended(id_)["state"] == "cancelled"
    again = invoke(server, "executions", "cancel", id_)
    assert again.exit_code == 1
    assert "is cancelled" in again.stderr


def test_a_value_is_explained_down_to_the_message(server: ServerProcess) -> None:
    flow(server, "explained", *ORDERS["steps"][:2])
    id_ = send(server, "explained", {"id": 7, "price": 3, "count": 2})
    found = cli(server, "executions", "explain", id_, "body.in_eur")
    assert (found["field"], found["value"], found["step"]) == ("body.in_eur", 6, "rate")
    (maker,) = found["made_by"]
    assert (maker["pointer"], maker["expression"]) == ("/steps/1/with/body/in_eur", "$.body.total")
    assert maker["file"].endswith("explained.json")
    (total,) = found["reads"]
    assert (total["field"], total["made_by"][0]["expression"]) == (
        "steps.order.body.total",
        "{{ body.price * body.count }}",
    )
    assert [(one["field"], one["value"]) for one in total["reads"]] == [
        ("trigger.body.price", 3),
        ("trigger.body.count", 2),
    ]
    text = invoke(server, "executions", "explain", id_, "body.in_eur").stdout
    assert "trigger.body.price = 3" in text
    nothing = invoke(server, "executions", "explain", id_, "steps.nothing.body")
    assert nothing.exit_code == 1
    assert "no step 'nothing'" in nothing.stderr


def test_what_happens_is_seen_as_it_happens(server: ServerProcess) -> None:
    flow(server, "seen", {"id": "m", "use": "map", "with": {"body": 1}})
    flow(server, "unseen", {"id": "m", "use": "map", "with": {"body": 1}})
    options = ["--flow", "seen", "--count", "4", "--json"]
    command = [sys.executable, "-m", "hookline.cli.main", "executions", "tail", *options]
    sent: list[str] = []
    with subprocess.Popen(
        command, cwd=server.folder, env=server.environment(), stdout=subprocess.PIPE, text=True
    ) as tail:

        def heard() -> bool:
            # Until it listens, nothing is told.
            if tail.poll() is None:
                send(server, "unseen", None)
                sent.append(send(server, "seen", None))
            return tail.poll() is not None

        try:
            eventually("the tail has seen four events", heard)
            assert tail.stdout is not None
            events = [json.loads(line) for line in tail.stdout.read().splitlines()]
        finally:
            tail.kill()
    kinds = [event["event"] for event in events]
    assert len(kinds) == 4
    start = kinds.index("execution.queued")
    whole = ["execution.queued", "execution.started", "step.finished", "execution.ended"]
    assert kinds[start:] == whole[: 4 - start]
    assert {event["data"]["flow_id"] for event in events} == {"seen"}
    assert {event["data"]["execution_id"] for event in events} <= set(sent)
