"""Who may do what over the admin API: every route, with each scope, and with tokens that are no good."""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import TOKEN as ADMIN
from tests.integration.admin_api import write_flows
from tests.integration.service.conftest import REGISTRY

from hookline.access import failed_sign_ins
from hookline.access.caller import Caller
from hookline.catalog.folder_catalog import FolderCatalog
from hookline.engine import Engine
from hookline.flows.documents.read import MAX_DOCUMENT
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import TooManyRequests
from hookline.model.access import SYSTEM, TokenScope
from hookline.service.admin import blueprints, openapi
from hookline.service.app import create_pages
from hookline.service.hooks.sender import Senders
from hookline.simulation.authoring.worker_pool import WorkerPool
from hookline.testing.clock import ManualClock

pytestmark = pytest.mark.usefixtures("quick_doctor")

#: The scope that each operation needs, by its id. A new one must be added here: see the first test.
NEEDS: Final[Mapping[str, TokenScope]] = {
    name: scope
    for scope, names in {
        TokenScope.READ: """
            list_flows get_flow list_versions get_version compare_versions count_steps get_cases recordings
            list_rejected list_rejected_by_flow search_executions get_attention get_statistics get_flow_statistics
            get_statistics_by_flow list_rejection_reasons
            list_nodes list_kept get_kept list_executions list_matching get_execution list_steps explain_field recording
            get_values download_value
            list_dead_letters get_dead_letters stream_events list_deployments get_deployment list_components
            get_schema get_flow_schema list_plugins examine_plugins list_settings
            list_credentials get_credential get_storage get_me list_audit get_description
            end_session create_sign_in_link
        """,
        TokenScope.OPERATE: """
            start_flow sign_message send_message pause_flow stop_flow resume_flow reset_flow set_kept delete_kept
            move_execution
            retry_execution resume_execution release_execution cancel_execution discard_execution replay_execution
            many_executions verify_credential
        """,
        TokenScope.AUTHOR: """
            put_flow delete_flow put_cases deploy_flows roll_back_deployment roll_back_flow plan_deploy list_options
            check_document evaluate_expression evaluate_step try_flow backtest_flow make_case
            format_document compare_document test_document
            list_drafts get_draft put_draft delete_draft
            open_capture list_captures get_capture list_captured get_captured close_capture delete_capture
        """,
        TokenScope.ADMIN: """
            put_credential change_credential delete_credential authorize_credential get_authorization
            finish_authorization rotate_credentials list_tokens create_token revoke_token list_rejected_sign_ins
            drain_node
        """,
    }.items()
    for name in names.split()
}
#: What concerns the whole server, and is nothing for a token that is limited to some flows.
WHOLE_SERVER: Final = frozenset(
    {
        "get_storage",
        "put_credential",
        "change_credential",
        "delete_credential",
        "authorize_credential",
        "get_authorization",
        "finish_authorization",
        "rotate_credentials",
        "list_rejected_sign_ins",
        "list_nodes",
        "drain_node",
        "list_plugins",
        "examine_plugins",
        "list_settings",
    }
)
#: What begins or ends the caller's own session, which any token allows.
OWN: Final = frozenset({"end_session", "create_sign_in_link"})
#: Its conditions are a body, and it changes nothing.
SEARCH: Final = "search_executions"
#: What needs no token, because it is how somebody signs in: see `test_sessions.py`.
OPEN: Final = frozenset({"create_session"})
_SCOPES: Final = list(TokenScope)


def _flow(name: str) -> dict[str, Any]:
    steps = [{"use": "fail", "with": {"message": "no", "code": name}}]
    return {"id": name, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}


@pytest.fixture
def flows(flows: Path) -> Path:
    write_flows(flows, _flow("mine"), _flow("other"))
    return flows


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def _token(client: Client, name: str, scope: str, **fields: Any) -> str:
    response = await client.post(
        "/api/v1/tokens", headers=_bearer(ADMIN), json={"name": name, "scopes": [scope], **fields}
    )
    made = await response.get_json()
    assert response.status_code == 201, made
    return str(made["token"])


