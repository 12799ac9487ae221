"""The plugin of docs/tutorial/plugin.md: its very text is built, installed, and used in a flow."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "plugin.md"
FLOW = {
    "id": "orders",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {"id": "order", "use": "acme.create_order", "credential": "acme-prod", "with": {"sku": "$.body.sku"}},
    ],
}


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path into which pip has installed the tutorial's plugin."""
    source = tmp_path_factory.mktemp("source")
    (source / "pyproject.toml").write_text(block("toml"), encoding="utf-8")
    (source / "hookline_acme.py").write_text(block("python"), encoding="utf-8")
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return target


def hookline(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "hookline.cli.main", *arguments],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(installed), "HOOKLINE_EGRESS_ALLOW": "127.0.0.0/8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.timeout(300)
async def test_the_tutorials_plugin_installs_is_checked_and_runs_in_a_flow(installed: Path, tmp_path: Path) -> None:
    plugins = json.loads(hookline(installed, tmp_path, "plugins", "--json").stdout)
    assert {"name": "acme", "distribution": "hookline-acme", "version": "0.1.0", "error": None}.items() <= next(
        plugin for plugin in plugins if plugin["name"] == "acme"
    ).items()

    flows = tmp_path / "flows"
    flows.mkdir()
    wrong = FLOW | {"steps": [FLOW["steps"][0] | {"with": {"sku": "$.body.sku", "quantitty": 2}}]}  # type: ignore[index,operator] - a literal above
    (flows / "orders.json").write_text(json.dumps(wrong))
    checked = hookline(installed, tmp_path, "check")
    assert checked.returncode == 1
    assert "quantity" in checked.stdout

    (flows / "orders.json").write_text(json.dumps(FLOW))
    seen: list[tuple[str, str, object]] = []

    async def orders(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], request.headers["Idempotency-Key"], await request.json()))
        return web.json_response({"order": 17})

    app = web.Application()
    app.router.add_post("/orders", orders)
    async with TestServer(app) as acme:
        values = [f"base_url={str(acme.make_url('/')).rstrip('/')}", "token=hunter2"]
        made = hookline(installed, tmp_path, "credentials", "set", "acme-prod", "--type", "acme", *values)
        assert made.returncode == 0, made.stderr
        (tmp_path / "in.json").write_text('{"sku": "S-1"}')
        run = await run_beside(installed, tmp_path)
    assert run["steps"][0]["output"]["body"] == {"order": 17}
    ((authorization, key, body),) = seen
    assert (authorization, body) == ("Bearer hunter2", {"sku": "S-1", "quantity": 1})
    assert len(key) == 40


async def run_beside(installed: Path, folder: Path) -> dict[str, list[dict[str, dict[str, object]]]]:
    """Run the flow in another process while this one's server answers."""
    import asyncio

    arguments = ("run", "orders", "--input", "in.json", "--json")
    done = await asyncio.to_thread(hookline, installed, folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[dict[str, dict[str, object]]]] = json.loads(done.stdout)
    return found
