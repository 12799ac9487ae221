"""A server above its disk budget makes room where it can, and never at the cost of other flows or of dead letters."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

KB = 1000
BUDGET = 2000 * KB
FAILS = {"id": "bad", "use": "fail", "with": {"message": "no"}}
SIZE = {"id": "size", "use": "map", "with": {"body": "$.attachments[0].size"}}


def flow(id_: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"id": id_, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": list(steps)}


def upload(server: ServerProcess, flow_id: str, size: int) -> str:
    """Send a file, and return the id of its execution."""
    status, answer, _ = server.request(
        "POST", f"/hook/{flow_id}", bytes(size), {"Content-Type": "application/octet-stream"}
    )
    assert status == 202, answer
    return str(answer["execution_id"])


def kept(server: ServerProcess, flow_id: str) -> set[str]:
    return {one["id"] for one in server.executions(flow_id=flow_id)}


def file_bytes(folder: Path) -> int:
    """The bytes of the files that the server keeps."""
    return sum(path.stat().st_size for path in (folder / ".hookline" / "blobs").rglob("*") if path.is_file())


@pytest.mark.long  # the budget is looked at every ten seconds
@pytest.mark.timeout(180)
@pytest.mark.promise(7)
@pytest.mark.promise(9)
@pytest.mark.rule(39)
def test_young_files_above_the_budget_cost_no_other_flow_and_no_dead_letter(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(environment={"HOOKLINE_DISK_BUDGET": str(BUDGET)})
    server.flow(flow("files", SIZE))
    server.flow(flow("dead", SIZE, FAILS))
    server.flow(flow("others", {**FAILS, "when": "{{ body.fails }}"}))
    server.start()
    others = {server.post("others", {"fails": number < 10})[1]["execution_id"] for number in range(20)}
    files = {upload(server, "files", 400 * KB) for _ in range(10)}
    eventually("all executions have ended", server.drained)
    eventually("the files are removed", lambda: file_bytes(server.folder) <= BUDGET, 60)
    eventually("their executions are removed", lambda: len(kept(server, "files")) * 400 * KB <= BUDGET)
    files &= kept(server, "files")
    assert files
    assert kept(server, "others") == others
    assert server.get("/readyz")[0] == 200

    # At once, so that the budget isn't used up before the last one.
    with ThreadPoolExecutor() as threads:
        dead = list(threads.map(lambda _: upload(server, "dead", 900 * KB), range(3)))
    eventually("all executions have ended", server.drained)
    eventually("the budget is used up", lambda: server.get("/readyz")[0] == 503, 60)
    assert server.post("others", {"fails": False})[0] == 503
    assert (kept(server, "files"), kept(server, "others")) == (files, others), "they would not make enough room"

    server.api("POST", f"/api/v1/executions/{dead[0]}/discard")
    eventually("there is room again", server.is_ready, 60)
    assert server.post("others", {"fails": False})[0] == 202
    assert kept(server, "dead") >= set(dead[1:])
    assert kept(server, "others") >= others
    eventually("all executions have ended", server.drained)
    assert server.get("/api/v1/storage")[1]["executions"] == len(server.executions())