class Route(NamedTuple):
    method: str
    path: str
    """With its parameters filled in: the flow is `mine`, and nothing else that it names exists."""
    name: str
    described: Mapping[str, Any]


def _routes(client: Client) -> list[Route]:
    """The operations of the document under /api/v1 that need a token."""
    described = openapi.document(client.app)["paths"]  # type: ignore[attr-defined]  # the test client has it
    return [
        Route(method.upper(), _filled(path), it["operationId"], it)
        for path, operations in described.items()
        if path.startswith("/api/v1/")
        for method, it in operations.items()
        if it["operationId"] not in OPEN
    ]


def _filled(path: str) -> str:
    # The stream of events has no end, unless its flow doesn't exist.
    if path.endswith("/events"):
        return f"{path}?flow_id=nothing"
    return re.sub(r"\{[^}]*\}", "x", path.replace("{flow_id}", "mine"))


async def _status(client: Client, route: Route, secret: str | None) -> int:
    headers = {} if secret is None else _bearer(secret)
    data = b"" if route.method != "GET" else None
    response = await client.open(route.path, method=route.method, headers=headers, data=data)
    return int(response.status_code)


async def test_each_route_of_the_application_is_in_the_table(client: Client) -> None:
    """A route without a description would be in neither the document nor the table, and would need no scope."""
    rules = client.app.url_map.iter_rules()  # type: ignore[attr-defined]  # the test client has it
    known = {
        (method, re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    described = openapi.document(client.app)["paths"]  # type: ignore[attr-defined]
    assert known == {
        (method.upper(), path) for path, it in described.items() if path.startswith("/api/") for method in it
    }
    assert {it["operationId"] for path in described.values() for it in path.values() if it["security"] == []} == {
        *OPEN,
        "healthz",
        "readyz",
    }
    routes = _routes(client)
    assert {route.name for route in routes} == NEEDS.keys()
    for route in routes:
        assert route.described["security"] == [{"token": [NEEDS[route.name]]}], route.name
        assert ("x-all-flows" in route.described) == (route.name in WHOLE_SERVER), route.name
        reads = route.method == "GET" or route.name in {*OWN, SEARCH}
        assert reads or NEEDS[route.name] is not TokenScope.READ, "what changes something needs more"


@pytest.mark.timeout(120)
async def test_each_route_lets_in_whom_it_should(client: Client, engine: Engine) -> None:
    secrets = {scope: await _token(client, f"all-{scope}", scope) for scope in _SCOPES}
    limited = {scope: await _token(client, f"other-{scope}", scope, flows=["other"]) for scope in _SCOPES}
    for route in _routes(client):
        needed = NEEDS[route.name]
        for scope in _SCOPES:
            status = await _status(client, route, secrets[scope])
            assert (status == 403) == (not scope.includes(needed)), (route, scope, status)
            assert status != 401
            status = await _status(client, route, limited[scope])
            if not scope.includes(needed) or route.name in WHOLE_SERVER:
                assert status == 403, (route, scope)
            elif "/mine" in route.path:
                assert status == 404, (route, scope, status)
            else:
                assert status not in (401, 403), (route, scope, status)


@pytest.mark.timeout(120)
async def test_no_route_lets_in_who_has_no_valid_token(client: Client, engine: Engine) -> None:
    clock = ManualClock(engine.clock.now())
    soon = rfc3339(clock.now() + timedelta(hours=1))
    expired, revoked = await _token(client, "expired", "admin", expires=soon), await _token(client, "revoked", "admin")
    me = {one.name: one.id for one in await engine.store.tokens()}
    await engine.api_tokens.revoke(me["revoked"], by=Caller(SYSTEM, TokenScope.ADMIN))
    clock.advance(7200)
    engine.api_tokens._clock = clock
    for route in _routes(client):
        for secret in (None, "wrong", expired, revoked):
            engine.sign_ins._failures.clear()
            assert await _status(client, route, secret) == 401, (route, secret)


async def test_a_token_says_who_it_is_and_can_give_no_more_than_it_has(client: Client) -> None:
    narrow = await _token(client, "narrow", "admin", flows=["mine"], expires="1d")
    shown = await (await client.get("/api/v1/me", headers=_bearer(narrow))).get_json()
    assert (shown["name"], shown["scopes"], shown["flows"]) == ("narrow", list(TokenScope), ["mine"])
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
        ({"name": "a", "scopes": ["read"], "expires": "9999-12-31T23:59:59-14:00"}, "expires is a time such as"),
        ({"name": "a", "scopes": ["read"], "expires": "9999999d"}, "expires is a time such as"),
    ],
)
async def test_a_token_that_cannot_be_meant_is_rejected(client: Client, wrong: Mapping[str, Any], says: str) -> None:
    response = await client.post("/api/v1/tokens", headers=_bearer(ADMIN), json=wrong)
    problem = await response.get_json()
    assert response.status_code == 400
    assert says in problem["detail"]
    listed = await client.get("/api/v1/tokens", headers=_bearer(ADMIN))
    assert (await listed.get_json())["items"] == []


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


