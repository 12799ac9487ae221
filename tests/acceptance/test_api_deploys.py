"""Deploying over the API to real servers: authors at the same time, sets of flows, and editors of files."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import TOKEN, ServerProcess

AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
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


@pytest.fixture(
    params=[
        ("flows", "sqlite"),
        ("database", "sqlite"),
        # Only the database is another one.
        pytest.param(("flows", "postgresql"), marks=(pytest.mark.postgres, pytest.mark.long)),
        pytest.param(("database", "postgresql"), marks=(pytest.mark.postgres, pytest.mark.long)),
    ],
    ids="-".join,
)
def server(request: pytest.FixtureRequest, make_server: Callable[..., ServerProcess]) -> Iterator[ServerProcess]:
    flows, database = request.param
    with postgres_schema() if database == "postgresql" else nullcontext() as url:
        server = make_server("--flows", flows, environment={"HOOKLINE_DB": url} if url else {})
        server.start()
        yield server
        assert server.stop() == 0


def at_once(*requests: Callable[[], tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Send requests at the same time; gives the answers."""
    ready = threading.Barrier(len(requests))

    def send(request: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        ready.wait()
        return request()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(send, requests))


def test_of_two_authors_at_once_one_gets_412_and_nothing_is_lost(server: ServerProcess) -> None:
    status, created = put(server, flow("f", 0), {"If-None-Match": "*"})
    assert status == 201, created
    assert put(server, flow("f", 9), {"If-None-Match": "*"})[0] == 412
    match = {"If-Match": f'"{created["version"]}"'}
    answers = at_once(lambda: put(server, flow("f", 1), match), lambda: put(server, flow("f", 2), match))
    assert sorted(status for status, _ in answers) == [200, 412]
    (won,) = (answer for status, answer in answers if status == 200)
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


def test_of_two_sets_at_once_one_gets_412_and_nothing_is_lost(server: ServerProcess) -> None:
    """They have one flow in common."""
    created = {one: put(server, flow(one, 0))[1]["version"] for one in ("a", "b", "c")}

    def both(number: int, *names: str) -> tuple[int, Any]:
        flows = {one: flow(one, number) for one in names}
        return deploy(server, flows=flows, expected={one: created[one] for one in names})

    answers = at_once(lambda: both(1, "a", "b"), lambda: both(2, "b", "c"))
    assert sorted(status for status, _ in answers) == [200, 412]
    (won,) = (answer["deployment"] for status, answer in answers if status == 200)
    assert served(server) == created | {one["flow_id"]: one["version"] for one in won["flows"]}
    entries = server.get("/api/v1/audit")[1]["items"]
    assert len(entries) == 3 + 2
    assert {one["flow_version"] for one in entries[:2]} == {one["version"] for one in won["flows"]}


@pytest.mark.timeout(300)  # a busy machine may be slow to see a file
def test_an_edit_of_a_file_is_never_lost_when_the_flow_is_deployed_at_once(
    make_server: Callable[..., ServerProcess],
) -> None:
    """The edit comes first, and the deployment gets 409; or it comes last, and is deployed next."""
    server = make_server()
    server.start()
    assert put(server, flow("f", 0))[0] == 201
    file = server.folder / "flows" / "f.json"

    def edit(number: int) -> tuple[int, Any]:
        draft = file.with_name(".draft")
        draft.write_text(json.dumps(flow("f", number)), encoding="utf-8")
        draft.replace(file)
        return 0, None

    for number in range(1, 4):
        deployed, edited = flow("f", number), flow("f", 100 + number)
        _, (status, answer) = at_once(partial(edit, 100 + number), partial(put, server, deployed))
        assert status in (200, 409), answer
        server.eventually("the edited file serves", partial(does_serve, server, edited), 120)
        kept = [document_of(server, one["version"]) for one in server.get(f"{FLOWS}/f/versions")[1]["items"]]
        assert (deployed in kept) == (status == 200)
        assert json.loads(file.read_text(encoding="utf-8")) == edited
    assert server.stop() == 0


def document_of(server: ServerProcess, version: str) -> Any:
    return server.get(f"{FLOWS}/f/versions/{version}")[1]["document"]


def does_serve(server: ServerProcess, document: Mapping[str, Any]) -> bool:
    return bool(document_of(server, "current") == document)
