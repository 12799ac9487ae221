"""Deploying over the API to real servers: authors at the same time, kills, and pulls of many files under load."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.acceptance.server_process import TOKEN, ServerProcess

AUTH = {"Authorization": f"Bearer {TOKEN}"}
FLOWS = "/api/v1/flows"


def flow(flow_id: str, number: int) -> dict[str, Any]:
    """A flow that says its own name and with which deployment it came."""
    return {
        "id": flow_id,
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "steps": [
            {"id": "first", "use": "map", "with": {"body": {"flow": flow_id, "first": number}}},
            {"id": "log", "use": "log", "with": {"message": "between"}},
            {"id": "second", "use": "map", "with": {"body": {"first": "$.body.first", "second": number}}},
        ],
    }


def put(
    server: ServerProcess, document: Mapping[str, Any], headers: Mapping[str, str] | None = None, query: str = ""
) -> tuple[int, Any]:
    path = f"{FLOWS}/{document['id']}{query}"
    status, answer, _ = server.request("PUT", path, json.dumps(document).encode(), {**AUTH, **(headers or {})})
    return status, answer


def deploy(server: ServerProcess, **body: Any) -> tuple[int, Any]:
    status, answer, _ = server.request("POST", "/api/v1/deployments", json.dumps(body).encode(), AUTH)
    return status, answer


def served(server: ServerProcess) -> dict[str, str]:
    """The version that serves of each flow."""
    return {one["id"]: one["version"] for one in server.get(FLOWS)[1]["items"]}


@pytest.fixture(params=["flows", "database"])
def server(request: pytest.FixtureRequest, make_server: Callable[..., ServerProcess]) -> Iterator[ServerProcess]:
    server = make_server("--flows", request.param)
    server.start()
    yield server
    assert server.stop() == 0


def test_of_two_authors_at_once_one_gets_412_and_nothing_is_lost(server: ServerProcess) -> None:
    status, created = put(server, flow("f", 0), {"If-None-Match": "*"})
    assert status == 201, created
    assert put(server, flow("f", 9), {"If-None-Match": "*"})[0] == 412
    answers: dict[int, tuple[int, Any]] = {}
    ready = threading.Barrier(2)

    def author(number: int) -> None:
        ready.wait()
        answers[number] = put(server, flow("f", number), {"If-Match": f'"{created["version"]}"'})

    authors = [threading.Thread(target=author, args=(number,)) for number in (1, 2)]
    for one in authors:
        one.start()
    for one in authors:
        one.join()
    assert sorted(status for status, _ in answers.values()) == [200, 412]
    (won,) = (answer for status, answer in answers.values() if status == 200)
    assert served(server) == {"f": won["version"]}
    history = server.get("/api/v1/deployments")[1]["items"]
    assert [(one["flows"][0]["version"], one["flows"][0]["before"]) for one in history] == [
        (won["version"], created["version"]),
        (created["version"], None),
    ]


def test_a_set_with_one_wrong_flow_changes_nothing_and_a_right_one_is_rolled_back_as_a_whole(
    server: ServerProcess,
) -> None:
    first = {f"f{number}": flow(f"f{number}", 0) for number in range(10)}
    status, done = deploy(server, flows=first, message="the first")
    assert status == 200, done
    before = served(server)
    second = {flow_id: flow(flow_id, 1) for flow_id in first}
    wrong = {**second, "f7": {**flow("f7", 1), "steps": [{"id": "a", "use": "nowhere"}, {"id": "b", "use": "never"}]}}
    status, problem = deploy(server, flows=wrong)
    assert status == 422, problem
    assert {one["pointer"] for one in problem["problems"]} == {"/flows/f7/steps/0/use", "/flows/f7/steps/1/use"}
    assert served(server) == before
    assert len(server.get("/api/v1/deployments")[1]["items"]) == 1
    cases = {"cases": [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]}
    status, answer = deploy(server, flows={**second, "f9": None, "new": flow("new", 1)}, cases={"f1": cases})
    assert status == 200, answer
    assert served(server).keys() == {*first, "new"} - {"f9"}
    assert server.get(f"{FLOWS}/f1/cases")[1] == cases
    status, _, _ = server.request("POST", f"/api/v1/deployments/{done['deployment']['id']}/rollback", b"", AUTH)
    assert status == 200
    assert served(server) == before
    entries = server.get("/api/v1/audit?limit=200")[1]["items"]
    assert sum(one["operation"] == "flow.delete" for one in entries) == 2
    assert sum(one["operation"] == "flow.rollback" for one in entries) == 10
    assert len({one["subject"] for one in entries if one["operation"] == "flow.rollback"}) == 1
