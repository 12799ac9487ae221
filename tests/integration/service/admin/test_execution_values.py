"""The values of executions over the admin API: excerpts of large ones, outlines, cases, and reasons of discards."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, write_flows

from hookline.secrets.masking import MASK
from hookline.service.views.executions import STEPS_SHOWN

API = "/api/v1"
ECHO = {
    "id": "echo",
    "trigger": {"use": "manual"},
    "steps": [{"id": "again", "use": "map", "with": {"body": {"text": "$.body.text", "list": "$.body.list"}}}],
}
BREAK = {
    "id": "break",
    "trigger": {"use": "manual"},
    "steps": [{"id": "no", "use": "fail", "with": {"message": "not today", "code": "closed"}}],
}

EACH = {
    "id": "each",
    "trigger": {"use": "manual"},
    "steps": [
        {
            "id": "lines",
            "foreach": "$.body",
            "as": "line",
            "steps": [
                {"id": "one", "use": "map", "with": {"body": "$.line"}},
                {"id": "two", "use": "map", "with": {"body": 2}},
            ],
        }
    ],
}


@pytest.fixture
def flows(flows: Path) -> Path:
    write_flows(flows, ECHO, BREAK, EACH)
    return flows


async def call(client: Client, method: str, path: str, status: int = 200, **given: Any) -> Any:
    response = await client.open(f"{API}{path}", method=method, headers=AUTH, **given)
    assert response.status_code == status, await response.get_data()
    return await response.get_json(force=True)


async def run(client: Client, flow_id: str, body: str) -> str:
    headers = {"Content-Type": "application/json"}
    response = await client.post(f"{API}/flows/{flow_id}/start", data=f'{{"body": {body}}}', headers=AUTH | headers)
    execution_id: str = (await response.get_json(force=True))["execution_id"]
    async with asyncio.timeout(30):
        while True:
            if (await call(client, "GET", f"/executions/{execution_id}"))["finished_at"] is not None:
                return execution_id
            await asyncio.sleep(0.01)


async def test_a_large_value_is_shown_in_part_and_its_rest_is_fetched(client: Client) -> None:
    text = "äöü" * 100_000
    id_ = await run(client, "echo", json.dumps({"text": text, "list": list(range(1000))}))
    values = f"/executions/{id_}/values?step=again"
    shown = await call(client, "GET", values)
    assert shown["value"]["output"]["body"]["text"] == text[:4096]
    assert shown["value"]["output"]["body"]["list"] == list(range(200))
    cuts = {cut["pointer"]: cut for cut in shown["cuts"]}
    assert cuts["/output/body/text"] == {"pointer": "/output/body/text", "size": 300_000, "offset": 0, "shown": 4096}
    rest = await call(client, "GET", f"{values}&pointer=/output/body/list&offset=900")
    assert rest == {
        "value": list(range(900, 1000)),
        "cuts": [{"pointer": "/output/body/list", "size": 1000} | {"offset": 900, "shown": 100}],
    }
    whole = await client.get(f"{API}{values.replace('?', '/download?')}&pointer=/output/body/text", headers=AUTH)
    assert (await whole.get_json()) == text
    assert whole.headers["Content-Disposition"].startswith("attachment")


async def test_the_message_is_shown_with_its_numbers_as_they_came(client: Client) -> None:
    id_ = await run(client, "echo", '{"text": 123456789012345678901234567890, "list": []}')
    response = await client.get(f"{API}/executions/{id_}/values", headers=AUTH)
    assert b'"text":123456789012345678901234567890' in await response.get_data()


@pytest.mark.parametrize(
    "query", ["step=nothing", "step=again&attempt=2", "pointer=/body/nothing", "step=again&pointer=/output/body/list/9"]
)
async def test_a_value_that_does_not_exist_is_404(client: Client, query: str) -> None:
    id_ = await run(client, "echo", '{"text": "a", "list": []}')
    problem = await call(client, "GET", f"/executions/{id_}/values?{query}", 404)
    assert problem["code"] == "execution.no_value"


@pytest.mark.parametrize("query", ["offset=00000000000199999999", "attempt=0000000000001", "offset=1000000001"])
async def test_a_number_beyond_its_bounds_is_400(client: Client, query: str) -> None:
    id_ = await run(client, "echo", '{"text": "a", "list": []}')
    problem = await call(client, "GET", f"/executions/{id_}/values?{query}", 400)
    assert "a number from 0 to 1000000000" in problem["detail"]


async def test_an_outline_has_the_steps_without_their_values(client: Client) -> None:
    id_ = await run(client, "echo", '{"text": "a", "list": []}')
    (whole,) = (await call(client, "GET", f"/executions/{id_}"))["steps"]
    (outline,) = (await call(client, "GET", f"/executions/{id_}?outline=true"))["steps"]
    assert whole["output"] is not None
    assert outline == {**whole, "input": None, "output": None}


async def test_the_steps_after_those_of_the_view_are_listed_from_its_cursor(client: Client) -> None:
    items = STEPS_SHOWN // 2 + 50
    id_ = await run(client, "each", json.dumps(list(range(items))))
    shown = await call(client, "GET", f"/executions/{id_}?outline=true")
    assert len(shown["steps"]) == STEPS_SHOWN
    found, cursor = [step["path"] for step in shown["steps"]], shown["more_steps"]
    while cursor is not None:
        page = await call(client, "GET", f"/executions/{id_}/steps?outline=true&cursor={cursor}&limit=70")
        assert {(step["input"], step["output"]) for step in page["items"]} == {(None, None)}
        found += [step["path"] for step in page["items"]]
        cursor = page["next"]
    assert len(found) == len(set(found))
    assert set(found) == {"lines", *(f"lines[{item}]/{step}" for item in range(items) for step in ("one", "two"))}
    few = await run(client, "each", "[1, 2]")
    assert (await call(client, "GET", f"/executions/{few}"))["more_steps"] is None


async def test_the_reason_of_a_discard_is_in_the_audit(client: Client) -> None:
    id_ = await run(client, "break", "null")
    await call(client, "POST", f"/executions/{id_}/discard", json={"reason": "a test order"})
    (entry,) = (await call(client, "GET", f"/audit?subject={id_}&operation=execution.discard"))["items"]
    assert entry["detail"] == "a test order"


async def test_a_bulk_discard_has_one_reason_for_all(client: Client) -> None:
    ids = {await run(client, "break", "null") for _ in range(2)}
    done = await call(
        client, "POST", "/executions/many", json={"do": "discard", "flow_id": "break", "reason": "known fault"}
    )
    assert {one["id"] for one in done["done"]} == ids
    entries = (await call(client, "GET", "/audit?operation=execution.discard"))["items"]
    assert {(one["subject"], one["detail"]) for one in entries} == {(id_, "known fault") for id_ in ids}


async def test_a_case_has_no_secret_in_a_list_below_the_name_of_one(client: Client) -> None:
    text = {"multiValueHeaders": {"Authorization": ["Bearer hunter2hunter2"], "Host": ["a"]}}
    id_ = await run(client, "echo", json.dumps({"text": text, "list": ["hunter2hunter2"]}))
    made = await call(client, "GET", f"/executions/{id_}/case?name=a")
    headers = {"Authorization": [MASK], "Host": ["a"]}
    assert made["case"]["input"]["body"] == {"text": {"multiValueHeaders": headers}, "list": [MASK]}
    assert "hunter2" not in str(made)


async def test_an_execution_becomes_a_test_case_that_can_be_saved(client: Client) -> None:
    id_ = await run(client, "echo", '{"text": "a", "list": [1]}')
    made = await call(client, "GET", f"/executions/{id_}/case?name=the%20first")
    assert made["case"]["name"] == "the first"
    assert made["case"]["input"]["body"] == {"text": "a", "list": [1]}
    assert made["case"]["expect"]["outcome"] == "completed"
    response = await client.put(f"{API}/flows/echo/cases", json={"cases": [made["case"]]}, headers=AUTH)
    assert response.status_code == 204
    assert await call(client, "GET", "/flows/echo/cases") == {"cases": [made["case"]]}
