"""The admin API over a running engine: what it shows, what it does, and whom it lets in."""

import asyncio
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from quart.typing import TestClientProtocol as Client
from tests.integration.admin_api import AUTH, TOKEN, write_flows
from tests.metric_samples import sample

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter
from hookline.model.message import Arrival, Envelope, Message
from hookline.service.admin import blueprints, openapi
from hookline.service.admin.executions.executions import FILTERS
from hookline.service.app import create_pages

GREET = {
    "id": "greet",
    "title": "Greet",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "hello", "use": "map", "with": {"body": {"hello": "$.body.name"}}}],
}
REJECT = {
    "id": "reject",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {"id": "no", "use": "fail", "with": {"message": "not today", "code": "closed"}},
    ],
}


@pytest.fixture
def flows(flows: Path) -> Path:
    write_flows(flows, GREET, REJECT)
    (flows / "broken.json").write_text('{"id": "broken"}')
    return flows


async def accept(engine: Engine, flow_id: str, body: Any) -> str:
    flow = engine.intake.flow(flow_id)
    envelope = Envelope(
        execution_id=engine.ids.new(),
        flow_id=flow_id,
        message=Message(body),
        arrival=Arrival(use="webhook", method="POST", received_at=engine.clock.now(), verified_by="none"),
        accepted_at=engine.clock.now(),
    )
    await engine.intake.accept(flow, envelope)
    return envelope.execution_id


async def get(client: Client, path: str, status: int = 200) -> Any:
    response = await client.get(path, headers=AUTH)
    assert response.status_code == status, await response.get_data()
    return await response.get_json(force=True)


async def ended(client: Client, execution_id: str, attempt: int = 1) -> Any:
    async with asyncio.timeout(30):
        while True:
            found = await get(client, f"/api/v1/executions/{execution_id}")
            if found["state"] in ("succeeded", "failed") and found["attempt"] == attempt:
                return found
            await asyncio.sleep(0.01)


async def test_an_execution_has_the_shape_that_the_design_promises(engine: Engine, client: Client) -> None:
    execution_id = await accept(engine, "greet", {"name": "Ada"})
    found = await ended(client, execution_id)
    assert {"id", "flow_id", "flow_version", "state", "outcome", "trigger", "created_at"} <= found.keys()
    assert {"started_at", "finished_at", "error", "steps"} <= found.keys()
    assert found["trigger"]["verified_by"] == "none"
    assert found["created_at"].endswith("Z")
    (step,) = found["steps"]
    assert {key: step[key] for key in ("id", "path", "use", "state", "attempt", "error")} == {
        "id": "hello",
        "path": "hello",
        "use": "map",
        "state": "succeeded",
        "attempt": 1,
        "error": None,
    }
    assert step["input"] == {"body": {"hello": "Ada"}}
    assert step["output"]["body"] == {"hello": "Ada"}
    assert step["started_at"] <= step["finished_at"]


async def test_a_failed_execution_tells_where_and_why_and_can_be_retried(engine: Engine, client: Client) -> None:
    execution_id = await accept(engine, "reject", None)
    found = await ended(client, execution_id)
    assert (found["state"], found["outcome"]) == ("failed", "failed")
    assert found["error"] == {"code": "closed", "message": "not today", "step": "no", "retryable": False}
    response = await client.post(f"/api/v1/executions/{execution_id}/retry", headers=AUTH)
    assert response.status_code == 202
    again = await ended(client, execution_id, attempt=2)
    assert len(again["steps"]) == 1
    attempts = await get(client, f"/api/v1/executions/{execution_id}/steps")
    assert [step["path"] for step in attempts["items"]] == ["no", "no"]


async def test_the_origin_of_a_value_is_explained(engine: Engine, client: Client) -> None:
    execution_id = await accept(engine, "greet", {"name": "Ada"})
    await ended(client, execution_id)
    found = await get(client, f"/api/v1/executions/{execution_id}/provenance?field=steps.hello.body")
    assert found["known"]


async def test_an_explanation_can_leave_out_most_of_large_values(engine: Engine, client: Client) -> None:
    execution_id = await accept(engine, "greet", {"name": "x" * 10_000})
    await ended(client, execution_id)
    asked = f"/api/v1/executions/{execution_id}/provenance?field=steps.hello.body.hello"
    whole, short = await get(client, asked), await get(client, f"{asked}&short=true")
    assert whole["value"] == "x" * 10_000
    assert short["value"] == short["reads"][0]["value"] == "x" * 500
    assert short["reads"][0]["field"] == whole["reads"][0]["field"] == "trigger.body.name"


