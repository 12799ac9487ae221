"""The admin API for authors: checking, evaluating, trying and backtesting what isn't served yet."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from quart.typing import TestClientProtocol as Client

from hookline.access.caller import Caller
from hookline.cli.author.fmt import canonical_text
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.errors import ServiceUnavailable
from hookline.model.access import Actor, AuditFilter, TokenScope
from hookline.model.execution import FINAL, ExecutionFilter
from hookline.model.message import Message
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.simulation.authoring.jobs import CheckJob, CheckResult, GivenDocument
from hookline.simulation.authoring.worker import exchange
from hookline.simulation.authoring.worker_pool import MOST_WAITING, WorkerPool
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


async def test_a_check_may_give_only_what_differs_from_step_to_step(client: Client, sink: Sink) -> None:
    whole = (await done(client, "check", {"document": orders(sink)}))["steps"]
    changes = (await done(client, "check", {"document": orders(sink), "scopes": "changes"}))["steps"]
    scope: dict[str, str] = {}
    for step, change in zip(whole, changes, strict=True):
        scope = {path: shape for path, shape in scope.items() if path not in change["gone"]} | change["scope"]
        assert scope == step["scope"]
    assert "trigger.body" in changes[0]["scope"].keys() - changes[1]["scope"].keys()


async def test_a_check_knows_the_cases_of_the_flow(client: Client, sink: Sink, tmp_path: Path) -> None:
    cases = {"cases": [{"name": "one", "input": {"body": {"sku": "a"}}, "expect": {"outcome": "completed"}}]}
    file = tmp_path / "flows" / "orders.test.json"
    file.write_text(json.dumps(cases))
    found = await done(client, "check", {"document": orders(sink), "flow_id": "orders"})
    assert "sku" in found["steps"][0]["scope"]["body"]
    for text in ("{", "[]", None):
        file.write_text(text) if text else file.unlink()
        found = await done(client, "check", {"document": orders(sink), "flow_id": "orders"})
        assert found["steps"][0]["scope"]["body"] == "any"


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


async def test_a_problem_has_the_change_that_removes_it(client: Client) -> None:
    document = {"id": "new", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [{"use": "lgo"}]}
    found = await done(client, "check", {"document": document})
    (wrong,) = [one for one in found["problems"] if one["pointer"] == "/steps/0/use"]
    assert wrong["fix"] == [{"op": "replace", "path": "/steps/0/use", "value": "log"}]
    found = await done(client, "check", {"document": document | {"titel": "New"}})
    (wrong,) = [one for one in found["problems"] if one["pointer"] == "/titel"]
    assert wrong["fix"] == [{"op": "move", "path": "/title", "from": "/titel"}]


# Formatting and comparing.


async def test_a_document_is_formatted_as_the_command_does(client: Client, tmp_path: Path) -> None:
    given = '{"steps": [], "trigger": {"with": {"verify": "none"}, "use": "webhook"}, "id": "new", "vars": {"x": 1.50}}'
    (tmp_path / "new.json").write_text(given)
    text = (await done(client, "format", {"text": given}))["text"]
    assert text == canonical_text(tmp_path / "new.json")[1]
    assert text.startswith('{\n  "id": "new",')
    assert (await done(client, "format", {"text": text}))["text"] == text
    for wrong, code in (("{", "syntax"), ('{"id": "a", "id": "b"}', "duplicate_key"), ("[]", "wrong_type")):
        status, problem = await post(client, "format", {"text": wrong})
        assert status == 422
        assert [one["code"] for one in problem["problems"]] == [code], wrong


async def test_a_document_is_compared_with_the_version_that_serves(client: Client, sink: Sink) -> None:
    same = await done(client, "diff", {"document": orders(sink)})
    assert same["differences"] == []
    changed = orders(sink)
    changed["steps"][0]["with"]["body"]["sku"] = "$.body.id"
    found = await done(client, "diff", {"document": changed})
    (difference,) = found["differences"]
    assert (difference["old"], difference["new"]) == ("$.body.sku", "$.body.id")
    assert difference["at"].startswith("steps.order.with.body")
    assert found["old_version"] == same["old_version"]
    assert (await post(client, "diff", {"document": changed | {"id": "nothing"}}))[0] == 404


async def test_the_cases_of_a_document_are_run_and_their_coverage_is_told(client: Client, sink: Sink) -> None:
    stubs = {"post": {"result": {"number": 3}, "status": 200}}
    right = {"name": "right", "input": {"body": {"sku": "a", "price": 2}}, "stubs": stubs}
    wrong = right | {"name": "wrong", "expect": {"outcome": "completed", "body": {"posted": 4}}}
    right["expect"] = {"outcome": "completed", "body": {"posted": 3}}
    given = {"document": orders(sink), "cases": {"cases": [right, wrong]}}
    found = await done(client, "test", given)
    assert [(one["name"], one["passed"]) for one in found["cases"]] == [("right", True), ("wrong", False)]
    assert found["cases"][1]["differences"]
    assert (found["reached"], found["total"], found["missed"]) == (4, 4, [])
    one = await done(client, "test", given | {"names": ["right"]})
    assert [case["name"] for case in one["cases"]] == ["right"]
    none = await done(client, "test", {"document": orders(sink), "cases": {"cases": []}})
    assert {one["pointer"] for one in none["missed"]} == {f"/steps/{number}" for number in range(4)}
    status, problem = await post(client, "test", given | {"names": ["rigth"]})
    assert status == 422
    assert "did you mean 'right'" in problem["problems"][0]["remedy"]
    assert sink.requests == []


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
    await engine.version_switch.refresh()
    execution_id = await ran(engine, [5, 7])
    asked = {"execution_id": execution_id, "step": "each[1]/double", "expression": "{{ [item, index] }}"}
    assert (await done(client, "evaluate", asked))["value"] == [7, 1]


async def test_redacted_values_stay_masked(engine: Engine, client: Client, sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "flows" / "orders.json").write_text(json.dumps(orders(sink, redact=["$.body.card"])))
    await engine.version_switch.refresh()
    execution_id = await ran(engine, {"sku": "a", "price": 1, "card": "4111-1111"})
    asked = {"execution_id": execution_id, "expression": "$.body.card"}
    for step in (None, "order"):
        found = await done(client, "evaluate", {**asked, "step": step})
        assert "4111" not in json.dumps(found)
        assert found["type"] == "text"


# Evaluating the expressions of a step.


def by_pointer(found: Mapping[str, Any]) -> dict[str, Any]:
    return {one["pointer"]: one for one in found["expressions"]}


async def test_each_expression_of_a_step_is_evaluated_with_its_type_and_origin(client: Client, sink: Sink) -> None:
    document = orders(sink, mappers=["jsonata"])
    document["steps"][3]["with"]["body"] = {
        "path": "$.steps.order.body.total",
        "text": "{{ steps.order.body.sku | upper }}",
        "query": {"jsonata": "steps.order.body.total + 1"},
        "gone": "$.body.none",
        "half": "{{ body.",
        "plain": "no expression",
    }
    asked = {
        "document": document,
        "step": "/steps/3",
        "input": {"body": {"sku": "a", "price": 2}},
        "stubs": {"post": {"result": {"number": 7}}},
    }
    found = await done(client, "evaluate-step", asked)
    assert (found["reached"], found["turns"], found["without_stub"]) == (True, 1, [])
    assert found["scope"]["trigger"]["body"] == {"sku": "a", "price": 2}
    assert found["scope"]["steps"]["post"]["body"] == {"number": 7}
    each = by_pointer(found)
    start = "/steps/3/with/body"
    assert list(each) == [f"{start}/{name}" for name in ("path", "text", "query", "gone", "half")]
    assert [one["language"] for one in each.values()] == ["jsonpath", "jinja", "jsonata", "jsonpath", "jinja"]
    values = [(one["value"], one["type"]) for one in each.values()]
    assert values == [(4, "number"), ("A", "text"), (5, "number"), (None, None), (None, None)]
    for name in ("path", "query"):
        (read,) = each[f"{start}/{name}"]["reads"]
        assert (read["field"], read["value"]) == ("steps.order.body.total", 4)
        assert read["made_by"][0]["expression"] == "{{ body.price * 2 }}"
        assert read["reads"][0]["field"] == "trigger.body.price"
    (problem,) = each[f"{start}/gone"]["problems"]
    assert (problem["pointer"], problem["code"]) == (f"{start}/gone", "expression.missing")
    (problem,) = each[f"{start}/half"]["problems"]
    assert (problem["pointer"], problem["code"]) == (f"{start}/half", "expression.syntax")


async def test_the_step_sees_an_execution_as_the_changed_document_would_run_it(
    engine: Engine, client: Client, sink: Sink
) -> None:
    execution_id = await ran(engine, {"sku": "a", "price": 3})
    document = orders(sink)
    document["steps"][0]["with"]["body"]["total"] = "{{ body.price * 10 }}"
    # What comes after the step may be wrong.
    document["steps"][3] = {"id": "end", "use": "nothing"}
    asked = {"text": json.dumps(document), "step": "/steps/2", "execution_id": execution_id}
    found = await done(client, "evaluate-step", asked)
    assert found["scope"]["steps"]["order"]["body"]["total"] == 30
    assert by_pointer(found)["/steps/2/with/value"]["value"] == 1
    assert len(sink.requests) == 1


async def test_the_expressions_of_blocks_are_evaluated_for_an_item(client: Client, sink: Sink) -> None:
    inner = {"id": "double", "use": "map", "when": "$.item", "with": {"body": "{{ item * index }}"}}
    each = {"id": "each", "foreach": "$.body", "steps": [inner, {"id": "more", "use": "log"}]}
    again = {"id": "again", "try": [each], "catch": [{"id": "caught", "use": "log", "with": {"message": "no"}}]}
    asked = {"document": orders(sink, steps=[again]), "input": {"body": [5, 7]}}
    found = await done(client, "evaluate-step", {**asked, "step": "/steps/0/try/0"})
    assert by_pointer(found)["/steps/0/try/0/foreach"]["value"] == [5, 7]
    inside = "/steps/0/try/0/steps/0"
    found = await done(client, "evaluate-step", {**asked, "step": inside, "turn": 1})
    assert (found["turns"], found["scope"]["item"], found["scope"]["index"]) == (2, 7, 1)
    values = by_pointer(found)
    assert values[f"{inside}/with/body"]["value"] == 7
    assert values[f"{inside}/with/body"]["reads"][0]["note"] == "item 1 of again/each"
    assert values[f"{inside}/when"]["problems"][0]["code"] == "expression.failed"


async def test_a_step_that_the_message_does_not_reach_has_no_values(client: Client, sink: Sink) -> None:
    asked = {"document": orders(sink), "step": "/steps/3", "input": {"body": {}}}
    found = await done(client, "evaluate-step", asked)
    assert (found["reached"], found["scope"], found["expressions"]) == (False, None, [])
    assert found["error"]["step"] == "order"
    for step, status in (("/steps/9", 422), ("/trigger", 422), ("", 422)):
        assert (await post(client, "evaluate-step", {**asked, "step": step}))[0] == status


async def test_what_the_flow_redacts_stays_masked_in_the_scope(client: Client, sink: Sink) -> None:
    document = orders(sink, redact=["$.body.card"])
    document["steps"][0]["with"]["body"]["card"] = "$.body.card"
    body = {"sku": "a", "price": 1, "card": "4111-1111"}
    found = await done(client, "evaluate-step", {"document": document, "step": "/steps/0", "input": {"body": body}})
    assert "4111" not in json.dumps(found)


@pytest.mark.parametrize(
    "token", ["$.steps.post.body.token", "$['steps']['post'].body.token", "$.steps['post', 'order'].body.token"]
)
async def test_results_that_the_flow_redacts_are_masked_and_steps_before_them_are_evaluated(
    client: Client, sink: Sink, token: str
) -> None:
    document = orders(sink, redact=[token, "$.body.card"])
    document["steps"][3]["with"]["body"] = {"got": "$.steps.post.body.token", "text": "x {{ steps.post.body.token }}"}
    stubs = {"post": {"result": {"token": "4111-1111", "number": 1}}}
    asked = {"document": document, "input": {"body": {"sku": "a", "price": 1}}, "stubs": stubs}
    shown = await done(client, "evaluate-step", {**asked, "step": "/steps/3"})
    assert [one["value"] for one in shown["expressions"]] == ["***", "x ***"]
    assert "4111" not in json.dumps(shown)
    # The beginning of the flow has no such result.
    for step in ("/steps/0", "/steps/1"):
        assert (await done(client, "evaluate-step", {**asked, "step": step}))["reached"]
    assert (await done(client, "try", {**asked, "until": "/steps/0"}))["outcome"] == "completed"


async def test_the_vars_that_are_given_are_those_that_are_read(client: Client, sink: Sink) -> None:
    step = {"id": "one", "use": "map", "with": {"body": "$.vars.limit"}}
    document = orders(sink, vars={"limit": 5}, steps=[step])
    found = await done(client, "evaluate-step", {"document": document, "step": "/steps/0", "vars": {"limit": 10}})
    (one,) = found["expressions"]
    assert (one["value"], one["reads"][0]["value"]) == (10, 10)


async def test_expressions_of_steps_for_an_error_are_evaluated(client: Client, sink: Sink) -> None:
    failing = {"id": "no", "use": "fail", "with": {"code": "order.wrong", "message": "no"}}
    handling = {"id": "told", "use": "log", "with": {"message": "{{ error.code }} {{ body.sku }}"}}
    document = orders(sink, steps=[failing], on_error=[handling])
    asked = {"document": document, "step": "/on_error/0", "input": {"body": {"sku": "a"}}}
    (one,) = (await done(client, "evaluate-step", asked))["expressions"]
    assert one["value"] == "order.wrong a"
    status, problem = await post(client, "evaluate-step", {**asked, "turn": -1})
    assert (status, problem["code"]) == (400, "request.malformed")


async def test_what_reads_the_callback_is_not_evaluated_on_the_message(client: Client, sink: Sink) -> None:
    correlate = {"key": "$.body.id", "from": "$.body.id"}
    waiting = {"id": "paid", "use": "webhook", "with": {"verify": "none", "correlate": correlate}}
    document = orders(sink, steps=[waiting])
    found = await done(
        client, "evaluate-step", {"document": document, "step": "/steps/0", "input": {"body": {"id": 7}}}
    )
    assert list(by_pointer(found)) == ["/steps/0/with/correlate/key"]


async def test_problems_before_the_step_have_their_lines_in_the_text(client: Client, sink: Sink) -> None:
    document = orders(sink)
    document["steps"][0]["use"] = "mapp"
    text = json.dumps(document, indent=2)
    line = next(number for number, each in enumerate(text.splitlines(), 1) if '"mapp"' in each)
    for route, more in (("evaluate-step", {"step": "/steps/2"}), ("try", {"until": "/steps/2"})):
        status, answer = await post(client, route, {"text": text, **more})
        assert (status, answer["detail"].partition(":")[0]) == (422, str(line)), answer


# Trying.


async def test_a_simulation_ends_after_a_step(client: Client, sink: Sink) -> None:
    asked = {"document": orders(sink), "input": {"body": {"sku": "a", "price": 2}}, "until": "/steps/1"}
    stubs = {"post": {"result": {"number": 1}}, "keep": {"result": None}}
    tried = await done(client, "try", {**asked, "stubs": stubs})
    assert (tried["outcome"], list(outputs(tried))) == ("completed", ["order", "post"])
    assert tried["body"] == {"number": 1}
    assert (await done(client, "try", {**asked, "effects": "real"}))["body"] == {"number": 1}
    assert len(sink.requests) == 1


async def test_a_simulation_has_no_effects(engine: Engine, client: Client, sink: Sink, tmp_path: Path) -> None:
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


async def test_a_try_with_real_effects_has_them_and_is_audited(engine: Engine, client: Client, sink: Sink) -> None:
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


async def test_a_simulation_can_not_read_files_of_the_server(client: Client, sink: Sink) -> None:
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
        ("check", {"text": "x" * 2_000_001}, 413),
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


async def test_two_are_done_at_once_and_others_wait_for_their_turn(engine: Engine, client: Client, sink: Sink) -> None:
    async with engine.authoring.slot():
        async with engine.authoring.slot():
            waiting = asyncio.create_task(done(client, "check", {"document": orders(sink)}))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert (await waiting)["valid"]


async def test_only_so_many_wait_and_none_for_ever() -> None:
    pool = WorkerPool(most=1, patience=0.1)

    async def enter() -> None:
        async with pool.slot():
            pass

    async with pool.slot():
        waiting = [asyncio.create_task(enter()) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceUnavailable, match="waiting already"):
            await enter()
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in found} == {ServiceUnavailable}
    await enter()


def _check_of(steps: int) -> CheckJob:
    many = [{"id": f"s{number}", "use": "map", "with": {"body": "$.body"}} for number in range(steps)]
    document = {"id": "long", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": many}
    return CheckJob(GivenDocument(json.dumps(document).encode()), {}, {})


async def _abort(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_ends_when_nobody_waits_for_it() -> None:
    pool = WorkerPool(seconds=60)
    await pool.run(_check_of(1), CheckResult)
    (process,) = pool.processes
    task = asyncio.create_task(pool.run(_check_of(30_000), CheckResult))
    await asyncio.sleep(0)
    await _abort(task)
    assert pool.processes == ()
    await pool.close()
    assert not Path(f"/proc/{process}").exists()


async def test_a_process_whose_short_job_is_aborted_does_the_next_one() -> None:
    pool = WorkerPool(seconds=60)
    await pool.run(_check_of(1), CheckResult)
    processes = pool.processes
    task = asyncio.create_task(pool.run(_check_of(2), CheckResult))
    await asyncio.sleep(0)
    await _abort(task)
    await pool.run(_check_of(1), CheckResult)
    assert pool.processes == processes
    await pool.close()


async def test_a_process_whose_start_is_aborted_does_the_next_job() -> None:
    pool = WorkerPool(seconds=60)
    for _ in range(2):
        task = asyncio.create_task(pool.run(_check_of(1), CheckResult))
        await assert_eventually(lambda: bool(pool.processes))
        await _abort(task)
    (process,) = pool.processes
    await pool.run(_check_of(1), CheckResult)
    assert pool.processes == (process,)
    await pool.close()


async def test_a_pool_that_closes_ends_a_start_that_nobody_waits_for() -> None:
    pool = WorkerPool(seconds=60)
    task = asyncio.create_task(pool.run(_check_of(1), CheckResult))
    await assert_eventually(lambda: bool(pool.processes))
    (process,) = pool.processes
    await _abort(task)
    await pool.close()
    assert not Path(f"/proc/{process}").exists()
    assert pool.processes == ()