async def test_a_limited_token_finds_its_executions_by_a_part_of_their_ids_among_any_number_of_others(
    client: Client,
) -> None:
    ids = []
    for name in ("mine", *("other",) * 11):
        started = await client.post(f"/api/v1/flows/{name}/start", headers=_bearer(ADMIN), json={"body": 1})
        ids.append((await started.get_json())["execution_id"])
    limited = _bearer(await _token(client, "limited", "read", flows=["mine"]))
    for part, expected in ((ids[0][:4], ids[:1]), (ids[0], ids[:1]), (ids[1], [])):
        found = await (await client.get(f"/api/v1/executions/matching/{part}", headers=limited)).get_json()
        assert ([one["id"] for one in found["items"]], found["more"]) == (expected, False)


async def test_a_limited_token_is_told_nothing_of_other_flows(client: Client, engine: Engine) -> None:
    """Whatever it reads, of its own flow or of the whole server, and whatever it names."""
    for name in ("mine", "other"):
        for number in range(2):
            start = {"body": f"of-{name}-{number}"}
            await client.post(f"/api/v1/flows/{name}/start", headers=_bearer(ADMIN), json=start)
            await client.put(f"/api/v1/flows/{name}/state/value?key=k", headers=_bearer(ADMIN), json=f"of-{name}")
        await client.post(f"/hook/{name}")
    await _token(client, "of-other", "read", flows=["other"])

    async def found(path: str, secret: str) -> Any:
        return await (await client.get(f"/api/v1/{path}", headers=_bearer(secret))).get_json(force=True)

    async with asyncio.timeout(30):
        while len((await found("executions?state=failed", ADMIN))["items"]) < 4:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.01)
    limited = await _token(client, "limited", "admin", flows=["mine"])
    executions = (await found("executions", ADMIN))["items"]
    named = {"mine": {"flow_id": "mine"}, "other": {"flow_id": "other"}}
    for one in (await found("dead-letters", ADMIN))["items"]:
        named[one["flow_id"]]["cause"] = one["cause"]
    for one in executions:
        named[one["flow_id"]] |= {"execution_id": one["id"], "part": one["id"]}
    hidden = {one["id"] for one in executions if one["flow_id"] == "other"} | {'"other"', "of-other"}
    read = 0
    for path, operations in openapi.document(client.app)["paths"].items():  # type: ignore[attr-defined]
        if "get" not in operations or not path.startswith("/api/v1/") or path.endswith(("/events", "/openapi.json")):
            continue
        for ids in named.values():
            url = re.sub(r"\{(\w+)\}", lambda name, ids=ids: ids.get(name[1], "current"), path)  # type: ignore[misc]
            for query in ("", "?flow_id=other", f"?key=k&field=body&flow_id={ids['flow_id']}"):
                response = await client.get(url + query, headers=_bearer(limited))
                text = (await response.get_data()).decode()
                read += response.status_code == 200
                if response.status_code != 200:
                    continue
                assert not [one for one in hidden if one in text], (url + query, text)
    assert read > 20
    for body in (
        {"do": "cancel", "flow_id": "other"},
        {"do": "discard", "cause": named["other"]["cause"]},
        {"do": "replay"},
    ):
        response = await client.post("/api/v1/executions/many", headers=_bearer(limited), json=body)
        assert response.status_code in (400, 404), body
    for path, given in (
        ("deployments", {"flows": {"other": None}}),
        ("deployments", {"flows": {"mine": _flow("mine"), "new": _flow("new")}}),
        ("deployments", {"flows": {}, "cases": {"other": {"cases": []}}}),
        ("deployments", {"flows": {}, "expected": {"other": None}}),
        ("backtest", {"document": _flow("other")}),
        ("evaluate", {"expression": "$.body", "execution_id": named["other"]["execution_id"]}),
        ("try", {"document": _flow("mine"), "execution_id": named["other"]["execution_id"]}),
        ("try", {"document": _flow("other"), "effects": "real", "input": {}}),
    ):
        response = await client.post(f"/api/v1/{path}", headers=_bearer(limited), json=given)
        assert response.status_code == 404, (path, given, await response.get_data())
    assert engine.catalog.entries.keys() == {"mine", "other"}


