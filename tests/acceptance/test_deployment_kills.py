"""A server killed at each point that a deployment passes: after the next start, all of it has taken place, or nothing.

The points are those that the deployment was seen to pass, so that a new one can't be forgotten.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.postgres import postgres_schema

SIGKILL: Final = -9
#: The points of a deployment, and of its files.
KINDS: Final = ("deploy", "flow_file", "files_written")
CASES: Final = {"cases": [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]}


def document(flow_id: str, number: int) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": flow_id, "trigger": trigger, "steps": [{"id": "m", "use": "map", "with": {"body": number}}]}


class Server:
    """A server that lives through all of it; each deployment is about flows of its own."""

    def __init__(self, process: ForkedServer, *, folder: bool) -> None:
        self.process = process
        self.folder = folder
        self._numbers = count(1)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask for something that isn't rejected."""
        return self.process.api(method, f"/api/v1/{path}", body)

    def deploy(self, *documents: Mapping[str, Any], **more: Any) -> str:
        """Deploy a set of flows; gives the id of the deployment."""
        given = {"flows": {one["id"]: one for one in documents}, **more}
        made: str = self.ask("POST", "deployments", given)["deployment"]["id"]
        return made

    def new_prefix(self) -> str:
        return f"p{next(self._numbers)}"

    def stands(self, prefix: str) -> Any:
        """All that is known of the flows with a prefix, which is left out."""
        flows = [one for one in self.ask("GET", "flows")["items"] if one["id"].startswith(f"{prefix}-")]
        found: dict[str, Any] = {}
        for flow in flows:
            shown = self.ask("GET", f"flows/{flow['id']}/versions/current")
            assert shown["version"] == flow["version"]
            found[flow["id"]] = [shown["document"], self.ask("GET", f"flows/{flow['id']}/cases")]
        entries = [
            (one["operation"], one["flow_id"], bool(one["flow_version"]))
            for one in self.ask("GET", "audit?limit=200")["items"]
            if one["flow_id"].startswith(f"{prefix}-")
        ]
        deployed = [
            sorted((one["flow_id"], bool(one["version"]), bool(one["before"])) for one in deployment["flows"])
            for deployment in self.ask("GET", "deployments?limit=200")["items"]
            if deployment["flows"][0]["flow_id"].startswith(f"{prefix}-")
        ]
        self._check_newest(prefix, {flow["id"]: flow["version"] for flow in flows})
        text = json.dumps([found, sorted(entries), deployed, self._files(prefix)], sort_keys=True)
        return json.loads(text.replace(f"{prefix}-", ""))

    def _check_newest(self, prefix: str, serves: Mapping[str, str]) -> None:
        """The newest entry and the newest deployment of each flow name the version that serves."""
        for flow_id, version in serves.items():
            entry = self.ask("GET", f"audit?flow_id={flow_id}&limit=1")["items"][0]
            assert entry["flow_version"] == version
            deployments = self.ask("GET", "deployments?limit=200")["items"]
            newest = next(one for each in deployments for one in each["flows"] if one["flow_id"] == flow_id)
            assert newest["version"] == version

    def _files(self, prefix: str) -> dict[str, Any]:
        """What the files say; there are no others than those of flows and cases."""
        if not self.folder:
            return {}
        files = list((self.process.folder / "flows").iterdir())
        assert all(file.suffix == ".json" and not file.name.startswith(".") for file in files)
        mine = [file for file in files if file.name.startswith(f"{prefix}-")]
        return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in mine}


@dataclass(frozen=True)
class Operation:
    """A deployment of flows with a prefix."""

    prepare: Callable[[Server, str], str]
    """Gives the id of a deployment, to which a set is rolled back."""
    apply: Callable[[Server, str, str], object]


def two_flows(server: Server, prefix: str) -> str:
    return server.deploy(document(f"{prefix}-a", 1), document(f"{prefix}-b", 1), cases={f"{prefix}-b": CASES})


def changed_flows(server: Server, prefix: str) -> str:
    first = two_flows(server, prefix)
    change_set(server, prefix, first)
    return first


def change_set(server: Server, prefix: str, _: str) -> None:
    """Change one, remove one with its cases, and create one with cases."""
    changed, made = document(f"{prefix}-a", 2), document(f"{prefix}-c", 2)
    given = {"flows": {changed["id"]: changed, made["id"]: made, f"{prefix}-b": None}, "cases": {made["id"]: CASES}}
    server.ask("POST", "deployments", given)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "a set": Operation(two_flows, change_set),
    "a rollback of the set": Operation(
        changed_flows, lambda server, _, first: server.ask("POST", f"deployments/{first}/rollback")
    ),
    "a new flow": Operation(
        two_flows, lambda server, prefix, _: server.ask("PUT", f"flows/{prefix}-c", document(f"{prefix}-c", 1))
    ),
    "a changed flow": Operation(
        two_flows, lambda server, prefix, _: server.ask("PUT", f"flows/{prefix}-a", document(f"{prefix}-a", 2))
    ),
    "a changed title": Operation(
        two_flows,
        lambda server, prefix, _: server.ask("PUT", f"flows/{prefix}-a", document(f"{prefix}-a", 1) | {"title": "T"}),
    ),
    "a deleted flow": Operation(two_flows, lambda server, prefix, _: server.ask("DELETE", f"flows/{prefix}-b")),
    "cases": Operation(two_flows, lambda server, prefix, _: server.ask("PUT", f"flows/{prefix}-a/cases", CASES)),
    "a rollback of a flow": Operation(
        changed_flows, lambda server, prefix, _: server.ask("POST", f"flows/{prefix}-a/rollback")
    ),
}


