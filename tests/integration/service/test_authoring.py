"""The admin API for authors: checking, evaluating, trying and backtesting what isn't served yet."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from quart.typing import TestClientProtocol as Client

from hookline.access.caller import Caller
from hookline.discovery.loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.model.access import Actor, AuditFilter, TokenScope
from hookline.model.execution import FINAL, ExecutionFilter
from hookline.model.message import Message
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.simulation.authoring.jobs import CheckJob, CheckResult, GivenDocument
from hookline.simulation.authoring.worker import exchange
from hookline.simulation.authoring.worker_pool import WorkerPool
from hookline.testing.eventually import assert_eventually

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


REGISTRY = load_plugins()


class ThreadPool(WorkerPool):
    """Does the jobs in a thread of this process, which is there at once."""

    async def exchange(self, job: bytes) -> bytes:
        return await asyncio.to_thread(exchange, job, REGISTRY)


class Sink:
    """Counts the requests that really arrive."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append(await request.json())
        return web.json_response({"number": len(self.requests)})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink, app = Sink(), web.Application()
    app.router.add_post("/orders", sink.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    sink.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/orders"  # type: ignore[attr-defined]  # it is a server
    yield sink
    await runner.cleanup()


def orders(sink: Sink, **settings: Any) -> dict[str, Any]:
    """A flow that maps an order, posts it, keeps its number, and writes it to a file."""
    return {
        "id": "orders",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "steps": [
            {"id": "order", "use": "map", "with": {"body": {"sku": "$.body.sku", "total": "{{ body.price * 2 }}"}}},
            {"id": "post", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}},
            {"id": "keep", "use": "state.set", "with": {"key": "last", "value": "$.body.number"}},
            {"id": "end", "use": "map", "with": {"body": {"posted": "$.steps.post.body.number"}}},
        ],
        **settings,
    }


@pytest.fixture
async def engine(tmp_path: Path, sink: Sink) -> AsyncIterator[Engine]:
    folder = tmp_path / "flows"
    folder.mkdir()
    (folder / "orders.json").write_text(json.dumps(orders(sink)))
    (tmp_path / "files").mkdir()
    options = EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=folder,
        secret_keys=(b"k" * 32,),
        watch=False,
        public_url="https://hooks.example",
        files_root=tmp_path / "files",
        egress_allow=("127.0.0.0/8",),
    )
    async with Engine(REGISTRY, options) as engine:
        engine.authoring = ThreadPool()
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_pages(blueprints(engine, TOKEN)).test_client()