async def test_executions_are_found_by_a_part_of_their_id(engine: Engine, client: Client) -> None:
    ids = [await accept(engine, "greet", number) for number in range(12)]
    for part in (ids[3][-8:], ids[3], ids[3][:-1]):
        found = await get(client, f"/api/v1/executions/matching/{part}")
        assert (found["items"][0]["id"], found["more"]) == (ids[3], False)
    several = await get(client, f"/api/v1/executions/matching/{ids[0][:4]}")
    assert ([one["id"] for one in several["items"]], several["more"]) == (list(reversed(ids))[:10], True)
    assert await get(client, "/api/v1/executions/matching/ffffffff") == {"items": [], "more": False}
    for wrong in ("x", "%25", "A", "0" * 37):
        await get(client, f"/api/v1/executions/matching/{wrong}", 400)


@pytest.mark.parametrize(
    "path",
    [
        "executions?flow_id={}",
        "dead-letters?flow_id={}",
        "events?flow_id={}",
        "flows/{}/rejected",
        "flows/{}/state",
        "flows/{}/state/value?key=a",
        "flows/{}/versions",
        "flows/{}/versions/current",
        "flows/{}/recordings",
    ],
)
async def test_a_list_of_a_flow_that_does_not_exist_is_404_with_the_name_that_was_meant(
    client: Client, path: str
) -> None:
    problem = await get(client, f"/api/v1/{path.format('gret')}", 404)
    assert (problem["code"], problem["detail"]) == ("flow.not_found", "there is no flow 'gret' (did you mean 'greet'?)")


@pytest.mark.parametrize("what", ["retry", "release"])
async def test_only_what_failed_can_be_retried_or_released(engine: Engine, client: Client, what: str) -> None:
    execution_id = await accept(engine, "greet", {"name": "Ada"})
    await ended(client, execution_id)
    response = await client.post(f"/api/v1/executions/{execution_id}/{what}", headers=AUTH)
    assert response.status_code == 409
    assert (await response.get_json(force=True))["code"] == "execution.state"
    response = await client.post(f"/api/v1/executions/nothing/{what}", headers=AUTH)
    assert response.status_code == 404


async def test_lists_are_paged_by_cursor_newest_first(engine: Engine, client: Client) -> None:
    ids = [await accept(engine, "greet", {"name": str(number)}) for number in range(5)]
    for execution_id in ids:
        await ended(client, execution_id)
    seen: list[str] = []
    cursor = ""
    while True:
        page = await get(client, f"/api/v1/executions?flow_id=greet&state=succeeded&limit=2{cursor}")
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]
    assert (await get(client, "/api/v1/executions?flow_id=reject"))["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=000000001999",
        "limit=0000000000000000005",
        "limit=000000001999999999",
        pytest.param(f"limit={'9' * 5000}", id="a very long limit"),
        "state=done",
        "cursor=%00nonsense",
        "flow=greet",
        "limit=%D9%A1",
        "since=9999-12-31T23:59:59-14:00",
        "until=0001-01-01T00:00:00%2B14:00",
    ],
)
async def test_a_wrong_query_is_400_with_what_is_right(client: Client, query: str) -> None:
    found = await get(client, f"/api/v1/executions?{query}", 400)
    assert found["code"] == "request.malformed"
    assert found["status"] == 400


async def test_steps_are_paged(engine: Engine, client: Client) -> None:
    execution_id = await accept(engine, "reject", None)
    await ended(client, execution_id)
    await client.post(f"/api/v1/executions/{execution_id}/retry", headers=AUTH)
    await ended(client, execution_id, attempt=2)
    first = await get(client, f"/api/v1/executions/{execution_id}/steps?limit=1")
    assert len(first["items"]) == 1
    rest = await get(client, f"/api/v1/executions/{execution_id}/steps?limit=1&cursor={first['next']}")
    assert rest["next"] is None
    await get(client, f"/api/v1/executions/{execution_id}/steps?cursor=x", 400)


@pytest.mark.parametrize("path", ["", "/steps"])
async def test_what_does_not_exist_is_404(client: Client, path: str) -> None:
    found = await get(client, f"/api/v1/executions/0190-nothing{path}", 404)
    assert found["code"] == "execution.not_found"


