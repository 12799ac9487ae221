"""Two `hookline serve` with roles of their own, on one PostgreSQL."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

KEY = "mCi7NFMiYYh5HdX_eWYU6aA0JM_tiXOm5SlGpJOcHDs="
ANSWERING = {
    "id": "answering",
    "trigger": {"use": "webhook", "with": {"verify": "none", "respond": "finished"}},
    "steps": [{"id": "sum", "use": "map", "with": {"body": {"sum": "{{ body.a + body.b }}"}}}],
}
FAILING = {
    "id": "failing",
    "trigger": {"use": "webhook", "with": {"verify": "none", "respond": "finished"}},
    "steps": [{"use": "fail", "with": {"message": "no"}}],
}


@pytest.fixture
def database() -> Iterator[str]:
    with postgres_schema() as url:
        yield url


@pytest.fixture
def make_node(tmp_path: Path, database: str) -> Iterator[Callable[..., ServerProcess]]:
    """Makes nodes over one database and one folder of flows, each with data of its own."""
    made: list[ServerProcess] = []

    def make(name: str, *options: str, **variables: str) -> ServerProcess:
        folder = tmp_path / name
        folder.mkdir()
        environment = {"HOOKLINE_DB": database, "HOOKLINE_NODE_NAME": name, "HOOKLINE_SECRET_KEY": KEY, **variables}
        node = ForkedServer(folder, "--flows", str(tmp_path / "flows"), *options, environment=environment)
        made.append(node)
        return node

    (tmp_path / "flows").mkdir()
    yield make
    for node in made:
        if node.running:
            node.kill()


def _write(tmp_path: Path, *flows: dict[str, object]) -> None:
    for flow in flows:
        (tmp_path / "flows" / f"{flow['id']}.json").write_text(json.dumps(flow), encoding="utf-8")


@pytest.mark.cluster_rule("C9", "C11")
def test_a_caller_gets_the_reply_of_an_execution_that_another_node_runs(
    make_node: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    _write(tmp_path, ANSWERING, FAILING)
    accepting = make_node("accepting", "--role", "webhook")
    accepting.start()
    running = make_node("running", "--role", "worker")
    running.launch()
    # The worker deploys the folder, and the other one adopts that.
    running.eventually("it serves", lambda: accepting.post("answering", {"a": 1, "b": 2}) == (200, {"sum": 3}))
    (execution,) = accepting.executions()
    assert accepting.get(f"/api/v1/executions/{execution['id']}")[1]["node"] == "running"
    assert accepting.post("failing", {})[0] == 502


_ORDER = {
    "id": "order",
    "trigger": {
        "use": "webhook",
        "with": {
            "verify": {"scheme": "bearer", "credential": "shop"},
            "respond": "finished",
            "dedupe_key": "$.body.id",
        },
    },
    "steps": [{"id": "line", "use": "csv.render", "with": {"rows": [{"id": "$.body.id"}]}}],
}


@pytest.mark.long
@pytest.mark.cluster_rule("C5")
def test_a_webhook_node_imports_no_connector_and_has_its_messages_run(
    make_node: Callable[..., ServerProcess], tmp_path: Path, database: str
) -> None:
    _write(tmp_path, _ORDER)
    folder = tmp_path / "accepting"
    folder.mkdir()
    imports = {"PYTHONPROFILEIMPORTTIME": "1", "HOOKLINE_NODE_NAME": "accepting"}
    environment = {"HOOKLINE_DB": database, "HOOKLINE_SECRET_KEY": KEY, **imports}
    # A process of its own: a forked one has what its parent has imported.
    accepting = ServerProcess(folder, "--role", "webhook", environment=environment)
    running = make_node("running", "--role", "worker")
    try:
        accepting.start()
        running.launch()
        with contextlib.chdir(running.folder):
            running.run("credentials", "set", "shop", "--type", "bearer", "token=s3cret")
        headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}

        def answer() -> tuple[int, Any, Mapping[str, str]]:
            return accepting.request("POST", "/hook/order", b'{"id": 1}', headers)

        running.eventually("it serves", lambda: answer()[0] == 200)
        assert answer()[0] == 200, "a duplicate"
        (execution,) = accepting.executions()
        assert (execution["node"], execution["state"]) == ("running", "succeeded")
        status, problem = accepting.get("/api/v1/components")
        assert (status, problem["code"]) == (409, "node.no_connectors")
        imported = set(re.findall(r"\|\s+(hookline_\w+)(?:\.\w+)*$", accepting.log(), re.MULTILINE))
        assert "hookline_signatures" in imported
        assert not imported & {"hookline_files", "hookline_http", "hookline_github", "hookline_sql", "hookline_slack"}
    finally:
        if accepting.running:
            accepting.kill()


@pytest.mark.cluster_rule("C12")
def test_a_paused_flow_is_paused_on_each_node_when_the_command_returns(
    make_node: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    _write(tmp_path, ANSWERING)
    one, other = make_node("one"), make_node("other")
    one.start()
    other.start()
    assert other.post("answering", {"a": 1, "b": 2})[0] == 200
    for node, paused in ((one, other), (other, one)):
        assert node.request("POST", "/api/v1/flows/answering/stop", b"", _AUTHORIZED)[0] == 200
        assert paused.post("answering", {"a": 1, "b": 2})[0] == 404
        assert node.request("POST", "/api/v1/flows/answering/resume", b"", _AUTHORIZED)[0] == 200
        assert paused.post("answering", {"a": 1, "b": 2})[0] == 200


_AUTHORIZED = {"Authorization": "Bearer test-admin-token"}


@pytest.mark.cluster_rule("C5")
def test_a_drained_node_leaves_its_work_and_is_listed_as_gone(
    make_node: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    _write(tmp_path, ANSWERING)
    one, other = make_node("one"), make_node("other")
    one.start()
    other.start()
    (found,) = [node for node in one.get("/api/v1/nodes")[1]["items"] if node["name"] == "other"]
    assert one.request("POST", f"/api/v1/nodes/{found['id']}/drain", b"", _AUTHORIZED)[0] == 202
    assert other.died(60) == 0
    states = {node["name"]: node["state"] for node in one.get("/api/v1/nodes")[1]["items"]}
    assert states == {"one": "live", "other": "gone"}
    eventually("it accepts", lambda: one.post("answering", {"a": 1, "b": 2}) == (200, {"sum": 3}))