def moments(server: Server, operation: Operation, path: Path) -> tuple[list[str], Any]:
    """The points that an operation passes, as `HOOKLINE_FAULT` names them, and the state after it."""
    prefix = server.new_prefix()
    before = operation.prepare(server, prefix)
    server.process.trace(path)
    operation.apply(server, prefix, before)
    passed: Counter[str] = Counter()
    found: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        points = line.split()
        passed.update(points)
        # Those of one commit are one moment.
        found.append(f"{points[0]}:{passed[points[0]]}")
    return found, server.stands(prefix)


def check_kills(server: Server, name: str, path: Path, chosen: Callable[[list[str]], list[str]]) -> None:
    """Kill a server at the moments of an operation that are chosen."""
    operation = OPERATIONS[name]
    found, new = moments(server, operation, path)
    # The commit of the deployment is the first.
    assert found[0].partition(":")[0].endswith(".before_commit")
    for moment in chosen(found):
        prefix = server.new_prefix()
        first = operation.prepare(server, prefix)
        old = server.stands(prefix)
        server.process.set_fault(moment)
        with pytest.raises((OSError, HTTPException)):
            operation.apply(server, prefix, first)
        assert server.process.died() == SIGKILL, server.process.log()[-4000:]
        server.process.start()
        assert old != new
        assert server.stands(prefix) == (old if moment == found[0] else new), moment


@pytest.fixture
def make(make_server: Callable[..., ForkedServer]) -> Iterator[Callable[[str, str | None], Server]]:
    made: list[Server] = []

    def start(flows: str, url: str | None = None) -> Server:
        process = make_server("--flows", flows, environment={"HOOKLINE_DB": url} if url else {})
        process.start()
        made.append(Server(process, folder=flows != "database"))
        return made[-1]

    yield start
    for server in made:
        assert server.process.stop() == 0


def test_a_set_in_a_folder_is_deployed_as_a_whole_or_not_at_all(make: Callable[..., Server], tmp_path: Path) -> None:
    """Before its commit, after it, and between its files."""
    check_kills(
        make("flows"), "a set", tmp_path / "trace", lambda found: [found[0], found[1], *_middle(found, "flow_file")]
    )


def _middle(found: list[str], kind: str) -> list[str]:
    of_kind = [moment for moment in found if moment.startswith(kind)]
    assert len(of_kind) > 4
    return of_kind[len(of_kind) // 2 : len(of_kind) // 2 + 1]


def test_a_set_in_the_database_is_deployed_as_a_whole_or_not_at_all(
    make: Callable[..., Server], tmp_path: Path
) -> None:
    check_kills(make("database"), "a set", tmp_path / "trace", lambda found: found)


@pytest.mark.long  # a server is killed and started again up to a dozen times
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("flows", ["flows", "database"])
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_each_deployment_takes_place_as_a_whole_or_not_at_all(
    database: str, flows: str, name: str, make: Callable[..., Server], tmp_path: Path
) -> None:
    with postgres_schema() if database == "postgresql" else nullcontext() as url:
        server = make(flows, url)
        check_kills(server, name, tmp_path / "trace", lambda found: found)
        assert server.process.stop() == 0


@pytest.mark.long  # see above
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_changed_files_are_deployed_as_a_whole_or_not_at_all(
    database: str, make: Callable[..., Server], tmp_path: Path
) -> None:
    """A deployment by the folder that is cut off takes place at the next start."""
    with postgres_schema() if database == "postgresql" else nullcontext() as url:
        server = make("flows", url)
        for point in ("deploy.before_commit", "deploy.after_commit"):
            prefix = server.new_prefix()
            two_flows(server, prefix)
            server.process.set_fault(point)
            for name in ("a", "b"):
                server.process.flow(document(f"{prefix}-{name}", 2))
            assert server.process.died() == SIGKILL
            server.process.start()
            found, entries, deployments, _ = server.stands(prefix)
            assert [one["steps"][0]["with"]["body"] for one, _ in found.values()] == [2, 2]
            assert len(entries) == 5, "two flows twice, and the cases of one"
            assert [len(one) for one in deployments] == [2, 2]
        assert server.process.stop() == 0
