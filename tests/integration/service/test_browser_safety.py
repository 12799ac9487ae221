"""What a browser shows of a message acts as no page of this server: each response says so by its headers."""

import re
from pathlib import Path

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, TOKEN, write_flows
from tests.integration.served_hook import JSON, SERVERS, post, serving

from hookline.engine import Engine
from hookline.service.admin import blueprints
from hookline.service.admin.openapi import document
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions

POLICY = "sandbox allow-forms allow-scripts allow-popups"
ATTACK = "<script>fetch('/api/v1/me').then(r => r.text()).then(t => document.title = t)</script>"
HTML = {"headers": {"Content-Type": "text/html"}, "body": ATTACK}


def hook(id_: str, steps: list[object], **settings: object) -> dict[str, object]:
    return {"id": id_, "trigger": {"use": "webhook", "with": {"verify": "none", **settings}}, "steps": steps}


FLOWS = (
    hook("page", [{"use": "reply", "with": HTML}], respond="reply"),
    hook("accepted", [{"use": "log", "with": {"message": "x"}}], accepted=HTML),
    hook("file", [{"use": "reply", "with": {"attachment": "$.attachments[0]"}}], respond="reply", body="raw"),
    hook("failing", [{"use": "fail", "with": {"message": ATTACK}}], respond="reply"),
    hook("quiet", [{"use": "reply", "with": {"status": 204}}], respond="reply"),
    hook("limited", [{"use": "log", "with": {"message": "x"}}], max_body=10, cors={"origins": ["*"]}),
)


@pytest.fixture
def flows(flows: Path) -> Path:
    write_flows(flows, *FLOWS)
    return flows


@pytest.fixture
def client(engine: Engine) -> Client:
    assert {entry.state for entry in engine.catalog.entries.values()} == {"active"}
    return create_app(engine, HookOptions("https://hooks.example"), blueprints=blueprints(engine, TOKEN)).test_client()


def assert_apart(response: object) -> None:
    """Exactly one policy, which is the server's: without `allow-same-origin`, no cookie goes with a request."""
    headers = response.headers  # type: ignore[attr-defined]  # that of Quart's test client
    assert headers.getlist("Content-Security-Policy") == [POLICY]
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"]


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
@pytest.mark.parametrize(
    ("path", "status"),
    [("page", 200), ("accepted", 200), ("quiet", 204), ("failing", 502), ("unknown", 404), ("limited", 413)],
)
async def test_every_response_under_hook_is_in_the_sandbox(client: Client, path: str, status: int) -> None:
    response = await client.post(f"/hook/{path}", json={"a": "b" * 20})
    assert response.status_code == status, await response.get_data()
    assert_apart(response)
    if status == 200:
        assert await response.get_data(as_text=True) == ATTACK


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
async def test_an_attachment_is_in_the_sandbox_whatever_type_its_sender_declares(client: Client) -> None:
    response = await client.post("/hook/file", data=ATTACK.encode(), headers={"Content-Type": "image/svg+xml"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/svg+xml")
    assert await response.get_data(as_text=True) == ATTACK
    assert_apart(response)


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
async def test_other_methods_and_preflights_are_in_the_sandbox(client: Client) -> None:
    for ask in (client.get, client.head, client.options, client.delete):
        assert_apart(await ask("/hook/limited"))
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert_apart(await client.options("/hook/limited", headers=preflight))


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
async def test_every_answer_of_the_api_is_in_the_sandbox(client: Client) -> None:
    """Also what senders have sent: bodies and attachments of recordings."""
    await client.post("/hook/file", data=ATTACK.encode(), headers={"Content-Type": "text/html"})
    (execution,) = (await (await client.get("/api/v1/executions", headers=AUTH)).get_json())["items"]
    for path in (f"executions/{execution['id']}", f"executions/{execution['id']}/recording", "openapi.json", "none"):
        assert_apart(await client.get(f"/api/v1/{path}", headers=AUTH))
    for path in ("/api/v1/me", "/healthz", "/metrics", "/problems/request.host", "/nothing"):
        assert_apart(await client.get(path))


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
async def test_pages_of_the_server_keep_their_stricter_policy(client: Client) -> None:
    page = await client.get("/oauth/callback?state=x")
    (policy,) = page.headers.getlist("Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "allow-scripts" not in policy
    rejected = await client.get("/resume/unknown")
    assert rejected.status_code == 404
    assert_apart(rejected)


@pytest.mark.rule(54)
@pytest.mark.console_rule("K6")
@pytest.mark.parametrize("server", SERVERS)
async def test_what_the_servers_themselves_reject_is_in_the_sandbox(server: str) -> None:
    async with serving(server) as served:  # type: ignore[arg-type]  # one of them
        for request in (post(JSON, "Content-Length: x", body=b"{}"), b"BREW /hook/orders HTTP/1.1\r\nHost: x\r\n\r\n"):
            head = (await served.exchange(request)).lower()
            assert re.search(rb"http/1.1 40[05]", head)
            assert head.count(b"content-security-policy: " + POLICY.encode()) == 1
            assert head.count(b"x-content-type-options: nosniff") == 1


@pytest.mark.rule(54)
async def test_no_answer_of_the_api_is_stored_by_a_browser_or_a_proxy(client: Client) -> None:
    """All operations, without a token, with one, and with a body that is none; and paths that are no operation."""
    for path, operations in document(client.app)["paths"].items():  # type: ignore[attr-defined]  # that of Quart's test client
        url = re.sub(r"{[^}]*}", "unknown", path)
        for method in (*operations, "options", "head", "trace"):
            for headers in ({}, AUTH, AUTH | {"Content-Type": "application/json"}):
                if (path, method) in (("/api/v1/events", "get"), ("/api/v1/events", "head")) and headers:
                    continue  # It has no end.
                response = await client.open(url, method=method.upper(), headers=headers, data=b"{")
                assert response.headers.getlist("Cache-Control") == ["no-store"], (method, path, response.status)
    for url in ("/api/v1", "/api/v1/", "/api/v1/none", "/api/v1//me", "/api/v1/executions/a/b/c"):
        response = await client.get(url, headers=AUTH)
        assert response.headers.getlist("Cache-Control") == ["no-store"], (url, response.status)
    stream = client.request("/api/v1/events", headers=AUTH)
    async with stream as connection:
        await connection.receive()
        assert connection.headers is not None
        assert connection.headers.getlist("Cache-Control") == ["no-store"]
        await connection.disconnect()


@pytest.mark.rule(54)
async def test_rejections_by_the_servers_themselves_are_not_stored() -> None:
    for server in SERVERS:
        async with serving(server) as served:
            for request in (
                b"GET /api/v1/me HTTP/1.1\r\n\r\n",
                b"BREW /api/v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000,
            ):
                head = (await served.exchange(request)).lower()
                assert re.match(rb"http/1.1 4\d\d", head)
                assert head.count(b"cache-control: no-store") == 1


async def test_an_unknown_node_is_not_found(client: Client) -> None:
    response = await client.post("/api/v1/nodes/unknown/drain", headers=AUTH)
    assert (response.status_code, (await response.get_json())["code"]) == (404, "node.not_found")
