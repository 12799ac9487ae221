"""The flows of the page on waiting for calls run, and answer as it says."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.integration.engine_harness import Harness
from tests.integration.intake.test_callbacks import Site, serving

from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "callbacks-and-approvals.md"
FLOWS = {
    flow["id"]: flow for flow in map(json.loads, re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.M | re.S))
}


@pytest.fixture
async def chat() -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that keeps what it is sent."""
    sent: list[Any] = []

    async def keep(request: web.Request) -> web.Response:
        sent.append(await request.json())
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/messages", keep)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # of a server, and not of its base
    yield f"http://127.0.0.1:{port}/messages", sent
    await runner.cleanup()


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)
    for flow_id, flow in FLOWS.items():
        (harness.folder / "flows" / f"{flow_id}.json").write_text(json.dumps(flow))
    return harness


def test_the_page_has_the_flows_that_are_run_here() -> None:
    assert sorted(FLOWS) == ["expenses", "orders", "travel"]


async def result(harness: Harness, site: Site, execution_id: str) -> Any:
    execution = await harness.until(site.engine, execution_id)
    assert execution.outcome is Outcome.COMPLETED
    records = await site.engine.store.journal(execution_id)
    return [json.loads(record.output)["body"] for record in records if record.use == "map" and record.output][-1]


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        ({"ok": True}, {"pay": 12.5, "to": "Ann"}),
        ({"ok": False, "why": "too much"}, {"rejected": "too much"}),
        (None, {"rejected": "wait_timed_out"}),
    ],
)
async def test_expenses_are_paid_rejected_or_left(
    harness: Harness, chat: tuple[str, list[Any]], answer: Any, end: Any
) -> None:
    url, sent = chat
    options = {"environment": {"HOOKLINE_VARS_EXPENSES__CHAT": url}, "egress_allow": ("127.0.0.0/8",)}
    async with serving(harness, **options) as site:
        _, accepted = await site.post("http://x/hook/expenses", {"who": "Ann", "amount": 12.5})
        await harness.until(site.engine, accepted["execution_id"], State.WAITING)
        assert sent[0]["text"] == "Ann asks for 12.5"
        if answer is None:
            harness.clock.advance(2 * 86400 + 1)
        else:
            assert (await site.post(sent[0]["answer_to"], answer))[0] == 202
        assert await result(harness, site, accepted["execution_id"]) == end
        if answer is None:
            assert (await site.post(sent[0]["answer_to"], {"ok": True}))[0] == 410


async def test_travel_expenses_are_paid_as_answered_on_the_page(harness: Harness) -> None:
    async with serving(harness) as site:
        asked = {"who": "Ann", "amount": 12.5, "reason": "A fair"}
        _, accepted = await site.post("http://x/hook/travel", asked)
        await harness.until(site.engine, accepted["execution_id"], State.WAITING)
        url = site.engine.resume_url(accepted["execution_id"], "approve")
        answer = {"amount": 120.5, "pay_on": "2026-01-31", "approved": True}
        assert (await site.post(url, answer))[0] == 422
        assert (await site.post(url, answer | {"cost_centre": "4100"}))[0] == 202
        assert await result(harness, site, accepted["execution_id"]) == {"pay": 120.5, "on": "2026-01-31"}


async def test_orders_are_found_by_shop_and_number(harness: Harness) -> None:
    async with serving(harness) as site:
        await site.engine.credentials.put("payments", "api-key", {"key": "a-long-key"}, by=SYSTEM)
        _, accepted = await site.post("http://x/hook/orders", {"shop": "a", "order": 7})
        await harness.until(site.engine, accepted["execution_id"], State.WAITING)
        payment = {"shop": "a", "payment": {"order": 7, "sum": 5}}
        assert (await site.post("http://x/hook/orders/paid", payment))[0] == 401
        keyed = {"headers": {"x-api-key": "a-long-key"}}
        assert (await site.call("http://x/hook/orders/paid", json={"shop": "a"}, **keyed))[0] == 422
        status, called = await site.call("http://x/hook/orders/paid", json=payment, **keyed)
        assert (status, called["execution_id"]) == (202, accepted["execution_id"])
        assert await result(harness, site, accepted["execution_id"]) == {"order": 7, "paid": 5}
        text = {"shop": "a", "payment": {"order": "7", "sum": 5}}
        assert (await site.call("http://x/hook/orders/paid", json=text, **keyed))[1]["execution_id"] is None