async def post(client: Client, path: str, given: Any, *, token: str = TOKEN) -> tuple[int, Any]:
    """The status and the response to a request of an author."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    response = await client.post(f"/api/v1/{path}", headers=headers, data=data)
    return response.status_code, json.loads(await response.get_data())


async def done(client: Client, path: str, given: Any) -> Any:
    """The response to a request that succeeds."""
    status, found = await post(client, path, given)
    assert status == 200, found
    return found


async def ran(engine: Engine, body: Any) -> str:
    """The id of an execution of `orders` that has ended."""
    flow = engine.intake.flow("orders")
    started = await engine.intake.start(flow, Message(body), execution_id=engine.ids.new(), by=Actor("token", "a test"))
    while True:
        execution = await engine.store.execution(started.execution_id)
        if execution is not None and execution.state in FINAL:
            return execution.id
        await asyncio.sleep(0.01)


def outputs(tried: Mapping[str, Any]) -> dict[str, Any]:
    """The bodies of the results by the paths of the steps."""
    return {one["path"]: (one["output"] or {}).get("body") for one in tried["steps"]}


# Checking.


async def test_a_check_says_what_is_wrong_and_where(client: Client) -> None:
    text = '{\n  "id": "orders",\n  "trigger": {"use": "webhok"},\n  "steps": []\n}'
    found = await done(client, "check", {"text": text})
    assert not found["valid"]
    (wrong,) = [one for one in found["problems"] if one["pointer"] == "/trigger/use"]
    assert (wrong["line"], wrong["column"], wrong["severity"]) == (3, 15, "error")
    assert "webhook" in wrong["remedy"]
    assert wrong["code"]
    assert wrong["message"]


async def test_a_check_says_where_a_text_stops_being_json(client: Client) -> None:
    found = await done(client, "check", {"text": '{\n "id": 5,,'})
    (wrong,) = found["problems"]
    assert (wrong["code"], wrong["line"], wrong["column"]) == ("syntax", 2, 10)
    assert found["steps"] == []


async def test_a_check_shows_the_types_that_each_step_sees(client: Client, sink: Sink) -> None:
    cases = {"cases": [{"name": "one", "input": {"body": {"sku": "a"}}}]}
    found = await done(client, "check", {"document": orders(sink), "cases": cases})
    assert found["valid"]
    assert [one["step"] for one in found["steps"]] == ["order", "post", "keep", "end"]
    assert "sku" in found["steps"][0]["scope"]["body"]
    assert "sku" in found["steps"][1]["scope"]["body"]
    assert "steps.order" in found["steps"][1]["scope"]


async def test_a_check_knows_the_flows_and_credentials_of_the_server(client: Client) -> None:
    steps = [
        {"id": "call", "use": "flow", "with": {"id": "order"}},
        {"id": "post", "use": "http.request", "with": {"url": "https://a.example"}, "credential": "nobody"},
    ]
    document = {"id": "new", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}
    found = await done(client, "check", {"document": document})
    codes = {one["code"]: one for one in found["problems"]}
    assert "orders" in codes["unknown_flow"]["remedy"]
    assert "credential_missing" in codes


# Evaluating.


@pytest.mark.parametrize(
    ("expression", "mappers", "value", "type_"),
    [
        ("$.body.price", [], 2, "number"),
        ("{{ body.price * 2 }}", [], 4, "number"),
        ({"a": "$.body.sku", "b": [1]}, [], {"a": "x", "b": [1]}, "{a: text, b: list of number}"),
        ({"jsonata": "$sum(body.many)"}, ["jsonata"], 6, "number"),
        ({"jmespath": "body.many[0]"}, ["jmespath"], 1, "number"),
        ({"jsonpath": "$.body.none", "default": "-"}, [], "-", "text"),
    ],
)
async def test_an_expression_is_evaluated_on_a_message(
    client: Client, expression: Any, mappers: list[str], value: Any, type_: str
) -> None:
    message = {"body": {"price": 2, "sku": "x", "many": [1, 2, 3]}}
    found = await done(client, "evaluate", {"expression": expression, "mappers": mappers, "message": message})
    assert found == {"value": value, "type": type_, "problems": []}


@pytest.mark.parametrize(
    ("expression", "pointer", "code"),
    [
        ("$.body.none", "", "expression.missing"),
        ({"a": ["$.body.none"]}, "/a/0", "expression.missing"),
        ("{{ body.", "", "expression.syntax"),
        ({"a": {"jsonata": "1"}}, "", None),
    ],
)
async def test_an_error_of_an_expression_has_its_place_and_a_remedy(
    client: Client, expression: Any, pointer: str, code: str | None
) -> None:
    found = await done(client, "evaluate", {"expression": expression, "message": {"body": {}}})
    if code is None:
        # Without the mapper in `mappers`, this is a plain object.
        assert found["value"] == {"a": {"jsonata": "1"}}
        return
    (problem,) = found["problems"]
    assert (found["value"], found["type"]) == (None, None)
    assert (problem["pointer"], problem["code"]) == (pointer, code)
    assert problem["remedy"]


async def test_an_expression_sees_what_a_step_saw(engine: Engine, client: Client) -> None:
    execution_id = await ran(engine, {"sku": "a", "price": 3})
    asked = {"execution_id": execution_id, "expression": "{{ body }}"}
    assert (await done(client, "evaluate", asked))["value"] == {"sku": "a", "price": 3}
    assert (await done(client, "evaluate", {**asked, "step": "post"}))["value"] == {"sku": "a", "total": 6}
    at_end = {**asked, "step": "end", "expression": {"now": "$.body", "then": "$.steps.order.body.total"}}
    assert (await done(client, "evaluate", at_end))["value"]["then"] == 6
    wrong = {**asked, "step": "post", "expression": {"a": "$.body.none"}}
    (problem,) = (await done(client, "evaluate", wrong))["problems"]
    assert (problem["pointer"], problem["code"]) == ("/a", "expression.missing")
    (problem,) = (await done(client, "evaluate", {**asked, "step": "pos"}))["problems"]
    assert "post" in problem["remedy"]


async def test_an_expression_sees_the_item_of_a_step_in_a_foreach(
    engine: Engine, client: Client, sink: Sink, tmp_path: Path
) -> None:
    each = {
        "id": "each",
        "foreach": "$.body",
        "steps": [{"id": "double", "use": "map", "with": {"body": "{{ item * 2 }}"}}],
    }
    (tmp_path / "flows" / "orders.json").write_text(json.dumps(orders(sink, steps=[each])))
    await engine.serving.refresh()
    execution_id = await ran(engine, [5, 7])
    asked = {"execution_id": execution_id, "step": "each[1]/double", "expression": "{{ [item, index] }}"}
    assert (await done(client, "evaluate", asked))["value"] == [7, 1]


async def test_redacted_values_stay_masked(engine: Engine, client: Client, sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "flows" / "orders.json").write_text(json.dumps(orders(sink, redact=["$.body.card"])))
    await engine.serving.refresh()
    execution_id = await ran(engine, {"sku": "a", "price": 1, "card": "4111-1111"})
    asked = {"execution_id": execution_id, "expression": "$.body.card"}
    for step in (None, "order"):
        found = await done(client, "evaluate", {**asked, "step": step})
        assert "4111" not in json.dumps(found)
        assert found["type"] == "text"


# Trying.


async def test_a_trial_has_no_effects(engine: Engine, client: Client, sink: Sink, tmp_path: Path) -> None:
    write = {"id": "write", "use": "file.write", "with": {"path": "a.txt", "content": "x"}}
    keep = {"id": "keep", "use": "state.set", "with": {"key": "last", "value": 1}}
    document = orders(sink, steps=[*orders(sink)["steps"][:2], keep, write])
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if "hookline.db" not in file.name}
    tried = await done(client, "try", {"document": document, "input": {"body": {"sku": "a", "price": 2}}})
    assert tried["outcome"] == "completed"
    assert outputs(tried)["order"] == {"sku": "a", "total": 4}
    assert tried["stubbed"] == tried["without_stub"] == ["post", "write"]
    assert sink.requests == []
    assert list((tmp_path / "files").iterdir()) == []
    assert await engine.store.state("orders", "last") is None
    assert (await engine.store.executions(ExecutionFilter(), cursor=None, limit=10)).items == ()
    assert not (await engine.store.audit(AuditFilter(operation="flow.try"), cursor=None, limit=10)).items
    after = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if "hookline.db" not in file.name}
    assert after == before


async def test_stubs_are_pinned_by_step(client: Client, sink: Sink) -> None:
    given = {
        "document": orders(sink),
        "input": {"body": {"sku": "a", "price": 2}},
        "stubs": {"post": {"result": {"number": 77}, "status": 201}},
    }
    tried = await done(client, "try", given)
    assert tried["body"] == {"posted": 77}
    assert tried["without_stub"] == []
    failing = await done(
        client, "try", {**given, "stubs": {"post": {"error": {"code": "http.503", "message": "down"}}}}
    )
    assert (failing["outcome"], failing["error"]["code"]) == ("failed", "http.503")
    assert failing["steps"][-1]["error"]["step"] == "post"
    status, wrong = await post(client, "try", {**given, "stubs": {"pst": {}}})
    assert status == 422
    assert wrong["problems"][0]["pointer"] == "/stubs/pst"
    assert "post" in wrong["problems"][0]["remedy"]


async def test_an_execution_gives_the_message_and_the_results(engine: Engine, client: Client, sink: Sink) -> None:
    execution_id = await ran(engine, {"sku": "a", "price": 3})
    assert sink.requests == [{"sku": "a", "total": 6}]
    changed = orders(sink)
    changed["steps"][0]["with"]["body"]["more"] = True
    tried = await done(client, "try", {"document": changed, "execution_id": execution_id})
    assert outputs(tried)["order"] == {"sku": "a", "total": 6, "more": True}
    assert tried["body"] == {"posted": 1}
    assert (tried["without_stub"], len(sink.requests)) == ([], 1)


async def test_a_trial_with_real_effects_has_them_and_is_audited(engine: Engine, client: Client, sink: Sink) -> None:
    given = {"document": orders(sink), "effects": "real", "input": {"body": {"sku": "a", "price": 2}}}
    tried = await done(client, "try", given)
    assert (tried["outcome"], tried["body"], tried["stubbed"]) == ("completed", {"posted": 1}, [])
    assert sink.requests == [{"sku": "a", "total": 4}]
    # Its state and its execution are its own.
    assert await engine.store.state("orders", "last") is None
    assert (await engine.store.executions(ExecutionFilter(), cursor=None, limit=10)).items == ()
    (entry,) = (await engine.store.audit(AuditFilter(operation="flow.try"), cursor=None, limit=10)).items
    assert (entry.actor.kind, entry.flow_id, entry.flow_version) == ("token", "orders", tried["flow_version"])
    pinned = await done(client, "try", {**given, "stubs": {"post": {"result": {"number": 5}}}})
    assert (pinned["body"], pinned["stubbed"], len(sink.requests)) == ({"posted": 5}, ["post"], 1)


async def test_a_broken_document_has_no_real_effects(engine: Engine, client: Client, sink: Sink) -> None:
    broken = orders(sink, steps=[*orders(sink)["steps"], {"id": "last", "use": "nothing"}])
    status, found = await post(client, "try", {"document": broken, "effects": "real", "input": {"body": {}}})
    assert (status, found["code"], sink.requests) == (422, "flow.invalid", [])
    assert found["problems"][0]["pointer"] == "/steps/4/use"
    assert not (await engine.store.audit(AuditFilter(operation="flow.try"), cursor=None, limit=10)).items


async def test_a_trial_can_not_read_files_of_the_server(client: Client, sink: Sink) -> None:
    given = {"document": orders(sink), "input": {"attachments": [{"file": "/etc/passwd"}]}}
    status, found = await post(client, "try", given)
    assert status == 422
    assert "no files can be read" in found["detail"]


# Backtests.


async def test_a_backtest_shows_what_a_change_does(engine: Engine, client: Client, sink: Sink) -> None:
    for price in (1, 2, 3):
        await ran(engine, {"sku": "a", "price": price})
    changed = orders(sink)
    changed["steps"][0]["with"]["body"]["total"] = "{{ body.price * 3 }}"
    same = await done(client, "backtest", {"document": orders(sink)})
    assert (same["executions"], same["same"], same["kinds"], same["next"]) == (3, 3, [], None)
    found = await done(client, "backtest?limit=2", {"document": changed})
    assert (found["executions"], found["same"]) == (2, 0)
    assert {(one["kind"], one["step"], one["count"]) for one in found["kinds"]} == {
        ("output", "order", 2),
        ("changed call", "post", 2),
    }
    rest = await done(client, f"backtest?limit=2&cursor={found['next']}", {"document": changed})
    assert (rest["executions"], rest["next"]) == (1, None)
    assert len(sink.requests) == 3


# Access and limits.


async def test_authors_with_some_flows_see_no_others(engine: Engine, client: Client, sink: Sink) -> None:
    by = Caller(Actor("token", "admin"), TokenScope.ADMIN)
    _, token = await engine.api_tokens.create("limited", [TokenScope.AUTHOR], by=by, expires_at=None, flows=["others"])
    execution_id = await ran(engine, {"sku": "a", "price": 3})
    for path, given in (
        ("evaluate", {"execution_id": execution_id, "expression": "$.body"}),
        ("try", {"document": orders(sink), "execution_id": execution_id}),
        ("try", {"document": orders(sink), "effects": "real", "input": {"body": {"sku": "a", "price": 1}}}),
        ("backtest", {"document": orders(sink)}),
    ):
        status, found = await post(client, path, given, token=token)
        assert status == 404, found
    assert len(sink.requests) == 1


@pytest.mark.parametrize("path", ["check", "evaluate", "try", "backtest"])
async def test_operators_are_no_authors(engine: Engine, client: Client, path: str) -> None:
    by = Caller(Actor("token", "admin"), TokenScope.ADMIN)
    _, token = await engine.api_tokens.create("operator", [TokenScope.OPERATE], by=by, expires_at=None, flows=None)
    status, found = await post(client, path, {}, token=token)
    assert (status, found["code"]) == (403, "token.scope")


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("check", {}, 400),
        ("check", {"document": {}, "text": "{}"}, 400),
        ("check", {"text": " " * 2_000_001}, 413),
        ("check", b'{"document": ' + b"[" * 100_000, 400),
        ("evaluate", {"expression": "$", "step": "a"}, 400),
        ("evaluate", {"expression": "$", "execution_id": "none"}, 404),
        ("try", {"document": {}, "effects": "some"}, 400),
        ("backtest", {"document": {}}, 422),
        ("backtest", {"document": {"id": "none"}}, 404),
        ("backtest", {"text": "["}, 422),
    ],
)
async def test_wrong_requests_are_rejected(client: Client, path: str, given: Any, expected: int) -> None:
    status, found = await post(client, path, given)
    assert status == expected, found


async def test_only_some_are_done_at_once(engine: Engine, client: Client, sink: Sink) -> None:
    with engine.authoring.slot(), engine.authoring.slot():
        status, found = await post(client, "check", {"document": orders(sink)})
    assert (status, found["code"]) == (503, "request.unavailable")
    assert (await done(client, "check", {"document": orders(sink)}))["valid"]


async def test_work_ends_when_nobody_waits_for_it() -> None:
    pool = WorkerPool(seconds=60)
    steps = [{"id": f"s{number}", "use": "map", "with": {"body": "$.body"}} for number in range(10_000)]
    document = {"id": "long", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": steps}
    job = CheckJob(GivenDocument(json.dumps(document).encode()), {}, ())
    task = asyncio.create_task(pool.run(job, CheckResult))
    await assert_eventually(lambda: bool(pool.processes))
    (process,) = pool.processes
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await pool.close()
    assert not Path(f"/proc/{process}").exists()
    assert pool.processes == ()
