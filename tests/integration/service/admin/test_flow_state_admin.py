"""What flows keep, by the admin API and the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from quart.typing import TestClientProtocol as Client
from tests.integration.engine_harness import Harness, act

from hookline.cli.main import main
from hookline.engine import Engine
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
AT = "/api/v1/flows/f/state"


@pytest.fixture
async def engine(harness: Harness) -> AsyncIterator[Engine]:
    harness.flow("f", [act("see")])
    async with harness.engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_pages(blueprints(engine, TOKEN)).test_client()


async def asked(client: Client, method: str, path: str, data: bytes | None = None) -> tuple[int, Any]:
    response = await getattr(client, method.lower())(path, headers=AUTH, data=data)
    content = await response.get_data(as_text=False)
    return response.status_code, json.loads(content) if content else None


@pytest.mark.parametrize("key", ["k", "a/b", "%2Fa%2F%2Fb", "%C3%A4%20%3F"])
async def test_a_value_is_set_read_and_deleted(client: Client, key: str) -> None:
    assert (await asked(client, "GET", f"{AT}/value?key={key}"))[0] == 404
    assert await asked(client, "PUT", f"{AT}/value?key={key}", b'{"n": 1.10}') == (204, None)
    status, found = await asked(client, "GET", f"{AT}/value?key={key}")
    assert (status, found["value"]) == (200, {"n": 1.1})
    status, page = await asked(client, "GET", AT)
    assert [(one["key"], one["value"]) for one in page["items"]] == [(found["key"], {"n": 1.1})]
    assert page["items"][0]["updated_at"]
    assert await asked(client, "DELETE", f"{AT}/value?key={key}") == (204, None)
    assert (await asked(client, "DELETE", f"{AT}/value?key={key}"))[0] == 404


async def test_null_removes_a_value(client: Client, engine: Engine) -> None:
    await asked(client, "PUT", f"{AT}/value?key=k", b"1")
    assert await asked(client, "PUT", f"{AT}/value?key=k", b"null") == (204, None)
    assert await engine.store.state("f", "k") is None


@pytest.mark.parametrize(
    ("method", "path", "data", "status", "detail"),
    [
        ("PUT", f"{AT}/value?key=k", b"{", 400, "The value is not JSON"),
        ("PUT", f"{AT}/value?key=k", b'"' + b"x" * 262_143 + b'"', 400, "at most 262,144"),
        ("PUT", f"{AT}/value?key={'k' * 201}", b"1", 400, "200 characters"),
        ("PUT", f"{AT}/value?key=a%00b", b"1", 400, "printable"),
        ("PUT", "/api/v1/flows/other/state/value?key=k", b"1", 404, "no flow 'other'"),
        ("GET", f"{AT}/value?key=a%00b", None, 404, "keeps nothing"),
        ("GET", f"{AT}?cursor=a%00", None, 400, "cursor"),
        ("GET", f"{AT}/value", None, 400, "?key="),
    ],
)
async def test_what_can_not_be_kept_is_rejected(
    client: Client, method: str, path: str, data: bytes | None, status: int, detail: str
) -> None:
    got, problem = await asked(client, method, path, data)
    assert (got, detail in problem["detail"]) == (status, True), problem


class TestCommands:
    @pytest.fixture(autouse=True)
    def folder(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Path:
        harness.flow("f", [])
        monkeypatch.chdir(harness.folder)
        return harness.folder

    async def hookline(self, *arguments: str, code: int = 0) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["state", *arguments], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    async def test_values_are_set_listed_read_and_deleted(self) -> None:
        assert await self.hookline("set", "f", "a/b", '{"n": 1}') == 'f keeps {"n": 1} under a/b\n'
        await self.hookline("set", "f", "c", '"text"')
        assert await self.hookline("get", "f", "c") == '"text"\n'
        assert json.loads(await self.hookline("get", "f", "a/b", "--json"))["value"] == {"n": 1}
        page = json.loads(await self.hookline("list", "f", "--limit", "1", "--json"))
        assert ([one["key"] for one in page["items"]], page["next"]) == (["a/b"], "a/b")
        shown = await self.hookline("list", "f")
        assert "a/b" in shown
        assert '"text"' in shown
        await self.hookline("delete", "f", "c")
        assert "keeps nothing under 'c'" in await self.hookline("get", "f", "c", code=1)

    async def test_what_can_not_be_kept_is_an_error(self) -> None:
        assert "is not JSON" in await self.hookline("set", "f", "k", "word", code=1)
        assert "no flow 'other'" in await self.hookline("set", "other", "k", "1", code=1)
        assert "cursor" in await self.hookline("list", "f", "--cursor", "a\0", code=1)
