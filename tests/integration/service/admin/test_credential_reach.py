"""The flows that may use a credential, and the hosts to which it may be sent: setting, showing and hiding them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions

BEARER = {"type": "bearer", "values": {"token": "hunter2-hunter2-hunter2"}}


class Listener:
    """A server that keeps what it gets, and answers 200."""

    port = 0

    def __init__(self) -> None:
        self.received = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received += await reader.read(65_536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def engine(tmp_path: Path, flows: Path) -> AsyncIterator[Engine]:
    """An engine that may reach this machine, so that nothing but the credential's hosts is in the way."""
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=flows,
        secret_keys=(b"k" * 32,),
        watch=False,
        egress_allow=("127.0.0.1",),
    )
    async with Engine(load_plugins(), options) as engine:
        yield engine


async def ask(client: Client, method: str, path: str, body: Any = None, *, token: dict[str, str] = AUTH) -> Any:
    response = await client.open(f"/api/v1/{path}", method=method, headers=token, json=body)
    return response.status_code, await response.get_json(force=True)


async def limited(client: Client, *flows: str, scope: str = "author") -> dict[str, str]:
    body = {"name": "-".join([scope, *flows]), "scopes": [scope], "flows": list(flows)}
    status, made = await ask(client, "POST", "tokens", body)
    assert status == 201, made
    return {"Authorization": f"Bearer {made['token']}"}


async def test_flows_and_hosts_are_set_with_a_credential_and_shown(client: Client) -> None:
    body = {**BEARER, "flows": ["billing-*"], "hosts": ["api.example.com"]}
    status, made = await ask(client, "PUT", "credentials/bank", body)
    assert (status, made["flows"], made["hosts"], made["used_by"]) == (200, ["billing-*"], ["api.example.com"], [])
    _, listed = await ask(client, "GET", "credentials")
    assert [(one["flows"], one["hosts"]) for one in listed["items"]] == [(["billing-*"], ["api.example.com"])]
    status, made = await ask(client, "PUT", "credentials/bank", BEARER)
    assert (made["flows"], made["hosts"]) == ([], []), "a PUT replaces all"
    _, audit = await ask(client, "GET", "audit?subject=bank")
    assert "bearer; flows: billing-*; hosts: api.example.com" in {one["detail"] for one in audit["items"]}


async def test_a_patch_changes_only_what_it_names(client: Client, engine: Engine) -> None:
    body = {"type": "basic", "values": {"username": "ada", "password": "old-password"}, "flows": ["a"], "hosts": ["h"]}
    await ask(client, "PUT", "credentials/shop", body)
    status, made = await ask(client, "PATCH", "credentials/shop", {"values": {"password": "new-password"}})
    assert (status, made["flows"], made["hosts"]) == (200, ["a"], ["h"])
    status, made = await ask(client, "PATCH", "credentials/shop", {"hosts": ["i"]})
    assert (status, made["flows"], made["hosts"]) == (200, ["a"], ["i"])
    status, made = await ask(client, "PATCH", "credentials/shop", {"flows": []})
    assert (status, made["flows"], made["hosts"]) == (200, [], ["i"])
    await engine.credentials.load()
    (stored,) = await engine.store.credentials()
    assert (stored.flows, stored.hosts) == ((), ("i",))
    kept: Any = engine.credentials.get("shop", None).value
    assert (kept.username, kept.password[0].get_secret_value()) == ("ada", "new-password")
    status, problem = await ask(client, "PATCH", "credentials/shop", {"values": {"username": None}})
    assert status == 422, "the whole must be valid"
    assert [one["pointer"] for one in problem["problems"]] == ["/username"]
    assert (await ask(client, "PATCH", "credentials/nobody", {"flows": []}))[0] == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_patterns_and_hosts_that_match_nothing_are_named_with_all_other_problems(
    client: Client, method: str
) -> None:
    await ask(client, "PUT", "credentials/bank", BEARER)
    body = {"values": {"tokn": "x"}, "flows": ["a", "[b]"], "hosts": ["https://x/path", "user@x", "ok.example", "*"]}
    body |= {"type": "bearer"} if method == "PUT" else {}
    status, problem = await ask(client, method, "credentials/bank", body)
    assert status == 422
    places = {one["pointer"] for one in problem["problems"]}
    assert {"/flows/1", "/hosts/0", "/hosts/1", "/hosts/3", "/tokn"} <= places
    assert not {"/flows/0", "/hosts/2"} & places


async def test_a_limited_token_sees_the_credentials_of_its_flows_alone(client: Client) -> None:
    for name, flows in (("mine", ["mi*"]), ("all", []), ("other", ["other"])):
        await ask(client, "PUT", f"credentials/{name}", {**BEARER, "flows": flows})
    token = await limited(client, "mine")
    status, listed = await ask(client, "GET", "credentials", token=token)
    assert (status, [one["name"] for one in listed["items"]]) == (200, ["all", "mine"])
    assert (await ask(client, "GET", "credentials/other", token=token))[0] == 404
    assert (
        await ask(client, "POST", "credentials/other/verify", token=await limited(client, "mine", scope="operate"))
    )[0] == 404
    admin = await limited(client, "mine", scope="admin")
    for method in ("PUT", "PATCH", "DELETE"):
        status, _ = await ask(client, method, "credentials/mine", BEARER if method == "PUT" else {}, token=admin)
        assert status == 403, "what all flows may use is no matter of a token for some"


# --- Enforcement ---


def sending(url: str, **more: Any) -> dict[str, Any]:
    """A flow that sends a credential to a URL."""
    return {
        "id": "mine",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        **more,
        "steps": [{"id": "out", "use": "http.request", "with": {"url": url}, "credential": "bank"}],
    }


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """An author's own server."""
    made = Listener()
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