@pytest.mark.timeout(120)
async def test_a_limited_token_is_told_no_name_that_it_may_have_meant_of_a_flow_that_it_does_not_see(
    client: Client, engine: Engine, flows: Path
) -> None:
    near, hidden = "other-secre", "other-secret"
    call = {"use": "flow", "with": {"id": near, "body": 1}}
    write_flows(flows, _flow("other") | {"id": hidden}, _flow("mine") | {"steps": [call]})
    await engine.version_switch.refresh()
    started = await client.post("/api/v1/flows/mine/start", headers=_bearer(ADMIN), json={"body": 1})
    execution_id = (await started.get_json())["execution_id"]

    async def asked(secret: str, method: str, path: str, given: Any = None) -> str:
        data = None if method == "GET" else b"" if given is None else json.dumps(given).encode()
        response = await client.open(f"/api/v1/{path}", method=method, headers=_bearer(secret), data=data)
        text = (await response.get_data()).decode()
        assert response.status_code < 500, (path, text)
        return text

    async with asyncio.timeout(30):
        while '"failed"' not in await asked(ADMIN, "GET", f"executions/{execution_id}"):  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.01)
    # One sees none of that name; the other was made before the flow, which doesn't exist yet.
    for number, seen in enumerate((["mine"], ["mine", near])):
        limited = await _token(client, f"limited-{number}", "admin", flows=seen)
        said = [await asked(limited, "GET", f"executions/{execution_id}")]
        for path, operations in openapi.document(client.app)["paths"].items():  # type: ignore[attr-defined]
            if not path.startswith("/api/v1/") or path.endswith("/openapi.json"):
                continue
            filled = re.sub(r"\{[^}]*\}", "x", path.replace("{flow_id}", near).replace("{cause}", f"{near}:x"))
            for method in operations:
                query = f"?flow_id={near}" if path.endswith("/events") else ""
                said.append(await asked(limited, method.upper(), filled.removeprefix("/api/v1/") + query))
        for named in (near, "oter-secret", "othersecret"):
            for path in ("executions", "dead-letters", "rejected", "stats"):
                said.append(await asked(limited, "GET", f"{path}?flow_id={named}"))
            said.append(await asked(limited, "GET", f"executions?cause={named}:x"))
            for name in ({"flow_id": named}, {"cause": f"{named}:x"}):
                said.append(await asked(limited, "POST", "executions/search", {"text": "a", **name}))
                said.append(await asked(limited, "POST", "executions/many", {"do": "cancel", **name}))
            for path in ("diff", "backtest"):
                said.append(await asked(limited, "POST", path, {"document": _flow("other") | {"id": named}}))
            said.append(await asked(limited, "PUT", f"flows/{named}/cases", {"cases": []}))
            said.append(await asked(limited, "POST", f"flows/{named}/plan", {}))
        assert [text for text in said if hidden in text] == []
        assert sum("there is no flow" in text for text in said) > 20
    # What it sees it may have meant.
    assert "did you mean 'mine'?" in await asked(
        await _token(client, "other-limited", "admin", flows=["mine", "mines"]), "GET", "flows/mines"
    )
    for path in (f"flows/{near}", f"executions?cause={near}:x", f"flows/{near}/versions"):
        assert f"did you mean '{hidden}'?" in await asked(ADMIN, "GET", path)
    assert f"did you mean '{hidden}'?" in await asked(ADMIN, "POST", f"flows/{near}/pause")


