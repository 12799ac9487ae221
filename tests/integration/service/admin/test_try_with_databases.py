"""An author with a token for one flow opens no SQLite database outside of the server's folder for files."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, write_flows

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.simulation.authoring.worker import exchange
from hookline.simulation.authoring.worker_pool import WorkerPool

REGISTRY: Final = load_plugins()


class ThreadPool(WorkerPool):
    """Does the jobs in a thread of this process, which is there at once."""

    async def exchange(self, job: bytes) -> bytes:
        return await asyncio.to_thread(exchange, job, REGISTRY)


INJECTED: Final = "create table \"\nimport os; open('ran', 'w')\n#\" (a text)"
STEPS: Final[dict[str, dict[str, Any]]] = {
    "sql.query": {"sql": "select 1 as one"},
    "sql.execute": {"sql": INJECTED, "once": False},
    "sql.transaction": {"statements": [INJECTED]},
    "sql.insert": {"table": "t", "row": {"a": "x"}},
    "sql.upsert": {"table": "t", "row": {"a": "x"}, "key": ["a"]},
    "sql.update": {"table": "t", "values": {"a": "x"}, "where": {"a": "y"}},
    "sql.delete": {"table": "t", "where": {"a": "y"}},
}
URLS: Final = [
    "sqlite:///{outside}/x.pth",
    "sqlite:///{outside}/x.db",
    "sqlite:///../outside/x.db",
    "sqlite:///{files}/../outside/x.db",
    "sqlite:///linked/x.db",
    "sqlite:///link.db",
    "sqlite:///file:{outside}/x.db?uri=true",
    "sqlite:///file:{outside}/x.db",
    "sqlite+pysqlite:///{outside}/x.db",
    "SQLITE:///{outside}/x.db",
]
ROUTES: Final[dict[str, dict[str, Any]]] = {
    "try": {"effects": "real"},
    "try until": {"effects": "real", "until": "/steps/0"},
    "try stubbed": {"effects": "stubbed"},
    "evaluate-step": {"step": "/steps/0"},
    "check": {},
    "test": {"cases": {"cases": [{"name": "one", "input": {"body": {}}}]}},
}


@pytest.fixture
async def engine(tmp_path: Path, flows: Path) -> AsyncIterator[Engine]:
    files = tmp_path / "files"
    files.mkdir()
    (tmp_path / "outside").mkdir()
    (files / "linked").symlink_to(tmp_path / "outside")
    (files / "link.db").symlink_to(tmp_path / "outside" / "x.db")
    write_flows(flows, {"id": "mine", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []})
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=flows,
        secret_keys=(b"k" * 32,),
        watch=False,
        files_root=files,
    )
    async with Engine(REGISTRY, options) as engine:
        engine.authoring = ThreadPool()
        yield engine


async def ask(client: Client, path: str, body: Any, token: dict[str, str] = AUTH, method: str = "POST") -> Any:
    response = await client.open(f"/api/v1/{path}", method=method, headers=token, json=body)
    return response.status_code, json.loads(await response.get_data())


async def author(client: Client) -> dict[str, str]:
    status, made = await ask(client, "tokens", {"name": "author", "scopes": ["author"], "flows": ["mine"]})
    assert status == 201, made
    return {"Authorization": f"Bearer {made['token']}"}


def document(use: str, url: str, source: str) -> dict[str, Any]:
    """A flow with one step, whose URL is in the step, in `vars` or in the credential `ledger`."""
    url_of = {"step": {"url": url}, "vars": {"url": "$.vars.ledger"}, "credential": {}}[source]
    step = {"id": "one", "use": use, "with": {**url_of, **STEPS[use]}}
    if source == "credential":
        step["credential"] = "ledger"
    made = {"id": "mine", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [step]}
    return {**made, "vars": {"ledger": url}} if source == "vars" else made


def test_each_action_with_a_database_is_tried() -> None:
    """An action that is added gets a step here."""
    assert set(STEPS) == {name for name in REGISTRY.actions if name.startswith("sql.")}


@pytest.mark.rule(35)
@pytest.mark.parametrize("source", ["step", "vars", "credential"])
@pytest.mark.parametrize("use", STEPS)
async def test_no_file_outside_of_the_folder_is_opened(client: Client, tmp_path: Path, use: str, source: str) -> None:
    token, outside = await author(client), tmp_path / "outside"
    for template in URLS:
        url = template.format(outside=outside, files=tmp_path / "files")
        if source == "credential":
            await ask(client, "credentials/ledger", {"type": "sql", "values": {"url": url}}, method="PUT")
        given = {"document": document(use, url, source), "input": {"body": {}}, "effects": "real"}
        status, answer = await ask(client, "try", given, token)
        assert list(outside.iterdir()) == [], url
        assert status == 200, (url, answer)
        assert answer["error"]["code"] in ("sql.url", "sql.driver"), (url, answer)


@pytest.mark.rule(35)
@pytest.mark.parametrize("route", ROUTES)
async def test_no_operation_of_an_author_opens_such_a_file(client: Client, tmp_path: Path, route: str) -> None:
    token, outside = await author(client), tmp_path / "outside"
    given: dict[str, Any] = {"document": document("sql.execute", f"sqlite:///{outside}/x.pth", "step"), **ROUTES[route]}
    if route not in ("check", "test"):
        given["input"] = {"body": {}}
    status, answer = await ask(client, route.partition(" ")[0], given, token)
    assert status < 500, answer
    assert list(outside.iterdir()) == []


@pytest.mark.rule(35)
async def test_a_check_of_a_credential_opens_no_such_file(client: Client, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/outside/x.pth"
    await ask(client, "credentials/ledger", {"type": "sql", "values": {"url": url}}, method="PUT")
    status, answer = await ask(client, "credentials/ledger/verify", None)
    assert (status, answer["state"], answer["code"]) == (200, "failed", "sql.url")
    assert list((tmp_path / "outside").iterdir()) == []
