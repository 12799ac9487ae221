"""Drafts of flows over the admin API: nobody overwrites the draft of another unseen, and nobody is served one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.engine_harness import Harness, act

from hookline.engine import Engine
from hookline.flows.documents.read import MAX_DOCUMENT
from hookline.model.access import TokenScope
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions

TOKEN = "a-token-of-the-tests"
ORDERS = "/api/v1/drafts/orders"


@pytest.fixture
async def engine(harness: Harness) -> AsyncIterator[Engine]:
    harness.flow("works", [act("one")])
    async with harness.engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_app(engine, HookOptions("http://x"), blueprints=blueprints(engine, TOKEN)).test_client()


async def ask(
    client: Client, method: str, path: str = ORDERS, *, token: str = TOKEN, json: Any = None, **conditions: str
) -> tuple[int, Any, str | None]:
    """The status, the body and the ETag of a response; conditions are headers, such as `if_match`."""
    headers = {"Authorization": f"Bearer {token}"} | {key.replace("_", "-"): one for key, one in conditions.items()}
    response = await client.open(path, method=method, headers=headers, json=json)
    body = await response.get_json() if response.status_code != 204 else None
    return response.status_code, body, response.headers.get("ETag")


async def test_a_draft_is_any_text_and_says_who_saved_it_when(client: Client, engine: Engine) -> None:
    broken = '{"id": "orders", "steps": [ü'
    status, saved, tag = await ask(client, "PUT", json={"text": broken, "base": "ab12"})
    assert status == 201
    assert (saved["flow_id"], saved["base"], saved["updated_by"]) == ("orders", "ab12", "token:admin")
    assert saved["size"] == len(broken.encode())
    assert tag == f'"{saved["version"]}"'
    assert await ask(client, "GET") == (200, saved | {"text": broken}, tag)
    _, listed, _ = await ask(client, "GET", "/api/v1/drafts")
    assert listed == {"items": [saved], "next": None}


async def test_nobody_is_served_a_draft(client: Client, engine: Engine) -> None:
    flow = '{"id": "orders", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []}'
    await ask(client, "PUT", json={"text": flow})
    await engine.version_switch.refresh()
    assert (await client.post("/hook/orders", json={})).status_code == 404
    assert (await ask(client, "GET", "/api/v1/flows/orders"))[0] == 404
    _, flows, _ = await ask(client, "GET", "/api/v1/flows")
    assert [one["id"] for one in flows["items"]] == ["works"]


async def test_nobody_overwrites_a_draft_that_they_have_not_seen(client: Client) -> None:
    _, _, first = await ask(client, "PUT", json={"text": "1"})
    for conditions in ({}, {"if_none_match": "*"}, {"if_match": '"0"'}):
        status, problem, _ = await ask(client, "PUT", json={"text": "mine"}, **conditions)
        assert (status, problem["code"]) == (412, "draft.conflict"), conditions
    status, _, second = await ask(client, "PUT", json={"text": "2"}, if_match=str(first))
    assert status == 200
    assert (await ask(client, "PUT", json={"text": "3"}, if_match=str(first)))[0] == 412
    assert (await ask(client, "DELETE", if_match=str(first)))[0] == 412
    _, draft, tag = await ask(client, "GET")
    assert (draft["text"], tag) == ("2", second)
    assert (await ask(client, "PUT", json={"text": "3"}, if_match="*"))[0] == 200


async def test_the_same_content_has_the_same_tag(client: Client) -> None:
    """So a browser that didn't get the answer finds that its text was saved."""
    _, _, first = await ask(client, "PUT", json={"text": "1"})
    _, _, same = await ask(client, "PUT", json={"text": "1"}, if_match=str(first))
    _, _, other = await ask(client, "PUT", json={"text": "1", "base": "ab"}, if_match=str(first))
    assert first == same != other


async def test_a_draft_that_is_removed_is_gone(client: Client) -> None:
    await ask(client, "PUT", json={"text": "1"})
    assert (await ask(client, "DELETE"))[0] == 204
    for method in ("GET", "DELETE"):
        status, problem, _ = await ask(client, method)
        assert (status, problem["code"]) == (404, "draft.not_found")
    assert (await ask(client, "PUT", json={"text": "1"}, if_match="*"))[0] == 412


@pytest.mark.rule(48)
async def test_saving_again_and_again_is_recorded_once_until_somebody_else_saves(
    client: Client, engine: Engine
) -> None:
    made = await client.post(
        "/api/v1/tokens",
        headers={"Authorization": f"Bearer {TOKEN}"},
        json={"name": "ann", "scopes": [TokenScope.AUTHOR.value]},
    )
    ann = (await made.get_json())["token"]
    for token in (TOKEN, TOKEN, ann, ann, TOKEN):
        tag = (await ask(client, "GET"))[2]
        conditions = {} if tag is None else {"if_match": tag}
        assert (await ask(client, "PUT", token=token, json={"text": "1"}, **conditions))[0] in (200, 201)
    entries = [one for one in (await engine.store.audit()).items if one.operation == "draft.save"]
    assert [(str(one.actor), one.detail) for one in reversed(entries)] == [
        ("token:admin", None),
        ("token:ann", "over what token:admin had saved"),
        ("token:admin", "over what token:ann had saved"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (ORDERS, {"text": "x" * (MAX_DOCUMENT + 1)}, 413),
        (ORDERS, {"text": "1", "base": "not a version"}, 400),
        (ORDERS, {}, 400),
        ("/api/v1/drafts/Not-an-id", {"text": "1"}, 400),
        (f"/api/v1/drafts/{'a' * 101}", {"text": "1"}, 400),
    ],
)
async def test_what_is_no_draft_is_rejected(client: Client, path: str, body: Any, status: int) -> None:
    assert (await ask(client, "PUT", path, json=body))[0] == status
    assert (await ask(client, "GET", "/api/v1/drafts"))[1]["items"] == []
