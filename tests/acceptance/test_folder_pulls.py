"""A folder that git pulls into while messages come: the whole pull is one deployment."""

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

#: In the middle of a pull, git pauses for longer than a folder has to be quiet. Only its lock shows that it works.
PAUSE = "case %f in f7.json) sleep 2;; esac; cat"


def flow(flow_id: str, number: int) -> dict[str, Any]:
    """A flow that says its own name and with which commit it came, at its beginning and after a while."""
    return {
        "id": flow_id,
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "steps": [
            {"id": "first", "use": "map", "with": {"body": {"flow": flow_id, "first": number}}},
            {"id": "sleep", "use": "sleep", "with": {"for": "300ms"}},
            {"id": "second", "use": "map", "with": {"body": {"first": "$.body.first", "second": number}}},
        ],
    }


class Repository:
    """A repository of flows, and a folder into which it is pulled."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self.origin = folder / "origin"
        self.checkout = folder / "checkout"
        self.origin.mkdir()
        self._git(self.origin, "init")
        (self.origin / ".gitattributes").write_text("*.json filter=pause\n", encoding="utf-8")
        self.commit(0)
        self._git(folder, "clone", str(self.origin), "checkout")
        self._git(self.checkout, "config", "filter.pause.smudge", PAUSE)

    def commit(self, number: int) -> None:
        for index in range(self.count):
            text = json.dumps(flow(f"f{index}", number))
            (self.origin / f"f{index}.json").write_text(text, encoding="utf-8")
        self._git(self.origin, "add", ".")
        self._git(self.origin, "commit", "-m", str(number))

    def pull(self) -> None:
        self._git(self.checkout, "pull")

    def _git(self, folder: Path, *arguments: str) -> None:
        own = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)


class Sender(threading.Thread):
    """Sends messages to flows, one after the other, until it is told to stop."""

    def __init__(self, server: ServerProcess, count: int) -> None:
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        """The flow and the execution of each message."""
        self.over = threading.Event()
        self._server = server
        self._count = count
        self._failure: object = None

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            number = (number + 7) % self._count
            status, answer = self._server.post(f"f{number}", {})
            if status != 202:
                self._failure = (status, answer)
                return
            self.sent.append((f"f{number}", answer["execution_id"]))

    def has_sent(self, more: int) -> None:
        """Return once it has sent so many more."""
        enough = len(self.sent) + more
        eventually("messages are sent", lambda: len(self.sent) >= enough or not self.is_alive())
        assert self._failure is None


def served(server: ServerProcess) -> dict[str, str]:
    return {one["id"]: one["version"] for one in server.get("/api/v1/flows")[1]["items"]}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_a_pull_of_many_files_under_load_is_one_deployment(
    count: int, make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    repository = Repository(tmp_path, count)
    server = make_server("--flows", "checkout")
    server.start()
    before = served(server)
    assert len(before) == count
    sender = Sender(server, count)
    sender.start()
    try:
        sender.has_sent(20)
        repository.commit(1)
        repository.pull()
        server.eventually("all serve", lambda: all(served(server)[one] != version for one, version in before.items()))
        sender.has_sent(20)
    finally:
        sender.over.set()
        sender.join()
    server.eventually("all have run", server.drained, 60)
    second, first = server.get("/api/v1/deployments")[1]["items"]
    assert [(one["author"], len(one["flows"])) for one in (first, second)] == [("folder", count)] * 2
    entries = [one for page in pages(server, "audit") for one in page if one["operation"] == "flow.deploy"]
    assert len(entries) == 2 * count
    check_executions(server, sender.sent, before, {one["flow_id"]: one["version"] for one in second["flows"]})
    assert server.stop() == 0


def pages(server: ServerProcess, path: str) -> list[list[Any]]:
    """The pages of a list."""
    found: list[list[Any]] = []
    cursor = ""
    while cursor is not None:
        page = server.get(f"/api/v1/{path}?limit=200{cursor and f'&cursor={cursor}'}")[1]
        found.append(page["items"])
        cursor = page["next"]
    return found


def check_executions(
    server: ServerProcess, sent: list[tuple[str, str]], before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Each message has run on its own flow, on the old version or the new one, and on the new one once another has."""
    flow_of = {execution_id: flow_id for flow_id, execution_id in sent}
    executions = server.executions()
    assert {one["id"]: one["flow_id"] for one in executions} == flow_of
    # An execution gets its version when it starts.
    executions.sort(key=lambda one: (one["started_at"], is_new(one, after)))
    first_new = next(at for at, one in enumerate(executions) if is_new(one, after))
    assert first_new > 0
    for at, execution in enumerate(executions):
        versions = after if at >= first_new else before
        assert (execution["outcome"], execution["flow_version"]) == ("completed", versions[execution["flow_id"]])
        if abs(at - first_new) < 20:
            # The old ones among them slept when the new versions came.
            steps = server.get(f"/api/v1/executions/{execution['id']}")[1]["steps"]
            number = int(at >= first_new)
            assert steps[0]["output"]["body"] == {"flow": execution["flow_id"], "first": number}
            assert steps[-1]["output"]["body"] == {"first": number, "second": number}


def is_new(execution: Mapping[str, Any], after: Mapping[str, str]) -> bool:
    return bool(execution["flow_version"] == after[execution["flow_id"]])
