"""The flows that may use a credential, and the hosts to which it may be sent: setting, showing and hiding them."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH

from hookline.engine import Engine

BEARER = {"type": "bearer", "values": {"token": "hunter2-hunter2-hunter2"}}


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
    kept: Any = engine.credentials.get("shop")[1]
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