async def tried(client: Client, token: dict[str, str], document: Any, **more: Any) -> Any:
    body = {"document": document, "input": {"body": {"at": "x"}}, "effects": "real", **more}
    return (await ask(client, "POST", "try", body, token=token))[1]


@pytest.mark.rule(47)
@pytest.mark.parametrize("chosen", ["literal", "var"])
async def test_a_credential_with_hosts_is_sent_to_no_other_host_by_a_try(
    client: Client, listener: Listener, chosen: str
) -> None:
    await ask(client, "PUT", "credentials/bank", {**BEARER, "hosts": ["api.example.com"]})
    document = sending(listener.url)
    if chosen == "var":
        document = sending("{{ vars.there }}/x", vars={"there": listener.url.rstrip("/")})
    result = await tried(client, await limited(client, "mine"), document)
    assert listener.received == b""
    assert ("credential_host" if chosen == "literal" else "http.credential_host") in str(result), result


@pytest.mark.rule(47)
async def test_a_credential_with_hosts_is_sent_to_no_other_host_by_a_deployed_flow(
    client: Client, engine: Engine, listener: Listener
) -> None:
    await ask(client, "PUT", "credentials/bank", {**BEARER, "hosts": ["api.example.com"]})
    token = await limited(client, "mine", scope="author")
    status, _ = await ask(client, "PUT", "flows/mine", sending(listener.url), token=token)
    assert status in (200, 201)
    ended = await run_to_end(client, token)
    assert ended["error"]["code"] == "http.credential_host"
    assert listener.received == b""
    status, _ = await ask(client, "PATCH", "credentials/bank", {"hosts": [f"http://127.0.0.1:{listener.port}"]})
    await run_to_end(client, token)
    assert b"hunter2-hunter2-hunter2" in listener.received


@pytest.mark.rule(12)
async def test_a_flow_that_a_credential_is_not_for_waits_as_if_there_were_none(
    client: Client, engine: Engine, listener: Listener
) -> None:
    await ask(client, "PUT", "credentials/bank", {**BEARER, "flows": ["billing-*"]})
    token = await limited(client, "mine", scope="author")
    result = await tried(client, token, sending(listener.url))
    assert listener.received == b""
    assert "there is no credential 'bank'" in str(result), result
    assert "billing" not in str(result), "the token doesn't see the credential"
    await ask(client, "PUT", "flows/mine", sending(listener.url), token=token)
    _, started = await ask(client, "POST", "flows/mine/start", {"body": 1}, token=token)
    execution = await until(client, started["execution_id"], token, "waiting")
    assert "there is no credential 'bank' for flow 'mine'" in execution["reason"]
    assert listener.received == b""
    await ask(client, "PATCH", "credentials/bank", {"flows": ["billing-*", "mine"]})
    await until(client, started["execution_id"], token, "succeeded", "failed")
    assert b"hunter2-hunter2-hunter2" in listener.received


async def run_to_end(client: Client, token: dict[str, str]) -> Any:
    _, started = await ask(client, "POST", "flows/mine/start", {"body": 1}, token=token)
    return await until(client, started["execution_id"], token, "succeeded", "failed")


async def until(client: Client, execution_id: str, token: dict[str, str], *states: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            _, found = await ask(client, "GET", f"executions/{execution_id}", token=token)
            if found["state"] in states:
                return found
            await asyncio.sleep(0.01)


async def test_a_check_names_the_place_of_a_credential_for_other_flows_or_hosts(client: Client) -> None:
    await ask(client, "PUT", "credentials/bank", {**BEARER, "flows": ["billing-*"]})
    _, checked = await ask(client, "POST", "check", {"document": sending("https://x.example/")})
    found = {one["code"]: (one["pointer"], one["severity"]) for one in checked["problems"]}
    assert found["credential_flows"] == ("/steps/0/credential", "error")
    await ask(client, "PUT", "credentials/bank", {**BEARER, "hosts": ["api.example.com"]})
    _, checked = await ask(client, "POST", "check", {"document": sending("https://x.example/")})
    found = {one["code"]: (one["pointer"], one["severity"]) for one in checked["problems"]}
    assert found["credential_host"] == ("/steps/0/with/url", "error")
    assert "credential_hosts" not in found
    _, checked = await ask(client, "POST", "check", {"document": sending("https://api.example.com/")})
    assert "credential_host" not in {one["code"] for one in checked["problems"]}


async def test_a_generic_credential_without_hosts_is_warned_of_everywhere(client: Client) -> None:
    await ask(client, "PUT", "credentials/bank", BEARER)
    await ask(client, "PUT", "credentials/sender", {"type": "github", "values": {"secret": "hunter2-hunter2"}})
    await ask(client, "PUT", "credentials/service", {"type": "github-api", "values": {"token": "hunter2-hunter2"}})
    _, listed = await ask(client, "GET", "credentials")
    warned = {one["name"] for one in listed["items"] if one["warnings"]}
    assert warned == {"bank"}
    _, checked = await ask(client, "POST", "check", {"document": sending("https://x.example/")})
    found = {one["code"]: (one["pointer"], one["severity"]) for one in checked["problems"]}
    assert found["credential_hosts"] == ("/steps/0/credential", "warning")
    _, attention = await ask(client, "GET", "attention")
    (item,) = [one for one in attention["items"] if one["kind"] == "credential_hosts"]
    assert "bank" in item["title"]
    await ask(client, "PATCH", "credentials/bank", {"hosts": ["api.example.com"]})
    _, listed = await ask(client, "GET", "credentials")
    assert not any(one["warnings"] for one in listed["items"])
