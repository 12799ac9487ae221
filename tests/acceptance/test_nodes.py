"""Two `hookline serve` with roles of their own, on one PostgreSQL."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
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
ORDER = {
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


class Nodes:
    """Nodes over one database and one folder of flows, each with data of its own, which all tests share."""

    def __init__(self, folder: Path, database: str) -> None:
        self._folder = folder
        self._database = database
        self.made: dict[str, ServerProcess] = {}
        (folder / "flows").mkdir()
        for flow in (ANSWERING, FAILING, ORDER):
            (folder / "flows" / f"{flow['id']}.json").write_text(json.dumps(flow), encoding="utf-8")

    def __call__(self, name: str, *options: str) -> ServerProcess:
        """A node that runs."""
        if name not in self.made:
            folder = self._folder / name
            folder.mkdir()
            flows = str(self._folder / "flows")
            self.made[name] = ForkedServer(folder, "--flows", flows, *options, environment=self.environment(name))
        if not self.made[name].running:
            self.made[name].start()
        return self.made[name]

    def environment(self, name: str) -> dict[str, str]:
        """The settings of a node."""
        return {"HOOKLINE_DB": self._database, "HOOKLINE_NODE_NAME": name, "HOOKLINE_SECRET_KEY": KEY}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with postgres_schema() as url:
        made = Nodes(tmp_path_factory.mktemp("nodes"), url)
        yield made
        for node in made.made.values():
            if node.running:
                node.kill()


@pytest.mark.cluster_rule("C9", "C11")
def test_a_caller_gets_the_reply_of_an_execution_that_another_node_runs(nodes: Nodes) -> None:
    nodes("one")
    accepting = nodes("accepting", "--role", "webhook")
    eventually("it serves", lambda: accepting.post("answering", {"a": 1, "b": 2}) == (200, {"sum": 3}))
    execution = accepting.executions(flow_id="answering")[0]
    assert accepting.get(f"/api/v1/executions/{execution['id']}")[1]["node"] in {"one", "other"}
    assert accepting.post("failing", {})[0] == 502


@pytest.mark.long
@pytest.mark.cluster_rule("C5")
def test_a_node_that_only_accepts_imports_no_connector_and_has_its_messages_run(nodes: Nodes, tmp_path: Path) -> None:
    running = nodes("one")
    with contextlib.chdir(running.folder):
        running.run("credentials", "set", "shop", "--type", "bearer", "token=s3cret")
    # A process of its own: a forked one has what its parent has imported.
    environment = {**nodes.environment("apart"), "PYTHONPROFILEIMPORTTIME": "1"}
    accepting = ServerProcess(tmp_path, "--role", "webhook", environment=environment)
    try:
        accepting.start()
        headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}

        def answer() -> tuple[int, Any, Mapping[str, str]]:
            return accepting.request("POST", "/hook/order", b'{"id": 1}', headers)

        running.eventually("it serves", lambda: answer()[0] == 200)
        assert answer()[0] == 200, "a duplicate"
        (execution,) = accepting.executions(flow_id="order")
        assert execution["state"] == "succeeded"
        assert execution["node"] != "apart"
        status, problem = accepting.get("/api/v1/components")
        assert (status, problem["code"]) == (409, "node.no_connectors")
        imported = set(re.findall(r"\|\s+(hookline_\w+)(?:\.\w+)*$", accepting.log(), re.MULTILINE))
        assert "hookline_signatures" in imported
        assert not imported & {"hookline_files", "hookline_http", "hookline_github", "hookline_sql", "hookline_slack"}
    finally:
        if accepting.running:
            accepting.kill()


@pytest.mark.cluster_rule("C12")
def test_a_paused_flow_is_paused_on_each_node_when_the_command_returns(nodes: Nodes) -> None:
    one, other = nodes("one"), nodes("other")
    assert other.post("answering", {"a": 1, "b": 2})[0] == 200
    for node, paused in ((one, other), (other, one)):
        assert node.request("POST", "/api/v1/flows/answering/stop", b"", _AUTHORIZED)[0] == 200
        assert paused.post("answering", {"a": 1, "b": 2})[0] == 404
        assert node.request("POST", "/api/v1/flows/answering/resume", b"", _AUTHORIZED)[0] == 200
        assert paused.post("answering", {"a": 1, "b": 2})[0] == 200


_AUTHORIZED = {"Authorization": "Bearer test-admin-token"}


@pytest.mark.cluster_rule("C5")
def test_a_drained_node_leaves_its_work_and_is_listed_as_gone(nodes: Nodes) -> None:
    one, other = nodes("one"), nodes("other")
    live = {node["name"]: node["id"] for node in one.get("/api/v1/nodes")[1]["items"] if node["state"] == "live"}
    assert one.request("POST", f"/api/v1/nodes/{live['other']}/drain", b"", _AUTHORIZED)[0] == 202
    assert other.died(60) == 0
    states = {node["id"]: node["state"] for node in one.get("/api/v1/nodes")[1]["items"]}
    assert (states[live["one"]], states[live["other"]]) == ("live", "gone")
    eventually("it accepts", lambda: one.post("answering", {"a": 1, "b": 2}) == (200, {"sum": 3}))
