"""A changed flow over executions that a real server has recorded."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

FLOW: dict[str, Any] = json.loads((Path(__file__).parents[2] / "flows" / "stripe-payment.json").read_text())
COUNT = 500
FAILED = 100


def event(number: int) -> dict[str, Any]:
    failed = number < FAILED
    data = {"id": f"pi_{number}", "last_payment_error": {"message": "no money"}}
    return {"type": "payment_intent.payment_failed" if failed else "customer.created", "data": {"object": data}}


def changed(**vars: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(FLOW))
    document["trigger"]["with"]["verify"] = "none"
    document["vars"].update(vars)
    document["steps"].append({"id": "told", "use": "map", "with": {"body": {"type": "$.trigger.body.type"}}})
    return document


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, dict[str, Any]]]:
    sink = Sink()
    sink.start()
    server = ForkedServer(tmp_path_factory.mktemp("recorded"))
    document = changed(chat=sink.url)
    server.flow(document)
    server.start()

    def send(number: int) -> None:
        data = json.dumps(event(number)).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{server.url}/hook/stripe-payment", data, headers)) as response:
            assert response.status < 300

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(COUNT)))
    done = ("executions", "list", "--flow", "stripe-payment", "--state", "queued", "--json")
    eventually(
        "all have run", lambda: not json.loads(server.run(*done).stdout)["items"] and len(sink.received) == FAILED
    )
    yield server, document
    if server.running:
        server.kill()
    sink.stop()


def run(server: ServerProcess, document: dict[str, Any]) -> dict[str, Any]:
    server.folder.joinpath("changed").mkdir(exist_ok=True)
    server.folder.joinpath("changed", "stripe-payment.json").write_text(json.dumps(document))
    found: dict[str, Any] = json.loads(server.run("backtest", "stripe-payment", "--flows", "changed", "--json").stdout)
    return found


@pytest.mark.long  # 500 requests to a real server come first
def test_the_flow_as_it_was_does_as_it_did(recorded: Any) -> None:
    server, document = recorded
    found = run(server, document)
    counts = {"executions": COUNT, "same": COUNT, "unknown": 0}
    assert found == {"flow_id": "stripe-payment", **counts, "kinds": [], "left_out": []}


@pytest.mark.long
def test_a_changed_setting_is_a_changed_call_that_the_recording_answers(recorded: Any) -> None:
    server, document = recorded
    text = json.dumps(document).replace("failed: {{", "didn't work: {{")
    found = run(server, json.loads(text))
    (kind,) = found["kinds"]
    assert (kind["kind"], kind["step"], kind["count"]) == ("changed call", "kind/tell", FAILED)
    assert kind["examples"][0]["after"].endswith("didn't work: no money")
    assert found["same"] == COUNT - FAILED


@pytest.mark.long
def test_a_changed_mapping_shows_exactly_the_outputs_that_it_changes(recorded: Any) -> None:
    server, document = recorded
    mapped = json.loads(json.dumps(document))
    mapped["steps"][1]["with"]["body"]["type"] = "{{ trigger.body.type | replace('payment_failed', 'failed') }}"
    found = run(server, mapped)
    (kind,) = found["kinds"]
    assert (kind["kind"], kind["step"], kind["count"]) == ("output", "told", FAILED)
    example = kind["examples"][0]
    assert example["place"] == "told.body.type"
    assert (example["before"], example["after"]) == ("payment_intent.payment_failed", "payment_intent.failed")
    assert (found["unknown"], found["same"]) == (0, COUNT - FAILED)


@pytest.mark.long
def test_what_follows_a_call_that_is_not_recorded_is_unknown(recorded: Any) -> None:
    server, document = recorded
    added = json.loads(json.dumps(document))
    added["steps"][0]["switch"][1]["steps"][0]["id"] = "tell_others"
    found = run(server, added)
    assert (found["unknown"], found["same"]) == (FAILED, COUNT - FAILED)
    assert [(kind["kind"], kind["step"], kind["count"]) for kind in found["kinds"]] == [
        ("new call", "kind/tell_others", FAILED)
    ]


@pytest.mark.long
def test_without_a_server_the_database_is_read(recorded: Any) -> None:
    server, document = recorded
    server.stop()
    run(server, document)
    shown = server.run("backtest", "stripe-payment", "--flows", "changed", "--last", "7").stdout
    assert shown == "7 executions of stripe-payment: 7 as before\n"