async def test_flows_are_shown_with_their_url_and_broken_ones_with_their_problems(client: Client) -> None:
    found = {flow["id"]: flow for flow in (await get(client, "/api/v1/flows"))["items"]}
    assert found["greet"]["state"] == "active"
    assert found["greet"]["url"] == "https://hooks.example/hook/greet"
    assert found["broken"]["state"] == "broken"
    assert {"pointer", "message", "remedy", "line"} <= found["broken"]["problems"][0].keys()


async def test_any_flow_is_started_by_hand(engine: Engine, client: Client) -> None:
    message = {"body": {"name": "Ada"}, "headers": {"X-From": "me"}, "dedupe_key": "once"}
    answers = [await client.post("/api/v1/flows/greet/start", json=message, headers=AUTH) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    first, second = [await answer.get_json(force=True) for answer in answers]
    assert first == {"execution_id": first["execution_id"], "flow_id": "greet", "status": "queued"}
    assert second == {**first, "status": "duplicate"}
    execution = await ended(client, first["execution_id"])
    assert execution["steps"][0]["output"]["body"] == {"hello": "Ada"}
    assert (execution["trigger"]["use"], execution["trigger"]["verified_by"]) == ("manual", "token:admin")
    envelope = await engine.store.envelope(first["execution_id"])
    assert envelope is not None
    assert envelope.message.headers == {"x-from": "me"}


@pytest.mark.parametrize(
    ("flow_id", "body", "status"),
    [
        ("nothing", b"{}", 404),
        ("broken", b"{}", 503),
        ("greet", b'{"body": NaN}', 400),
        ("greet", b'{"bdoy": 1}', 400),
        ("greet", b"", 400),
    ],
)
async def test_a_start_that_is_wrong_says_so(client: Client, flow_id: str, body: bytes, status: int) -> None:
    answer = await client.post(f"/api/v1/flows/{flow_id}/start", data=body, headers=AUTH)
    assert answer.status_code == status


async def test_a_start_whose_body_breaks_the_flows_schema_gets_every_problem(
    engine: Engine, flows: Path, client: Client
) -> None:
    schema = {"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}}
    (flows / "greet.json").write_text(json.dumps({**GREET, "schema": schema}))
    await engine.version_switch.refresh()
    answer = await client.post("/api/v1/flows/greet/start", json={"body": {"age": "x"}}, headers=AUTH)
    assert answer.status_code == 422
    assert len((await answer.get_json(force=True))["problems"]) == 2


async def test_a_flow_shows_how_its_schedule_is_doing(engine: Engine, flows: Path, client: Client) -> None:
    trigger = {"use": "schedule", "with": {"cron": "0 0 1 1 *"}}
    (flows / "yearly.json").write_text(json.dumps({**GREET, "id": "yearly", "trigger": trigger}))
    await engine.version_switch.refresh()
    async with asyncio.timeout(30):
        while True:
            shown = {flow["id"]: flow for flow in (await get(client, "/api/v1/flows"))["items"]}
            if (shown["yearly"]["source"] or {}).get("next_at"):
                break
            await asyncio.sleep(0.01)
    source = shown["yearly"]["source"]
    assert source["next_at"].endswith("-01-01T00:00:00.000000Z")
    assert (source["last_at"], source["error"], source["failures"]) == (None, None, 0)
    assert shown["yearly"]["url"] is None
    assert shown["greet"]["source"] is None


async def test_components_are_shown_with_their_inputs(client: Client) -> None:
    found = {(one["name"], one["kind"]): one for one in (await get(client, "/api/v1/components"))["items"]}
    (keep,) = found["filter", "action"]["settings"]
    assert (keep["name"], keep["type"], keep["required"]) == ("keep", "true or false", True)


async def test_the_schema_of_flows_is_that_for_editors(client: Client) -> None:
    schema = await get(client, "/api/v1/schema")
    assert schema["title"] == "A Hookline flow"
    assert {"const": "map"}.items() <= next(
        use for use in schema["$defs"]["ActionStep"]["properties"]["use"]["oneOf"] if use["const"] == "map"
    ).items()


async def test_a_credential_is_kept_and_its_secret_never_comes_back(client: Client) -> None:
    secret = "hunter2-hunter2-hunter2"
    body = {"type": "github", "values": {"secret": secret}}
    response = await client.put("/api/v1/credentials/gh", headers=AUTH, json=body)
    assert response.status_code == 200
    texts = [await response.get_data(as_text=True)]
    for path in ("/api/v1/credentials", "/api/v1/credentials/gh"):
        texts.append(json.dumps(await get(client, path)))
    assert all('"gh"' in text and secret not in text for text in texts)
    assert (await client.delete("/api/v1/credentials/gh", headers=AUTH)).status_code == 200
    await get(client, "/api/v1/credentials/gh", 404)
    assert (await client.delete("/api/v1/credentials/gh", headers=AUTH)).status_code == 404


async def test_a_wrong_credential_gets_every_problem_and_never_its_value(client: Client) -> None:
    body = {"type": "github", "values": {"sekret": "hunter2-hunter2"}}
    response = await client.put("/api/v1/credentials/gh", headers=AUTH, json=body)
    assert response.status_code == 422
    text = await response.get_data(as_text=True)
    assert {problem["pointer"] for problem in json.loads(text)["problems"]} == {"/secret", "/sekret"}
    assert "hunter2" not in text


async def test_verifying_says_that_a_type_has_no_way_to_and_404_where_there_is_no_credential(client: Client) -> None:
    body = {"type": "github", "values": {"secret": "hunter2-hunter2"}}
    await client.put("/api/v1/credentials/gh", headers=AUTH, json=body)
    response = await client.post("/api/v1/credentials/gh/verify", headers=AUTH)
    assert (response.status_code, (await response.get_json())["state"]) == (200, "unknown")
    assert (await client.post("/api/v1/credentials/x/verify", headers=AUTH)).status_code == 404


@pytest.mark.rule(34)
async def test_rotating_tells_how_many_credentials_were_encrypted_anew(client: Client) -> None:
    response = await client.post("/api/v1/credentials/rotate", headers=AUTH)
    assert await response.get_json(force=True) == {"rotated": 0, "retired": True, "pending": []}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"type": 1, "values": {}}', b'{"type": "x"}', b"\xff"])
async def test_a_body_that_is_no_credential_is_400(client: Client, body: bytes) -> None:
    response = await client.put("/api/v1/credentials/gh", headers=AUTH, data=body)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer \xff"},
    ],
)
@pytest.mark.parametrize("path", ["flows", "executions", "executions/x", "credentials", "components"])
async def test_without_the_token_nobody_gets_in(client: Client, path: str, headers: dict[str, str]) -> None:
    response = await client.get(f"/api/v1/{path}", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.content_type == "application/problem+json"


async def test_unknown_paths_and_methods_are_problem_documents(client: Client) -> None:
    response = await client.get("/api/v1/nothing", headers=AUTH)
    assert (response.status_code, response.content_type) == (404, "application/problem+json")
    response = await client.patch("/api/v1/flows", headers=AUTH)
    assert (response.status_code, response.content_type) == (405, "application/problem+json")
    assert "GET" in response.headers["Allow"]


@pytest.mark.rule(41)
async def test_probes_need_no_token_and_readiness_goes_when_the_engine_stops(engine: Engine, client: Client) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    engine.intake.open = False
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200
    engine.failed.set()
    assert (await client.get("/healthz")).status_code == 503


async def test_it_isnt_ready_while_no_files_can_be_kept_and_says_why_to_operators(
    engine: Engine, tmp_path: Path
) -> None:
    client = create_pages(blueprints(engine, TOKEN)).test_client()
    (tmp_path / "blobs").rename(tmp_path / "aside")
    (tmp_path / "blobs").write_bytes(b"")
    response = await client.get("/readyz")
    assert (response.status_code, await response.get_json()) == (503, {"status": "files can't be kept"})
    said = await (await client.get("/readyz", headers=AUTH)).get_json()
    assert said["reason"].startswith(f"no files can be stored in {tmp_path}/blobs: ")


async def test_an_engine_whose_files_cant_be_kept_does_not_start(engine: Engine, tmp_path: Path) -> None:
    options = dataclasses.replace(
        engine.options, db=f"sqlite:///{tmp_path}/other.db", blobs=f"file://{tmp_path}/hookline.db"
    )
    with pytest.raises(StoreError, match="no files can be stored"):
        await Engine(load_plugins(), options).start()


async def test_metrics_count_what_was_accepted_and_how_it_ended(engine: Engine, client: Client) -> None:
    await ended(client, await accept(engine, "greet", {"name": "Ada"}))
    text = await (await client.get("/metrics", headers=AUTH)).get_data(as_text=True)
    assert sample(text, "hookline_accepted_total", flow="greet") == 1.0
    assert sample(text, "hookline_executions_ended_total", flow="greet", state="succeeded") == 1.0


@pytest.mark.rule(37)
async def test_metrics_count_the_lines_of_the_log_that_were_dropped(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.kernel.logs.dropped_lines", lambda: 7)
    text = await (await client.get("/metrics", headers=AUTH)).get_data(as_text=True)
    assert sample(text, "hookline_log_lines_dropped_total") == 7.0


@pytest.mark.rule(38)
async def test_counters_are_shown_while_the_store_hangs(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.service.admin.system.metrics._GAUGES_TIMEOUT", 0.01)
    monkeypatch.setattr(engine.store, "backlog", asyncio.Event().wait)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            assert "hookline_accepted" in await (await client.get("/metrics", headers=AUTH)).get_data(as_text=True)
    assert [(log["event"], log["error"]) for log in logs] == [
        ("the store can't be used", "queue depths can't be read within 0.01 s")
    ]


async def description(client: Client) -> dict[str, Any]:
    response = await client.get("/api/v1/openapi.json", headers=AUTH)
    assert response.status_code == 200
    document: dict[str, Any] = await response.get_json()
    return document


def operations(document: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations by method and path, whose arguments have no names."""
    return {
        (method.upper(), re.sub(r"{[^}]*}", "<>", path)): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


PAGE = Path(__file__).parents[4] / "docs" / "reference" / "admin-api.md"


def documented() -> dict[tuple[str, str], set[str]]:
    """The requests in the table of the reference, with the parameters of their queries.

    A cell is `GET /a/<b>?c=&d=`, several of them, several methods of one path, or `…/e` for another end of the path.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for cell in re.findall(r"^\| (`.*?) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        methods: list[str] = []
        path = ""
        for text in re.findall(r"`([^`]+)`", cell):
            named, _, rest = text.rpartition(" ")
            if rest in ("GET", "PUT", "POST", "DELETE"):
                methods.append(rest)  # the path comes with the last of them
                continue
            if named:
                methods = [*methods, named] if not path else [named]
            path = path.rpartition("/")[0] + rest[1:] if rest.startswith("…") else rest
            for method in methods:
                plain, _, query = path.partition("?")
                names = {pair.partition("=")[0] for pair in query.split("&") if pair}
                found[method, re.sub(r"<[^>]*>", "<>", plain)] = names
    return found


async def test_the_routes_are_those_of_openapi_and_of_the_reference(engine: Engine, client: Client) -> None:
    app = create_pages(blueprints(engine, TOKEN))
    routes = {
        (method, re.sub(r"<[^>]*>", "<>", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    pages = {("GET", "/problems/<>")}
    described = operations(await description(client))
    assert described.keys() == routes - pages
    assert documented().keys() == routes - pages
    parameters = {
        route: {one["name"] for one in it["parameters"] if one["in"] == "query"} for route, it in described.items()
    }
    assert documented() == parameters


async def test_each_whole_number_of_a_request_is_bounded(client: Client) -> None:
    """What has more than 64 bits fits no column and no message between processes."""
    document = await description(client)
    unbounded: list[str] = []

    def look(schema: Any, place: str, seen: frozenset[str] = frozenset()) -> None:
        if isinstance(schema, list):
            for each in schema:
                look(each, place, seen)
        if not isinstance(schema, dict):
            return
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            look(document["components"]["schemas"][name], place, seen | {name})
        if schema.get("type") == "integer" and not schema.keys() & {"maximum", "exclusiveMaximum", "enum", "const"}:
            unbounded.append(place)
        for key, each in schema.items():
            look(each, f"{place} {key}", seen)

    for (method, path), operation in operations(document).items():
        look(operation.get("requestBody"), f"{method} {path}")
        look(operation.get("parameters"), f"{method} {path}")
    assert unbounded == []


async def test_every_reference_in_openapi_resolves(client: Client) -> None:
    document = await description(client)
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) - known == set()


async def test_the_problems_of_flows_and_those_of_requests_are_described_apart(client: Client) -> None:
    document = await description(client)
    schemas = document["components"]["schemas"]
    (of_flows,) = references(schemas["FlowView"]["properties"]["problems"])
    assert "pointer" in schemas[of_flows.rpartition("/")[2]]["properties"]
    answer = operations(document)["GET", "/api/v1/executions"]["responses"]["400"]
    (of_requests,) = references(answer)
    described = schemas[of_requests.rpartition("/")[2]]
    rejected = await (await client.get("/api/v1/executions?limit=0", headers=AUTH)).get_json(force=True)
    assert set(described["required"]) <= set(rejected) <= set(described["properties"])


async def test_each_parameter_is_described_as_it_is_read(client: Client) -> None:
    """A value that a parameter's schema allows is accepted, and one that it does not allow is rejected."""
    seen: set[str] = set()
    for (method, path), operation in operations(await description(client)).items():
        if method != "GET":
            continue
        own = [one for one in operation["parameters"] if one["in"] == "query"]
        required = {one["name"]: "x" for one in own if one["required"]}
        url = path.replace("<>", "greet")

        async def rejected(query: Mapping[str, str], url: str = url) -> bool:
            if url.endswith("/events"):
                return False
            return (await client.get(f"{url}?{urlencode(query)}", headers=AUTH)).status_code == 400

        for one in own:
            schema = one["schema"]
            seen.add(schema.get("format", "enum" if "enum" in schema else schema["type"]))
            if "enum" in schema:
                good, bad = schema["enum"], ["nonsense"]
            elif schema["type"] == "integer":
                good, bad = [schema["minimum"], schema["maximum"]], [schema["minimum"] - 1, schema["maximum"] + 1, "x"]
                assert schema["minimum"] <= schema["default"] <= schema["maximum"]
            elif schema["type"] == "boolean":
                good, bad = ["true", "false"], ["yes"]
            elif schema.get("format") == "date-time":
                good, bad = ["2026-01-31T08:00:00Z"], ["2026-01-31T08:00:00", "yesterday"]
            else:
                continue
            for value in good:
                assert not await rejected({**required, one["name"]: value}), (path, one["name"], value)
            for value in bad:
                assert await rejected({**required, one["name"]: value}), (path, one["name"], value)
        if required and not url.endswith("/events"):
            assert await rejected({}), path
    assert seen == {"string", "integer", "boolean", "enum", "date-time", "uuid", "cursor"}


async def test_a_parameter_that_is_given_twice_or_unknown_is_rejected(client: Client) -> None:
    for query, told in (("limit=1&limit=2", "give it once"), ("limits=1", "no parameter 'limits'")):
        response = await client.get(f"/api/v1/executions?{query}", headers=AUTH)
        assert response.status_code == 400
        assert told in (await response.get_json(force=True))["detail"]


async def test_openapi_needs_the_token_and_is_made_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await client.get("/api/v1/openapi.json")).status_code == 401
    made: list[Any] = []
    document = openapi.document
    monkeypatch.setattr(openapi, "document", lambda app: made.append(app) or document(app))
    assert await description(client) == await description(client)
    assert len(made) == 1


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


async def test_the_api_signs_for_a_flow_and_tells_no_secret(engine: Engine, flows: Path, client: Client) -> None:
    for scheme in ("github", "basic"):
        verify = {"scheme": scheme, "credential": scheme}
        flow = GREET | {"id": scheme, "trigger": {"use": "webhook", "with": {"verify": verify}}}
        (flows / f"{scheme}.json").write_text(json.dumps(flow))
    await engine.version_switch.refresh()
    await engine.credentials.put("github", "github", {"secret": "hunter2-hunter2"}, by=SYSTEM)
    await engine.credentials.put("basic", "basic", {"username": "u", "password": "hunter2-hunter2"}, by=SYSTEM)

    async def asked(flow_id: str, headers: dict[str, str] = AUTH, **message: Any) -> tuple[int, Any]:
        response = await client.post(f"/api/v1/flows/{flow_id}/sign", headers=headers, json=message)
        return response.status_code, await response.get_json(force=True)

    status, signed = await asked("github", body="e30=")
    assert (status, signed["scheme"], signed["body"]) == (200, "github", "e30=")
    assert dict(signed["headers"])["x-hub-signature-256"].startswith("sha256=")
    status, rejected = await asked("basic", body="e30=")
    assert (status, rejected["code"]) == (422, "sign.impossible")
    assert "hunter2" not in json.dumps([signed, rejected])
    assert (await asked("greet", body="e30="))[1] == {"scheme": "none", "headers": [], "body": "e30="}
    for flow_id, code in (("nothing", "flow.not_found"), ("broken", "flow.not_found")):
        status, rejected = await asked(flow_id)
        assert (status, rejected["code"]) == (404, code)
    assert (await asked("github", body="not base64!"))[0] == 400
    assert (await asked("github", {}, body="e30="))[0] == 401


def test_each_field_of_the_filter_is_a_query_parameter_of_the_list() -> None:
    assert [one.name for one in FILTERS] == list(ExecutionFilter.__struct_fields__)
