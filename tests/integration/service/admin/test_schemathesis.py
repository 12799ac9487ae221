"""Generated requests to every operation of a real server: schemathesis finds nothing that the OpenAPI document denies.

All of its checks run, with data that the document allows and data that it doesn't. What is a right answer, says
`schemathesis.toml`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import pytest
from tests.integration.cli.test_serve import serving

HERE = Path(__file__).parent
TOKEN = "a-token-of-the-tests"
#: It has no end, so a request to it has none either; `test_admin.py` and `test_access.py` listen to it.
ENDLESS = "/api/v1/events"
#: It stops the server that is asked; `test_access.py` and `test_audit.py` ask it.
STOPPING = "/api/v1/nodes/{node_id}/drain"

FAILING = {
    "id": "failing",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "no", "use": "fail", "with": {"message": "not today", "code": "closed"}}],
}
WAITING = {
    "id": "waiting",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "answer", "use": "webhook"}],
}
MAPPING = {
    "id": "mapping",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {"id": "first", "use": "map", "with": {"body": {"a": "$.body"}}},
        {"id": "keep", "use": "state.set", "with": {"key": "last", "value": "$.body.a"}},
    ],
}


class Served(NamedTuple):
    url: str
    folder: Path

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.url}/api/v1/{path}", data, headers, method=method), timeout=30) as response:
            return json.loads(response.read() or b"null")

    def existing(self) -> dict[str, list[str]]:
        """The names of things that exist, by the parameters that take them."""
        executions = self.ask("GET", "executions")["items"]
        return {
            "flow_id": [FAILING["id"], WAITING["id"], MAPPING["id"]],
            "execution_id": [one["id"] for one in executions],
            "deployment_id": [one["id"] for one in self.ask("GET", "deployments")["items"]],
            "cause": [one["cause"] for one in self.ask("GET", "dead-letters")["items"]],
            "part": [executions[0]["id"][:8]],
            "version": ["current"],
            "component": ["webhook"],
        }


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server with flows that have failed, that wait, and that have ended."""
    (tmp_path / "flows").mkdir()
    for flow in (FAILING, WAITING, MAPPING):
        (tmp_path / "flows" / f"{flow['id']}.json").write_text(json.dumps(flow))
    with serving(tmp_path, HOOKLINE_ADMIN_TOKEN=TOKEN, HOOKLINE_TRUSTED_PROXIES="127.0.0.1/32") as (_, said):
        server = Served(said["url"], tmp_path)
        for flow in (FAILING, WAITING, MAPPING):
            for number in range(3):
                server.ask("POST", f"flows/{flow['id']}/start", {"body": number})
        deadline = time.monotonic() + 30
        while {one["state"] for one in server.ask("GET", "executions")["items"]} & {"queued", "running"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield server


def schemathesis(served: Served, *arguments: str) -> dict[str, Any]:
    """Run it, and return its report. Fails if it has found something."""
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis isn't installed")
    document, report = served.folder / "openapi.json", served.folder / "report.json"
    document.write_text(json.dumps(served.ask("GET", "openapi.json")))
    existing = json.dumps(served.existing())
    done = subprocess.run(
        [
            program,
            *("--config-file", HERE / "schemathesis.toml", "run", document, "--url", served.url, "--checks", "all"),
            *(
                "--exclude-path",
                ENDLESS,
                "--exclude-path",
                STOPPING,
                "--continue-on-failure",
                "--request-timeout",
                "120",
                # By default it reports what takes 10 s, and other tests use the same processors.
                "--max-response-time",
                "120",
                "--warnings",
                "off",
            ),
            *("--report", "json", "--report-json-path", report, "--output-truncate", "false", *arguments),
        ],
        cwd=served.folder,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE), "EXISTING": existing, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-5_000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def assert_complete(report: dict[str, Any], served: Served) -> None:
    """Each operation was tested but the endless one, and nothing was found."""
    described = served.ask("GET", "openapi.json")["paths"]
    operations = sum(len(methods) for methods in described.values())
    assert report["operations"]["tested"] == operations - len((ENDLESS, STOPPING))
    assert (report["failures"], report["errors"], report["complete"]) == ([], [], True)


@pytest.mark.timeout(600)
def test_generated_requests_to_every_operation_are_answered_as_described(served: Served) -> None:
    report = schemathesis(served, "--phases", "fuzzing", "-n", "1")
    assert_complete(report, served)
    assert report["test_cases"]["generated"] > 150


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_many_generated_requests_are_answered_as_described(served: Served) -> None:
    """With each bound and each wrong type of each value, and with sequences of requests that use earlier answers."""
    report = schemathesis(served, "-n", "30")
    assert_complete(report, served)
    phases = ("coverage", "fuzzing", "stateful")
    assert [report["phases"][phase]["status"] for phase in phases] == ["success"] * 3
