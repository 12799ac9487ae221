"""`hookline start`: any flow, on the running server."""

import contextlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess

GREET = {
    "id": "greet",
    "trigger": {"use": "manual"},
    "schema": {"type": "object", "required": ["name"]},
    "steps": [{"id": "hello", "use": "map", "with": {"body": {"hello": "$.body.name", "from": "$.headers['x-from']"}}}],
}

#: A real server starts, for the command to find.
pytestmark = pytest.mark.long


def start(server: ServerProcess, *arguments: str, body: str) -> tuple[int, str]:
    with contextlib.chdir(server.folder):
        done = CliRunner().invoke(main, ["start", *arguments, "-i", "-"], input=body, env=server.environment())
    return done.exit_code, done.output


def test_a_flow_is_started_on_the_running_server_and_nowhere_else(tmp_path: Path) -> None:
    server = ForkedServer(tmp_path)
    server.flow(GREET)
    code, output = start(server, "greet", body="{}")
    assert code == 1
    assert "hookline serve" in output
    assert "hookline run greet" in output
    server.start()
    try:
        message = '{"name": 12345678901234567890.5}'
        once = ("greet", "-H", "X-From: me", "--dedupe-key", "once", "--json")
        (_, first), (_, second) = [start(server, *once, body=message) for _ in range(2)]
        execution_id = json.loads(first)["execution_id"]
        assert json.loads(second) == {"execution_id": execution_id, "flow_id": "greet", "status": "duplicate"}
        (step,) = server.ended(execution_id)["steps"]
        assert step["output"]["body"]["from"] == "me"
        code, output = start(server, "greet", body="{}")
        assert code == 1
        assert "name" in output, "what the schema wants"
        code, output = start(server, "great", body="{}")
        assert code == 1
    finally:
        server.stop()
