"""The flows of the pages on branches, errors and cancelling run, and end as the pages say."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.integration.engine_harness import Harness

from hookline.engine import Engine
from hookline.model.access import SYSTEM
from hookline.model.execution import Execution, ExecutionFilter, Outcome, State

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
PAGES = ("parallel-branches.md", "handle-errors.md", "cancel-executions.md")
FLOWS: dict[str, dict[str, Any]] = {
    flow["id"]: flow
    for page in PAGES
    for flow in map(json.loads, re.findall(r"^```json\n(.*?)^```$", (HOW_TO / page).read_text("utf-8"), re.M | re.S))
}


class Service:
    """The other side of all of them: gives what it is told to, by path, or else an empty object."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gives: dict[str, Any] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """A number is a status, anything else the body."""
        self.calls.append(f"{request.method} {request.path}")
        given = self.gives.get(request.path, {})
        return web.json_response({}, status=given) if isinstance(given, int) else web.json_response(given)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    async with TestServer(app) as server:
        service.url = str(server.make_url("/")).rstrip("/")
        yield service


@pytest.fixture
def harness(tmp_path: Path, service: Service) -> Harness:
    harness = Harness(tmp_path)
    for flow_id, flow in FLOWS.items():
        given = flow | {"vars": dict.fromkeys(flow.get("vars", {}), service.url)}
        (harness.folder / "flows" / f"{flow_id}.json").write_text(json.dumps(given), encoding="utf-8")
    return harness


def engine_of(harness: Harness) -> Engine:
    return harness.engine(egress_allow=("127.0.0.0/8",))


async def outputs(engine: Engine, execution: Execution) -> dict[str, Any]:
    """The last body that each step gave, by path."""
    records = await engine.store.journal(execution.id)
    return {record.path: json.loads(record.output)["body"] for record in records if record.output}


def test_the_pages_have_the_flows_that_are_run_here() -> None:
    assert sorted(FLOWS) == [
        "book-trip",
        "check-order",
        "compare-prices",
        "import-stock",
        "pay-out",
        "post-invoice",
        "quote",
        "rent-machine",
        "tell-operators",
    ]


async def test_branches_give_one_object(harness: Harness, service: Service) -> None:
    service.gives = {"/stock": {"reserved": 3}, "/credit": {"good": True}}
    async with engine_of(harness) as engine:
        body = {"number": 7, "lines": [{"sku": "A"}], "customer": {"id": 1}}
        execution = await harness.until(engine, await harness.send(engine, "check-order", body))
        found = await outputs(engine, execution)
    assert found["ask"] == {"stock": 3, "credit": {"good": True}}
    assert found["decide"] == {"order": 7, "accepted": True}


@pytest.mark.parametrize(
    ("north", "result"),
    [
        (404, {"north": "unknown", "south": 5, "failed": ["north"]}),
        ({"price": 4}, {"north": 4, "south": 5, "failed": []}),
    ],
)
async def test_a_branch_that_fails_leaves_the_others(
    harness: Harness, service: Service, north: Any, result: Any
) -> None:
    service.gives = {"/north": north, "/south": {"price": 5}}
    async with engine_of(harness) as engine:
        execution = await harness.until(engine, await harness.send(engine, "compare-prices", None))
        assert (await outputs(engine, execution))["found"] == result


async def test_a_trip_that_fails_is_undone(harness: Harness, service: Service) -> None:
    service.gives = {"/flight": 409}
    async with engine_of(harness) as engine:
        execution = await harness.until(engine, await harness.send(engine, "book-trip", {"to": "Rome"}))
    assert execution.outcome is Outcome.COMPLETED
    assert service.calls == ["POST /hotel", "POST /flight", "POST /undo"]


async def test_a_quote_that_nobody_agrees_to_goes_on_without(harness: Harness, service: Service) -> None:
    async with engine_of(harness) as engine:
        execution_id = await harness.send(engine, "quote", {"item": "A"})
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(12 * 3600 + 1)
        execution = await harness.until(engine, execution_id)
        assert (await outputs(engine, execution))["offer/none"] == {"agreed": False, "why": "wait_timed_out"}


async def test_a_failure_is_told_to_the_operators(harness: Harness) -> None:
    async with engine_of(harness) as engine:
        failed = await harness.until(engine, await harness.send(engine, "import-stock", None))
        assert failed.outcome is Outcome.FAILED
        page = await engine.store.executions(ExecutionFilter(flow_id="tell-operators"))
        (told,) = page.items
        assert (await harness.until(engine, told.execution.id)).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(("flow_id", "path"), [("post-invoice", "/"), ("pay-out", "/")])
async def test_a_message_is_passed_on(harness: Harness, service: Service, flow_id: str, path: str) -> None:
    async with engine_of(harness) as engine:
        execution = await harness.until(engine, await harness.send(engine, flow_id, {"sum": 1}))
    assert execution.outcome is Outcome.COMPLETED
    assert service.calls == [f"POST {path}"]


async def test_a_machine_is_given_back_where_the_execution_is_cancelled(harness: Harness, service: Service) -> None:
    async with engine_of(harness) as engine:
        execution_id = await harness.send(engine, "rent-machine", {"name": "m1"})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        execution = await harness.until(engine, execution_id)
    assert (execution.state, execution.outcome) == (State.CANCELLED, Outcome.CANCELLED)
    assert service.calls == ["POST /machines", "DELETE /machines/m1"]
