"""What the admin API shows of the server itself: its plugins, its settings, and the schemas of its components."""

import json
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, TOKEN, write_flows

from hookline.cli.host.server_setting_views import server_setting_views
from hookline.engine import Engine
from hookline.model.access import SYSTEM
from hookline.server_settings import load
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

FLOW = {
    "id": "partners",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "shop"}}},
    "steps": [{"use": "log", "with": {"message": "hello"}}],
}


@pytest.fixture
def flows(flows: Path) -> Path:
    write_flows(flows, FLOW)
    return flows


@pytest.fixture
async def client(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    (tmp_path / "hookline.toml").write_text('retention = "15d"\n')
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("HOOKLINE_DB", "postgresql://hookline:s3cret@db.example/hookline")
    settings = load({"port": 9000}, tmp_path / "hookline.toml")
    for name in ("shop", "other"):
        await engine.credentials.put(name, "api-key", {"key": "s3cret"}, by=SYSTEM)
    return create_pages(blueprints(engine, TOKEN, settings=server_setting_views(settings))).test_client()


async def get(client: Client, path: str, status: int = 200) -> Any:
    response = await client.get(f"/api/v1/{path}", headers=AUTH)
    assert response.status_code == status, await response.get_data()
    return await response.get_json(force=True)


async def test_settings_are_shown_with_their_sources_and_without_secrets(client: Client, tmp_path: Path) -> None:
    settings = {one["name"]: one for one in (await get(client, "settings"))["items"]}
    assert (settings["port"]["value"], settings["port"]["default"]) == (9000, 8080)
    assert settings["port"]["source"] == "the command line"
    assert (settings["retention"]["value"], settings["retention"]["source"]) == ("15d", str(tmp_path / "hookline.toml"))
    assert settings["db"]["variable"] == "HOOKLINE_DB"
    assert settings["db"]["source"] == "the environment"
    assert settings["grace"]["source"] is None
    assert settings["admin_token"]["value"] is not None
    shown = json.dumps(settings)
    assert TOKEN not in shown
    assert "s3cret" not in shown


async def test_plugins_are_shown_with_their_state_and_examined(client: Client) -> None:
    plugins = {one["name"]: one for one in (await get(client, "plugins"))["items"]}
    assert plugins["http"]["distribution"] == "hookline"
    assert plugins["http"]["error"] is None
    assert [one["name"] for one in plugins["http"]["connectors"]] == ["http"]
    examined = {one["name"]: one for one in (await get(client, "plugins/doctor"))["items"]}
    assert examined.keys() == plugins.keys()


async def test_components_have_schemas(client: Client) -> None:
    schema = await get(client, "components/api-key/schema?kind=credential%20type")
    assert schema["required"] == ["key"]
    assert "url" in (await get(client, "components/http.request/schema?kind=action"))["properties"]
    assert (await get(client, "components/webhook/schema?kind=trigger"))["type"] == "object"
    assert (await get(client, "components/http.request/schema?kind=trigger", 404))["code"] == "component.not_found"
    await get(client, "components/http.request/schema", 400)


async def test_a_credential_names_the_flows_that_use_it(client: Client) -> None:
    assert (await get(client, "credentials/shop"))["used_by"] == ["partners"]
    credentials = {one["name"]: one["used_by"] for one in (await get(client, "credentials"))["items"]}
    assert credentials == {"shop": ["partners"], "other": []}
