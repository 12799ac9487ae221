"""Dead letters in a browser: their causes, and operations on those of a cause."""

from typing import Any

import pytest
from playwright.async_api import expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

FLOW = {
    "id": "invoices",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [
        {
            "id": "checked",
            "when": "{{ body.amount < 0 }}",
            "use": "fail",
            "with": {"code": "invoice.amount", "message": "invoice {{ body.number }} has no amount"},
        },
        {"id": "booked", "use": "map", "with": {"body": {"booked": "$.body.number"}}},
    ],
}


def causes(shop: ServerProcess) -> list[dict[str, Any]]:
    """The causes of the dead letters of the flow."""
    _, page = shop.get("/api/v1/dead-letters?flow_id=invoices")
    found: list[dict[str, Any]] = page["items"]
    return found


def fail(shop: ServerProcess, count: int) -> None:
    """Let executions of a flow of their own fail with one cause."""
    shop.flow(FLOW)
    shop.eventually("the flow is served", lambda: shop.get("/api/v1/flows/invoices")[0] == 200)
    for number in range(count):
        status, answer = shop.post("invoices", {"number": number, "amount": -1})
        assert status == 202, answer
    shop.eventually("all have failed", lambda: sum(one["count"] for one in causes(shop)) == count)


async def test_dead_letters_are_discarded_with_a_reason_and_replayed_with_changes(
    console: Console, shop: ServerProcess
) -> None:
    fail(shop, 3)
    page = await console.open("/dead-letters?flow_id=invoices", "Dead letters")
    await page.get_by_role("row").filter(has_text="invoice.amount").get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("invoice.amount")
    await expect(page.get_by_text("3 dead letters")).to_be_visible()
    await page.get_by_role("table").get_by_role("link").first.click()
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Discard…").click()
    await page.get_by_label("Reason").fill("a test invoice")
    await page.get_by_role("button", name="Discard", exact=True).click()
    await expect(page.get_by_role("table", name="History")).to_contain_text("a test invoice")

    await page.goto("/dead-letters?flow_id=invoices")
    await page.get_by_role("row").filter(has_text="invoice.amount").get_by_role("link").click()
    await expect(page.get_by_text("2 dead letters")).to_be_visible()
    await page.get_by_role("button", name="Replay all…").click()
    await page.get_by_label("Changes of the bodies").fill('{"amount": 5}')
    await page.get_by_role("button", name="Replay", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("2 replayed of 2")
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_text("There are no dead letters of this cause any more")).to_be_visible()
    assert causes(shop) == []
    shop.eventually(
        "the replays have succeeded", lambda: len(shop.executions(flow_id="invoices", state="succeeded")) == 2
    )
