"""A server whose files exceed the disk budget: what goes, and what stays."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

pytestmark = [pytest.mark.promise(7), pytest.mark.rule(39)]

MB = 1_000_000


def flow(id_: str, *steps: dict[str, Any]) -> dict[str, Any]:
    hook = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": id_, "trigger": hook, "steps": list(steps)}


def test_new_files_above_the_budget_go_alone_and_dead_letters_stay(
    make_server: Callable[..., ServerProcess],
) -> None:
    server = make_server(environment={"HOOKLINE_DISK_BUDGET": f"{10 * MB}"})
    server.flow(flow("files"))
    dead = {"id": "bad", "use": "fail", "when": "{{ body }}", "with": {"message": "no"}}
    server.flow(flow("others", dead))
    server.start()
    for number in range(10):
        assert server.post("others", number < 5)[0] == 202
    for _ in range(8):
        status, *_ = server.request("POST", "/hook/files", os.urandom(2 * MB), {"Content-Type": "image/png"})
        assert status == 202
    eventually("files were purged", lambda: len(server.executions(flow_id="files")) < 8)
    assert len(server.executions(flow_id="files")) >= 3, "no more than what makes room"
    assert len(server.executions(flow_id="others")) == 10
    assert [one["state"] for one in server.executions(flow_id="others")].count("failed") == 5
    assert server.post("others", False)[0] == 202
    eventually("everything has ended", server.drained)
    assert server.get("/api/v1/storage")[1]["executions"] == len(server.executions())
