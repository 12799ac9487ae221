"""Tags: values of a message by which people find its execution."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.integration.engine_harness import Harness, act

from hookline.cli.main import main
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
TAGS = {"order": "$.body.id", "customer": "{{ body.customer.name | upper }}", "paid": "$.body.paid", "kind": "web"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


async def test_executions_are_found_by_their_tags_and_order_keys(harness: Harness) -> None:
    harness.flow("orders", [act("book")], tags=TAGS, order_by="$.body.shop")
    async with harness.engine() as engine:
        client = create_pages(blueprints(engine, TOKEN)).test_client()
        bodies: list[dict[str, Any]] = [
            {"id": 7, "customer": {"name": "Ann"}, "paid": True, "shop": "north"},
            {"id": "7", "customer": {"name": "x" * 200}, "paid": [1], "shop": "south"},
            {"id": None, "shop": "north"},
        ]
        ids = [await harness.send(engine, "orders", body) for body in bodies]

        async def listed(**query: str) -> list[str]:
            answer = await client.get("/api/v1/executions", query_string=query, headers=AUTH)
            assert answer.status_code == 200, await answer.get_data()
            return [one["id"] for one in (await answer.get_json())["items"]]

        assert await listed(tag="order:7") == [ids[1], ids[0]]
        assert await listed(tag="order:7", order_key="south") == [ids[1]]
        assert await listed(tag=f"customer:{'X' * 200}") == [ids[1]]
        assert await listed(tag="paid:true", flow_id="orders") == [ids[0]]
        assert await listed(tag="kind:web") == ids[::-1]
        assert await listed(order_key="north") == [ids[2], ids[0]]
        shown = await (await client.get(f"/api/v1/executions/{ids[0]}", headers=AUTH)).get_json()
        assert shown["tags"] == {"order": "7", "customer": "ANN", "paid": "true", "kind": "web"}
        other = await (await client.get(f"/api/v1/executions/{ids[2]}", headers=AUTH)).get_json()
        assert other["tags"] == {"kind": "web"}
        wrong = await client.get("/api/v1/executions", query_string={"tag": "order"}, headers=AUTH)
        assert wrong.status_code == 400
        for id_ in ids:
            await harness.until(engine, id_)
        replay = {"do": "replay", "tag": "customer:ANN"}
        done = await (await client.post("/api/v1/executions/many", json=replay, headers=AUTH)).get_json()
        (new,) = [one["new_id"] for one in done["done"]]
        assert await listed(tag="customer:ANN") == [new, ids[0]]
        await harness.until(engine, new)


def test_the_command_line_lists_by_tag_and_by_order_key(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.flow("orders", [act("book")], tags={"order": "$.body.id"}, order_by="$.body.shop")

    async def send() -> list[str]:
        async with harness.engine() as engine:
            ids = [await harness.send(engine, "orders", {"id": 7, "shop": shop}) for shop in ("north", "south")]
            for id_ in ids:
                await harness.until(engine, id_)
            return ids

    ids = asyncio.run(send())
    monkeypatch.chdir(harness.folder)
    monkeypatch.setenv("HOOKLINE_DB", harness.db)
    found = CliRunner().invoke(main, ["executions", "list", "--tag", "order:7", "--order-key", "south", "--json"])
    assert [one["id"] for one in json.loads(found.stdout)["items"]] == [ids[1]]


async def test_a_tag_never_shows_a_redacted_value(harness: Harness) -> None:
    harness.flow("cards", [act("book")], tags={"copy": "$.body.copy", "id": "$.body.id"}, redact=["$.body.card"])
    async with harness.engine() as engine:
        id_ = await harness.send(engine, "cards", {"card": "4111111111111111", "copy": "4111111111111111", "id": "x1"})
        await harness.until(engine, id_)
        envelope = await engine.store.envelope(id_)
        assert envelope is not None
        assert envelope.tags == {"id": "x1"}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"tags": {"card": "$.body.card"}, "redact": ["$.body.card"]}, "redacted_tag"),
        ({"tags": {"all": "{{ body | string }}"}, "redact": ["$.body.card"]}, "redacted_tag"),
        ({"tags": {f"t{number}": "$.body.id" for number in range(11)}}, "invalid_value"),
        ({"tags": {"a:b": "$.body.id"}}, "invalid_value"),
        ({"tags": {"id": "$.steps.book.body"}}, "out_of_scope"),
        ({"tags": {"id": "$.body.["}}, "expression.syntax"),
    ],
)
async def test_tags_that_cannot_be_are_problems(harness: Harness, settings: dict[str, Any], code: str) -> None:
    harness.flow("orders", [act("book")], **settings)
    async with harness.engine() as engine:
        assert code in {problem.code for problem in engine.catalog.entries["orders"].errors}