async def test_a_limited_token_hears_only_of_its_flows(client: Client) -> None:
    limited = _bearer(await _token(client, "limited", "read", flows=["mine"]))
    async with client.request("/api/v1/events", headers=limited) as connection:
        await connection.receive()
        for name in ("other", "mine"):
            await client.post(f"/api/v1/flows/{name}/start", headers=_bearer(ADMIN), json={"body": 1})
        told = b""
        async with asyncio.timeout(30):
            while b"execution.ended" not in told:
                told += await connection.receive()
        await connection.disconnect()
    assert b'"mine"' in told
    assert b'"other"' not in told
    response = await client.get("/api/v1/events?flow_id=other", headers=limited)
    assert response.status_code == 404


async def test_an_address_that_fails_too_often_must_wait(client: Client, engine: Engine) -> None:
    me = Route("GET", "/api/v1/me", "get_me", {})
    valid = await _token(client, "valid", "read")
    statuses = [await _status(client, me, f"guess-{number}") for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    # Somebody who fails can't keep out those who share the address.
    assert [await _status(client, me, secret) for secret in (ADMIN, valid)] == [200, 200]
    await engine.sign_ins.flush()
    response = await client.get("/api/v1/tokens/rejected", headers=_bearer(ADMIN))
    assert [one["reason"] for one in (await response.get_json())["items"]] == ["unknown"] * 10


async def test_sign_ins_are_counted_by_the_client_behind_the_proxies(engine: Engine) -> None:
    senders = Senders((ip_network("10.0.0.0/8"),))
    client = create_pages(blueprints(engine, ADMIN, senders=senders)).test_client()

    async def fail(peer: str, forwarded: str | None = None) -> int:
        headers = _bearer("wrong") | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
        response = await client.get("/api/v1/me", headers=headers, scope_base={"client": (peer, 1)})
        return int(response.status_code)

    assert [await fail("10.0.0.1", "198.51.100.7") for _ in range(11)] == [401] * 10 + [429]
    assert await fail("10.0.0.2", "198.51.100.7") == 429
    assert await fail("10.0.0.1", "198.51.100.8") == 401
    # Only trusted proxies are believed.
    assert [await fail("192.0.2.1", f"198.51.100.{number}") for number in range(11)] == [401] * 10 + [429]
    # One host has all addresses of its network.
    assert [await fail(f"2001:db8::{number:x}") for number in range(11)] == [401] * 10 + [429]
    assert await fail("2001:db8:0:1::1") == 401
    await engine.sign_ins.flush()
    page = await engine.store.rejected_sign_ins(limit=200)
    assert {one.address for one in page.items} >= {"198.51.100.7", "198.51.100.8", "192.0.2.1", "2001:db8::1"}
    assert "10.0.0.1" not in {one.address for one in page.items}


async def test_the_memory_of_failed_sign_ins_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_sign_ins, "_MOST_ADDRESSES", 50)
    for number in range(1000):
        engine.sign_ins.reject(f"client-{number}", "192.0.2.1", "unknown", None)
    for _ in range(30):
        with suppress(TooManyRequests):
            engine.sign_ins.reject("one", "192.0.2.1", "unknown", None)
    assert len(engine.sign_ins._failures) == 50
    assert max(map(len, engine.sign_ins._failures.values())) == failed_sign_ins.MOST_FAILURES
    assert len(engine.sign_ins._waiting) <= failed_sign_ins._MOST_WAITING


