"""Clients that others generate from the OpenAPI document are complete, and work against a server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.service.admin.test_schemathesis import TOKEN, Served, served

__all__ = ["served"]
SOURCES = Path(__file__).parent / "typescript"


def run(*command: str | Path, folder: Path, seconds: float = 120) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_generated_typescript_client_compiles_strictly_and_works(served: Served, tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node isn't installed")
    folder = tmp_path / "typescript"
    shutil.copytree(SOURCES, folder)
    try:
        run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", folder=folder)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"npm can't install the generator: {str(error)[-300:]}")
    (folder / "openapi.json").write_text(json.dumps(served.ask("GET", "openapi.json")))
    programs = folder / "node_modules" / ".bin"
    run(programs / "openapi-typescript", "openapi.json", "-o", "schema.d.ts", folder=folder)
    run(programs / "tsc", "-p", ".", folder=folder)
    told = json.loads(run("node", "out/client.js", served.url, TOKEN, folder=folder))
    assert told == {
        "scopes": ["read", "operate", "author", "admin"],
        "code": "closed",
        "problem": "the key 'id' is missing",
        "status": 404,
    }


_USE = """
import sys
from hookline_client import AuthenticatedClient
from hookline_client.api.default import get_flow, get_me, list_executions, start_flow
from hookline_client.models import MeView, StartRequest, State

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
me = get_me.sync(client=client)
assert isinstance(me, MeView) and me.name == "admin", me
started = start_flow.sync_detailed("mapping", client=client, body=StartRequest(body={"a": 1}))
assert started.status_code == 202, started
failed = list_executions.sync(client=client, state=State.FAILED, limit=2)
assert [one.error.code for one in failed.items] == ["closed"] * 2, failed
missing = get_flow.sync(flow_id="nothing", client=client)
assert missing.code == "flow.not_found", missing
"""


@pytest.mark.long  # it takes as long as ten tests, and each answer is compared with the document anyway
def test_a_generated_python_client_is_complete_and_works(served: Served, tmp_path: Path) -> None:
    generator = Path(sys.executable).with_name("openapi-python-client")
    if not generator.exists():
        pytest.skip("openapi-python-client isn't installed")
    document = tmp_path / "openapi.json"
    described = served.ask("GET", "openapi.json")
    # The generator knows JSON and plain text only.
    del described["paths"]["/metrics"]
    document.write_text(json.dumps(described))
    made = ("generate", "--path", document, "--meta", "none", "--output-path", tmp_path / "hookline_client")
    run(generator, *made, "--fail-on-warning", folder=tmp_path)
    use = tmp_path / "use.py"
    use.write_text(_USE)
    run(sys.executable, use, served.url, TOKEN, folder=tmp_path)
