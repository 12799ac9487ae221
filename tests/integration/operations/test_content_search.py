"""Executions are found by what their messages say: by a text, by a JSONPath, or by both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.integration.engine_harness import Harness, act

from hookline.cli.main import main
from hookline.model.access import TokenScope
from hookline.operations import content_search
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

TOKEN = "a-token-of-the-tests"
LARGE = {"customer": "Zoe", "filler": ["y" * 1000] * 30}
BODIES: tuple[Any, ...] = (
    {"customer": "Ann Lee", "amount": 120, "lines": [{"sku": "A-1"}]},
    {"customer": "Bo", "amount": 7.5, "lines": []},
    "a text about Ann",
    LARGE,
    None,
)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


class Searched:
    def __init__(self, client: Any, ids: list[str], token: str = TOKEN) -> None:
        self.client, self.ids, self.token = client, ids, token

    async def ask(self, status: int = 200, **sought: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.client.post("/api/v1/executions/search", json=sought, headers=headers)
        assert answer.status_code == status, await answer.get_data(as_text=True)
        return await answer.get_json(force=True)

    async def found(self, **sought: Any) -> list[int]:
        return [self.ids.index(one["id"]) for one in (await self.ask(**sought))["items"]]


@asynccontextmanager
async def searched(harness: Harness, bodies: tuple[Any, ...] = BODIES, **settings: Any) -> AsyncIterator[Searched]:
    harness.flow("orders", [act("book")], **settings)
    async with harness.engine() as engine:
        ids = [await harness.send(engine, "orders", body) for body in bodies]
        for id_ in ids:
            await harness.until(engine, id_)
        yield Searched(create_pages(blueprints(engine, TOKEN)).test_client(), ids)


@pytest.mark.console_rule("K11")
async def test_messages_are_searched_newest_first_by_a_text_and_by_a_jsonpath(harness: Harness) -> None:
    async with searched(harness) as here:
        assert await here.found(text="ann") == [2, 0]
        assert await here.found(text="120") == [0]
        assert await here.found(text="zoe") == [3]
        assert await here.found(jsonpath="$.body.customer") == [3, 1, 0]
        assert await here.found(jsonpath="$.body.customer", text="bo") == [1]
        assert await here.found(jsonpath="$.body.lines[?(@.sku == 'A-1')]") == [0]
        assert await here.found(jsonpath="$.body.lines[*]") == [0]
        assert await here.found(jsonpath="$.trigger.method", text="post", flow_id="orders", state="succeeded") == [
            4,
            3,
            2,
            1,
            0,
        ]
        assert await here.found(text="nothing of this") == []
        assert (await here.ask(text="ann"))["scanned"] == 5
        assert (await here.ask(400))["code"] == "request.malformed"
        assert "jsonpath" in (await here.ask(400, jsonpath="$.body["))["detail"]
        assert (await here.ask(400, text="x", after="x"))["code"] == "request.malformed"


@pytest.mark.console_rule("K11")
async def test_a_page_ends_at_its_bounds_and_the_next_one_continues(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with searched(harness, tuple({"n": number} for number in range(7))) as here:
        first = await here.ask(jsonpath="$.body.n", limit=2)
        assert ([here.ids.index(one["id"]) for one in first["items"]], first["scanned"]) == ([6, 5], 2)
        second = await here.ask(jsonpath="$.body.n", limit=5, after=first["next"])
        assert ([here.ids.index(one["id"]) for one in second["items"]], second["next"]) == ([4, 3, 2, 1, 0], None)
        monkeypatch.setattr(content_search, "MAX_SCANNED", 3)
        bounded = await here.ask(jsonpath="$.body.n", text="0")
        assert (bounded["items"], bounded["scanned"], bounded["next"]) == ([], 3, here.ids[4])
        monkeypatch.setattr(content_search, "MAX_SECONDS", 0.0)
        late = await here.ask(jsonpath="$.body.n", text="0", after=bounded["next"])
        assert (late["items"], late["scanned"], late["next"]) == ([], 1, here.ids[3])


@pytest.mark.console_rule("K11")
async def test_redacted_values_never_match(harness: Harness) -> None:
    bodies = ({"card": "4111111111111111", "copy": "card 4111111111111111!", "id": 1},)
    async with searched(harness, bodies, redact=["$.body.card"]) as here:
        for text in ("4111", "***", "*"):
            assert await here.found(text=text) == []
        for jsonpath in ("$.body.card", "$.body[?(@.card == '***')]", "$..card"):
            assert await here.found(jsonpath=jsonpath) == []
        assert await here.found(text="card ") == [0]
        assert await here.found(jsonpath="$.body.id") == [0]


@pytest.mark.console_rule("K11")
async def test_a_limited_token_finds_executions_of_its_flows_alone(harness: Harness) -> None:
    harness.flow("other", [act("book")])
    harness.flow("orders", [act("book")])
    async with harness.engine() as engine:
        ids = [await harness.send(engine, flow_id, {"n": 1}) for flow_id in ("orders", "other", "orders")]
        for id_ in ids:
            await harness.until(engine, id_)
        client = create_pages(blueprints(engine, TOKEN)).test_client()
        made = await client.post(
            "/api/v1/tokens",
            json={"name": "one", "scopes": [TokenScope.READ.value], "flows": ["orders"]},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        token = (await made.get_json(force=True))["token"]
        limited = Searched(client, ids, token)
        assert await limited.found(jsonpath="$.body.n") == [2, 0]
        assert (await limited.ask(jsonpath="$.body.n"))["scanned"] == 2
        await limited.ask(404, jsonpath="$.body.n", flow_id="other")


@pytest.mark.console_rule("K11")
async def test_a_jsonpath_that_takes_too_much_work_matches_nothing(harness: Harness) -> None:
    wide: Any = [[[1] * 70 for _ in range(70)] for _ in range(70)]
    async with searched(harness, (wide, {"n": 1})) as here:
        assert await here.found(jsonpath="$..[?(@.n == 1)]") in ([], [1])
        assert await here.found(jsonpath="$.body.n") == [1]


def test_the_command_line_searches(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def send() -> list[str]:
        async with searched(harness) as here:
            return here.ids

    ids = asyncio.run(send())
    monkeypatch.chdir(harness.folder)
    monkeypatch.setenv("HOOKLINE_DB", harness.db)
    for sought, places in ((["--text", "ann"], [2, 0]), (["--jsonpath", "$.body.customer", "--text", "bo"], [1])):
        found = CliRunner().invoke(main, ["executions", "list", "--json", *sought])
        assert [ids.index(one["id"]) for one in json.loads(found.stdout)["items"]] == places, found.output
