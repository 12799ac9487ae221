"""Who may do what over the admin API: every route, with each scope, and with tokens that are no good."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from quart.typing import TestClientProtocol as Client

from hookline.access.caller import Caller
from hookline.discovery.loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.time import rfc3339
from hookline.model.access import SYSTEM, Scope
from hookline.service.admin import blueprints, openapi
from hookline.service.app import create_pages
from hookline.testing.clock import ManualClock

ADMIN: Final = "a-token-of-the-tests"
#: What needs more than `read`, by operation id. What isn't listed here needs `read`, and changes nothing.
NEEDS: Final[Mapping[str, Scope]] = {
    "put_flow": Scope.AUTHOR,
    "delete_flow": Scope.AUTHOR,
    "put_cases": Scope.AUTHOR,
    "deploy_flows": Scope.AUTHOR,
    "roll_back_deployment": Scope.AUTHOR,
    **dict.fromkeys(
        (
            "start_flow",
            "sign_message",
            "pause_flow",
            "stop_flow",
            "resume_flow",
            "reset_flow",
            "set_kept",
            "drop_kept",
            "move_execution",
            "retry_execution",
            "resume_execution",
            "release_execution",
            "cancel_execution",
            "discard_execution",
            "replay_execution",
            "many_executions",
            "verify_credential",
        ),
        Scope.OPERATE,
    ),
    **dict.fromkeys(
        (
            "roll_back_flow",
            "plan_deploy",
            "list_options",
            "check_document",
            "evaluate_expression",
            "try_flow",
            "backtest_flow",
        ),
        Scope.AUTHOR,
    ),
    **dict.fromkeys(
        (
            "put_credential",
            "drop_credential",
            "authorize_credential",
            "get_authorization",
            "finish_authorization",
            "rotate_credentials",
            "list_tokens",
            "create_token",
            "revoke_token",
            "list_rejected_sign_ins",
        ),
        Scope.ADMIN,
    ),
}
#: What concerns the whole server, and is nothing for a token that is limited to some flows.
WHOLE_SERVER: Final = frozenset(
    {
        "get_storage",
        "list_credentials",
        "get_credential",
        "put_credential",
        "drop_credential",
        "verify_credential",
        "authorize_credential",
        "get_authorization",
        "finish_authorization",
        "rotate_credentials",
        "list_rejected_sign_ins",
    }
)
_SCOPES: Final = list(Scope)


def _flow(name: str) -> dict[str, Any]:
    steps = [{"use": "fail", "with": {"message": "no", "code": name}}]
    return {"id": name, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    flows = tmp_path / "flows"
    flows.mkdir()
    for name in ("mine", "other"):
        (flows / f"{name}.json").write_text(json.dumps(_flow(name)))
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=flows,
        secret_keys=(b"k" * 32,),
        watch=False,
    )
    async with Engine(load_plugins(), options) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_pages(blueprints(engine, ADMIN)).test_client()


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def _token(client: Client, name: str, scope: str, **fields: Any) -> str:
    response = await client.post(
        "/api/v1/tokens", headers=_bearer(ADMIN), json={"name": name, "scopes": [scope], **fields}
    )
    made = await response.get_json()
    assert response.status_code == 201, made
    return str(made["token"])


def _routes(client: Client) -> list[tuple[str, str, str]]:
    """Method, path with its parameters filled in, and operation id of each route of the document under /api/v1."""
    described = openapi.document(client.app)["paths"]  # type: ignore[attr-defined]  # the test client has it
    return [
        (method.upper(), re.sub(r"\{flow_id\}", "mine", re.sub(r"\{(?!flow_id)[^}]*\}", "x", path)), it["operationId"])
        for path, operations in described.items()
        if path.startswith("/api/v1/") and path != "/api/v1/events"
        for method, it in operations.items()
    ]


async def _status(client: Client, method: str, path: str, secret: str | None) -> int:
    headers = {} if secret is None else _bearer(secret)
    response = await client.open(path, method=method, headers=headers, data=b"" if method != "GET" else None)
    return int(response.status_code)


@pytest.mark.timeout(120)
async def test_each_route_lets_in_whom_it_should(client: Client, engine: Engine) -> None:
    secrets = {scope: await _token(client, f"all-{scope}", scope) for scope in _SCOPES}
    limited = {scope: await _token(client, f"other-{scope}", scope, flows=["other"]) for scope in _SCOPES}
    routes = _routes(client)
    assert NEEDS.keys() | WHOLE_SERVER <= {name for _, _, name in routes}, "a route is gone"
    for method, path, name in routes:
        needed = NEEDS.get(name, Scope.READ)
        assert method == "GET" or needed is not Scope.READ, f"say in NEEDS which scope {name} needs"
        for scope in _SCOPES:
            if name == "revoke_token" or (name == "rotate_credentials" and scope is Scope.ADMIN):
                continue
            status = await _status(client, method, path, secrets[scope])
            assert (status == 403) == (not scope.includes(needed)), (method, path, scope, status)
            assert status != 401
            status = await _status(client, method, path, limited[scope])
            if not scope.includes(needed) or name in WHOLE_SERVER:
                assert status == 403, (method, path, scope)
            elif "/mine" in path:
                assert status == 404, (method, path, scope, status)
            else:
                assert status not in (401, 403), (method, path, scope, status)


@pytest.mark.timeout(120)
async def test_no_route_lets_in_who_has_no_valid_token(client: Client, engine: Engine) -> None:
    clock = ManualClock(engine.clock.now())
    soon = rfc3339(clock.now() + timedelta(hours=1))
    expired, revoked = await _token(client, "expired", "admin", expires=soon), await _token(client, "revoked", "admin")
    me = {one.name: one.id for one in await engine.store.tokens()}
    await engine.api_tokens.revoke(me["revoked"], by=Caller(SYSTEM, Scope.ADMIN))
    clock.advance(7200)
    engine.api_tokens._clock = clock
    for method, path, _ in _routes(client):
        for secret in (None, "wrong", expired, revoked):
            engine.sign_ins._failures.clear()
            assert await _status(client, method, path, secret) == 401, (method, path, secret)


async def test_a_token_says_who_it_is_and_can_give_no_more_than_it_has(client: Client) -> None:
    narrow = await _token(client, "narrow", "admin", flows=["mine"], expires="1d")
    shown = await (await client.get("/api/v1/me", headers=_bearer(narrow))).get_json()
    assert (shown["name"], shown["scopes"], shown["flows"]) == ("narrow", list(Scope), ["mine"])
    for wider in (
        {"scopes": ["read"]},
        {"scopes": ["read"], "flows": ["mine", "other"], "expires": "1h"},
        {"scopes": ["read"], "flows": ["mine"], "expires": "2d"},
        {"scopes": ["read"], "flows": ["mine"]},
    ):
        response = await client.post("/api/v1/tokens", headers=_bearer(narrow), json={"name": "wide", **wider})
        assert response.status_code == 403, wider
    given = {"name": "less", "scopes": ["operate"], "flows": ["mine"], "expires": "1h"}
    made = await client.post("/api/v1/tokens", headers=_bearer(narrow), json=given)
    assert made.status_code == 201
    listed = await (await client.get("/api/v1/tokens", headers=_bearer(narrow))).get_json()
    assert [one["name"] for one in listed["items"]] == ["less", "narrow"]
    assert "token" not in listed["items"][0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "a b", "scopes": ["read"]}, "name of a token"),
        ({"name": "admin", "scopes": ["read"]}, "name of a token"),
        ({"name": "a", "scopes": []}, "scope"),
        ({"name": "a", "scopes": ["write"]}, "body is wrong"),
        ({"name": "a", "scopes": ["read"], "flows": []}, "flow"),
        ({"name": "a", "scopes": ["read"], "expires": "yesterday"}, "expires"),
        ({"name": "a", "scopes": ["read"], "expires": "2001-01-01T00:00:00Z"}, "expired already"),
    ],
)
async def test_a_token_that_cannot_be_meant_is_rejected(client: Client, wrong: Mapping[str, Any], says: str) -> None:
    response = await client.post("/api/v1/tokens", headers=_bearer(ADMIN), json=wrong)
    problem = await response.get_json()
    assert response.status_code == 400
    assert says in problem["detail"]


async def test_a_limited_token_sees_only_its_flows_in_lists(client: Client, engine: Engine) -> None:
    for name in ("mine", "other", "mine", "other", "mine"):
        await client.post(f"/api/v1/flows/{name}/start", headers=_bearer(ADMIN), json={"body": 1})
    limited = _bearer(await _token(client, "limited", "admin", flows=["mine"]))

    async def items(path: str) -> list[Any]:
        page = await (await client.get(f"/api/v1/{path}", headers=limited)).get_json()
        found: list[Any] = page["items"]
        if page["next"] is not None:
            join = "&" if "?" in path else "?"
            found += await items(re.sub(r"[?&]cursor=[^&]*", "", path) + f"{join}cursor={page['next']}")
        return found

    assert [one["id"] for one in await items("flows")] == ["mine"]
    assert [one["flow_id"] for one in await items("executions?limit=2")] == ["mine"] * 3
    executions = (await (await client.get("/api/v1/executions", headers=_bearer(ADMIN))).get_json())["items"]
    foreign = next(one["id"] for one in executions if one["flow_id"] == "other")
    for path in (f"executions/{foreign}", f"executions/{foreign}/steps", "flows/other", "executions?flow_id=other"):
        assert (await client.get(f"/api/v1/{path}", headers=limited)).status_code == 404, path
    for body in ({"do": "cancel"}, {"do": "cancel", "flow_id": "other"}):
        response = await client.post("/api/v1/executions/many", headers=limited, json=body)
        assert response.status_code in (400, 404)
    entries = await items("audit")
    assert entries
    assert {one["flow_id"] for one in entries} == {"mine"}


async def test_an_address_that_fails_too_often_must_wait(client: Client, engine: Engine) -> None:
    statuses = [await _status(client, "GET", "/api/v1/me", f"guess-{number}") for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert await _status(client, "GET", "/api/v1/me", ADMIN) == 200
    await engine.sign_ins.flush()
    response = await client.get("/api/v1/tokens/rejected", headers=_bearer(ADMIN))
    assert [one["reason"] for one in (await response.get_json())["items"]] == ["unknown"] * 10