@pytest.fixture
def environment() -> Mapping[str, str]:
    return {"HOOKLINE_VARS_OTHER__SECRET": "of-other-alone", "HOOKLINE_VARS_OTHER__LIMIT": "of-other-alone"}


def _resolved(described: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of the API's description with what it refers to."""
    if "$ref" in schema:
        return _resolved(described, described["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    found = dict(schema)
    for part in schema.get("allOf", ()):
        found |= _resolved(described, part)
    return found


def _with_documents(described: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """Operation, method, path and body of a request for each way in which an operation takes a flow's document.

    `DOCUMENT` stands for the document, and `TEXT` for a string with its text.
    """
    rest = {"cases": {"cases": []}, "step": "/steps/0", "input": {"body": 1}}
    found: list[tuple[str, str, str, Any]] = []
    for path, operations in described["paths"].items():
        for method, it in operations.items():
            content = it.get("requestBody", {}).get("content", {}).get("application/json")
            schema = {} if content is None else _resolved(described, content["schema"])
            properties = schema.get("properties", {})
            given = {name: value for name, value in rest.items() if name in properties}
            bodies: list[Any] = []
            if "The document of a flow." in schema.get("description", ""):
                bodies.append("DOCUMENT")
            if "document" in properties:
                bodies.append(given | {"document": "DOCUMENT"})
                bodies += [given | {"text": "TEXT"}] if "text" in properties else []
                bodies += [given | {"document": "DOCUMENT", "effects": "real"}] if "effects" in properties else []
            if properties.get("flows", {}).get("type") == "object":
                bodies.append({"flows": {"mine": "DOCUMENT"}})
            found += [(it["operationId"], method.upper(), path.replace("{flow_id}", "mine"), body) for body in bodies]
    return found


_READS_SECRET: Final = json.dumps(
    {
        **_flow("other"),
        "vars": {"secret": "", "limit": 5},
        "steps": [{"use": "map", "with": {"body": "{{ vars.secret }}{{ vars.limit }}"}}],
    }
)
#: Texts in which the id `other` counts.
_NAMED_OTHER: Final = {
    "plain": _READS_SECRET,
    "repeated": _READS_SECRET.replace("{", '{"id": "mine", ', 1),
    "escaped": _READS_SECRET.replace('"id"', '"\\u0069d"', 1),
    "marked": f"\ufeff{_READS_SECRET}",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("form", list(_NAMED_OTHER))
async def test_no_operation_tells_a_limited_token_the_variables_of_another_flow_whose_id_a_document_has(
    client: Client, form: str
) -> None:
    limited = _bearer(await _token(client, "limited", "admin", flows=["mine"]))
    document = _NAMED_OTHER[form]
    described = openapi.document(client.app)  # type: ignore[attr-defined]  # the test client has it
    requests = _with_documents(described)
    assert {name for name, *_ in requests} >= {"check_document", "try_flow", "put_flow", "deploy_flows", "plan_deploy"}
    for name, method, path, body in requests:
        text = json.dumps(body).replace('"DOCUMENT"', document).replace('"TEXT"', json.dumps(document))
        response = await client.open(path, method=method, headers=_bearer_json(limited), data=text.encode())
        said = (await response.get_data()).decode()
        assert "of-other-alone" not in said, (name, said)
        assert "HOOKLINE_VARS" not in said, (name, said)
        if "text" in body or form != "marked":  # in JSON a mark is malformed
            by_path = name in ("put_flow", "deploy_flows", "plan_deploy")
            assert response.status_code == (422 if by_path else 404), (name, response.status_code, said)


def _bearer_json(headers: Mapping[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


def _of_size(size: int) -> str:
    """The document of a flow with many steps that has a number of bytes, and white space."""
    steps = [{"use": "map", "with": {"body": {"text": "x" * 1000}}} for _ in range(1500)]
    flow = {**_flow("mine"), "steps": steps, "vars": {"rest": ""}}
    compact = len(json.dumps(flow, separators=(",", ":")))
    return json.dumps(flow | {"vars": {"rest": "x" * (size - compact)}}, indent=2, separators=(",", ":"))


@pytest.mark.timeout(300)
async def test_the_limit_on_the_size_of_a_document_is_the_same_for_every_operation(client: Client, flows: Path) -> None:
    requests = _with_documents(openapi.document(client.app))  # type: ignore[attr-defined]  # the test client has it
    for size, fits in ((MAX_DOCUMENT, True), (MAX_DOCUMENT + 1, False)):
        document = _of_size(size)
        for name, method, path, body in requests:
            text = json.dumps(body).replace('"DOCUMENT"', document).replace('"TEXT"', json.dumps(document))
            response = await client.open(path, method=method, headers=_bearer_json(_bearer(ADMIN)), data=text.encode())
            said = (await response.get_data()).decode()
            assert (response.status_code in (200, 201)) == fits, (name, response.status_code, said[:500])
            assert fits or response.status_code == 413, (name, response.status_code, said[:500])
        (flows / "mine.json").write_text(document)
        catalog = FolderCatalog(flows, REGISTRY)
        catalog.refresh()
        assert [one.code for one in catalog.entries["mine"].errors] == ([] if fits else ["too_large"])


@pytest.mark.timeout(120)
async def test_what_takes_too_long_to_check_is_not_deployed_either(client: Client, engine: Engine) -> None:
    engine.authoring = WorkerPool(seconds=1)
    steps = [{"use": "map", "with": {"body": [f"{{{{ body.k{n}_{i} }}}}" for i in range(100)]}} for n in range(400)]
    document = json.dumps({**_flow("mine"), "steps": steps})
    served = engine.catalog.entries["mine"].flow
    for name, method, path, body in _with_documents(openapi.document(client.app)):  # type: ignore[attr-defined]
        if name not in ("check_document", "put_flow", "deploy_flows", "plan_deploy") or "text" in body:
            continue  # the others leave the document to the same processes
        text = json.dumps(body).replace('"DOCUMENT"', document).replace('"TEXT"', json.dumps(document))
        response = await client.open(path, method=method, headers=_bearer_json(_bearer(ADMIN)), data=text.encode())
        said = (await response.get_data()).decode()
        assert (response.status_code, json.loads(said)["code"]) == (422, "work.limit"), (name, said[:500])
    assert engine.catalog.entries["mine"].flow is served


@pytest.mark.rule(55)
@pytest.mark.parametrize("how", ["step", "on_error"])
async def test_a_limited_token_deploys_what_calls_a_flow_that_allows_it(
    client: Client, engine: Engine, flows: Path, how: str
) -> None:
    closed = _flow("other") | {"id": "closed", "callable_by": ["billing-*"]}
    opened = _flow("other") | {"id": "opened", "callable_by": ["min*"]}
    write_flows(flows, closed, opened)
    await engine.version_switch.refresh()
    limited = await _token(client, "limited", "author", flows=["mine"])

    async def asked(secret: str, called: str) -> list[tuple[int, str]]:
        call = {"steps": [{"use": "flow", "with": {"id": called}}]} if how == "step" else {"on_error": called}
        document = _flow("mine") | call
        answers = []
        for method, path, given in (
            ("PUT", "flows/mine", document),
            ("POST", "deployments", {"flows": {"mine": document}}),
            ("POST", "check", {"document": document}),
        ):
            response = await client.open(f"/api/v1/{path}", method=method, headers=_bearer(secret), json=given)
            answers.append((response.status_code, (await response.get_data()).decode()))
        return answers

    for called in ("other", "opened", "mine"):
        (put, _), (deployed, _), (_, checked) = await asked(limited, called)
        assert (put, deployed, json.loads(checked)["valid"]) == (200, 200, True), (called, checked)
    missing = [said.replace("nothing", "closed") for _, said in await asked(limited, "nothing")]
    hidden = [said for _, said in await asked(limited, "closed")]
    assert hidden == missing
    assert not any("other" in said or "opened" in said or "billing" in said for said in hidden)
    told = await asked(ADMIN, "closed")
    assert [status for status, _ in told] == [422, 422, 200]
    assert all("not_callable" in said and "may not call flow 'closed'" in said for _, said in told), told
