"""`hookline flows export`: the files that it writes are the flows that serve."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN, ServerProcess

AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
#: More digits than a float has, for a flow whose numbers are exact.
LONG = "0.12345678901234567890123456789"
CASES = {"cases": [{"name": "it runs", "input": {"body": {"price": 1.10}}, "expect": {"outcome": "completed"}}]}


def flow(flow_id: str, **more: Any) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": flow_id, "trigger": trigger, "steps": [{"id": "m", "use": "map", "with": {"body": 1.10}}], **more}


def listed(server: ServerProcess) -> dict[str, Any]:
    """The version, the title and the cases of each flow."""
    flows = server.get("/api/v1/flows")[1]["items"]
    return {one["id"]: (one["version"], one["title"], cases(server, one["id"])) for one in flows}


def cases(server: ServerProcess, flow_id: str) -> Any:
    return server.get(f"/api/v1/flows/{flow_id}/cases")[1]


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


@pytest.fixture(params=["flows", "database"])
def server(request: pytest.FixtureRequest, make_server: Callable[..., ServerProcess]) -> ServerProcess:
    """One with three flows, one of which has been given another title."""
    server = make_server(environment={"HOOKLINE_FLOWS": request.param})
    server.start()
    exact = flow("exact", vars={"price": 1.10, "long": -0.5, "large": 12345678901234567890, "text": "\u00e9\u2028"})
    exact["trigger"]["with"]["numbers"] = "exact"
    flows = {"exact": exact, "plain": flow("plain", title="first"), "gone": flow("gone")}
    for body in (
        {"flows": flows, "cases": {"exact": CASES, "gone": CASES}},
        {"flows": {"plain": flow("plain", title="second"), "gone": None}},
    ):
        text = json.dumps(body).replace("1.1,", "1.10,").replace("-0.5", LONG)
        status, answer, _ = server.request("POST", "/api/v1/deployments", text.encode(), AUTH)
        assert status == 200, answer
    return server


def test_exported_files_are_served_from_a_folder_as_the_same_versions(server: ServerProcess, tmp_path: Path) -> None:
    expected = listed(server)
    assert {one: title for one, (_, title, _) in expected.items()} == {"exact": "", "plain": "second"}
    written = server.run("flows", "export", "backup").output
    assert "3 files" in written
    assert LONG in texts(tmp_path / "backup")["exact.json"]
    assert sorted(texts(tmp_path / "backup")) == ["exact.json", "exact.test.json", "plain.json"]
    assert server.stop() == 0
    # Without a server, the command reads the database.
    server.run("flows", "export", "other")
    assert texts(tmp_path / "other") == texts(tmp_path / "backup")
    (tmp_path / "second").mkdir()
    second = ForkedServer(tmp_path / "second", "--flows", "../backup")
    try:
        second.start()
        assert listed(second) == expected
        assert second.stop() == 0
    finally:
        second.kill()


@pytest.mark.parametrize("server", ["flows"], indirect=True)
def test_files_that_differ_are_not_overwritten_unless_that_is_said(server: ServerProcess, tmp_path: Path) -> None:
    server.run("flows", "export", "backup")
    before = texts(tmp_path / "backup")
    assert "0 files" in server.run("flows", "export", "backup").output
    (tmp_path / "backup" / "plain.json").write_text("{}", encoding="utf-8")
    (tmp_path / "backup" / "exact.test.json").write_text("{}", encoding="utf-8")
    (tmp_path / "backup" / "exact.json").unlink()
    changed = texts(tmp_path / "backup")
    given = [*("flows", "export", str(tmp_path / "backup")), "--db", f"sqlite:///{tmp_path}/.hookline/hookline.db"]
    rejected = CliRunner().invoke(main, given, env=server.environment())
    assert rejected.exit_code == 1, rejected.output
    assert "exact.test.json, plain.json" in rejected.output
    assert texts(tmp_path / "backup") == changed
    server.run("flows", "export", "backup", "--force")
    assert texts(tmp_path / "backup") == before
    assert server.stop() == 0
