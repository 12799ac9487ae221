"""The panels of the editor in which a flow is tried: the lab, runs, cases, and the comparison with executions."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.accessibility import assert_usable, violations
from tests.browser.console import Console
from tests.browser.flow_editor import box, editor, one_more_flow, put_cursor_behind

pytestmark = pytest.mark.asyncio(loop_scope="session")

_BILL: Final[dict[str, Any]] = {
    "number": 7,
    "customer": {"name": "Ada"},
    "lines": [{"price": 40}, {"price": 80}],
}


def _bills(url: str) -> dict[str, Any]:
    return {
        "id": "bills",
        "title": "Check bills",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "mappers": ["jsonata"],
        "steps": [
            {
                "id": "bill",
                "use": "map",
                "with": {
                    "body": {
                        "number": "$.body.number",
                        "name": "{{ body.customer.name }}",
                        "sum": {"jsonata": "$sum(body.lines.price)"},
                    }
                },
            },
            {"id": "ask", "use": "http.request", "with": {"url": f"{url}/healthz"}},
            {
                "id": "size",
                "switch": [
                    {
                        "when": "{{ steps.bill.body.sum > 100 }}",
                        "steps": [{"id": "large", "use": "log", "with": {"message": "{{ steps.bill.body.name }}"}}],
                    },
                    {"otherwise": True, "steps": [{"id": "small", "use": "log", "with": {"message": "small"}}]},
                ],
            },
        ],
    }


@pytest_asyncio.fixture(loop_scope="session")
async def bills(console: Console, shop: ServerProcess) -> AsyncIterator[ServerProcess]:
    """The server of the shop, with one more flow and an execution of it."""
    async with one_more_flow(console, shop, _bills(shop.url)):
        execution = shop.post("bills", _BILL)[1]["execution_id"]
        assert shop.ended(execution)["state"] == "succeeded"
        yield shop


async def opened(console: Console, tab: str) -> Page:
    page = await console.open(f"/flows/bills/edit?tab={tab}", "Edit bills")
    await expect(editor(page)).to_be_visible()
    return page


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def mapping(page: Page, name: str) -> Locator:
    return panel(page, "Lab").get_by_role("listitem").filter(has_text=name)


async def test_the_lab_shows_value_type_and_origin_and_a_click_gives_a_path_in_each_language(
    console: Console, bills: ServerProcess
) -> None:
    page = await opened(console, "lab")
    for name, value, type_, origin in (
        ("with.body.number", "7", "number", "from trigger.body.number"),
        ("with.body.name", '"Ada"', "text", "from trigger.body.customer.name"),
        ("with.body.sum", "120", "number", "from trigger.body.lines"),
    ):
        await expect(mapping(page, name).locator(".lab-value")).to_contain_text(value)
        await expect(mapping(page, name).locator(".lab-value")).to_contain_text(type_)
        await expect(mapping(page, name)).to_contain_text(origin)
    # The values follow each key.
    text = mapping(page, "with.body.sum").get_by_role("textbox")
    await text.fill("$max(body.lines.price)")
    await expect(mapping(page, "with.body.sum").locator(".lab-value")).to_contain_text("80")
    # An expression of several lines keeps them.
    await text.fill("$sum(\n  body.lines.price\n)")
    await expect(text).to_have_value("$sum(\n  body.lines.price\n)")
    await expect(mapping(page, "with.body.sum").locator(".lab-value")).to_contain_text("120")
    await text.fill("body.none")
    for name, path in (
        ("with.body.number", "$.body.customer.name"),
        ("with.body.name", "{{ body.customer.name }}"),
        ("with.body.sum", "body.customer.name"),
    ):
        await mapping(page, name).get_by_role("textbox").click()
        await panel(page, "Lab").get_by_role("treeitem").filter(has_text='name:"Ada"').first.click()
        await expect(mapping(page, name).get_by_role("textbox")).to_have_value(path)
        await expect(mapping(page, name).locator(".lab-value")).to_contain_text('"Ada"')
    # Another step sees the results of those before it, and says where they come from.
    await mapping(page, "with.body.sum").get_by_role("textbox").fill("$sum(body.lines.price)")
    await page.get_by_role("button", name="Show all (0)").click()
    await box(page, "large").click()
    await expect(mapping(page, "with.message").locator(".lab-value")).to_contain_text('"Ada"')
    await mapping(page, "with.message").locator("summary").click()
    await expect(mapping(page, "with.message")).to_contain_text("{{ body.customer.name }}")
    await assert_usable(console)


async def test_a_run_is_stepped_pinned_and_saved_as_a_case_whose_coverage_the_picture_shows(
    console: Console, bills: ServerProcess
) -> None:
    page = await opened(console, "try")
    tries = panel(page, "Try")
    await tries.get_by_role("button", name="Next step").click()
    await expect(tries.get_by_role("treeitem")).to_contain_text(["bill"])
    await tries.get_by_role("button", name="Next step").click()
    await expect(tries.get_by_role("region", name="ask")).to_contain_text("http.request, stubbed")
    await tries.get_by_role("button", name="Pin the result").click()
    await expect(tries.get_by_role("list", name="Pinned results")).to_contain_text("ask")
    await tries.get_by_role("button", name="Unpin the result of ask").click()
    await tries.get_by_role("radio", name="Real effects").check()
    await tries.get_by_role("button", name="Run", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Run with real effects").click()
    await tries.get_by_role("treeitem").filter(has_text="ask").click()
    await expect(tries.get_by_role("region", name="ask")).not_to_contain_text("stubbed")
    await expect(box(page, "large")).to_have_attribute("aria-label", "large; log; in this execution: succeeded")
    await tries.get_by_role("radio", name="Effects stubbed").check()
    await tries.get_by_role("button", name="Run", exact=True).click()
    await expect(tries.get_by_role("region", name="ask").or_(tries.get_by_text("Choose a step"))).to_be_visible()
    assert await violations(page) == []
    await tries.get_by_role("button", name="Save as a case…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("a large bill")
    await dialog.get_by_role("button", name="Save", exact=True).click()
    cases = panel(page, "Cases")
    await cases.get_by_role("button", name="Run 1 case").click()
    await expect(cases.get_by_role("status")).to_contain_text("1 of 1 passed. They reach 5 of 7")
    await expect(cases.get_by_role("region", name="Not reached by any case")).to_contain_text("small")
    await expect(box(page, "small")).to_have_attribute("aria-label", "small; log; no case reaches it")
    assert await violations(page) == []
    (saved,) = bills.api("GET", "/api/v1/flows/bills/cases")["cases"]
    assert saved["expect"]["outcome"] == "completed"
    assert saved["stubs"]["ask"]["status"] == 200


@pytest.mark.long
async def test_values_of_another_message_are_never_shown(console: Console, bills: ServerProcess) -> None:
    bills.api("POST", "/api/v1/captures", {"flow_id": "bills"})
    try:
        bills.post("bills", {**_BILL, "number": 8})
        captured = "/api/v1/captures/bills/requests"
        bills.eventually("it is captured", lambda: bills.api("GET", captured)["items"])
        (request,) = bills.api("GET", captured)["items"]
        page = await opened(console, "lab")
        value = mapping(page, "with.body.number").locator(".lab-value")
        await expect(value).to_contain_text("number")
        path = f"/captures/bills/requests/{request['id']}"
        console.expect_status(503, path)
        await page.route(f"**{path}", lambda route: route.fulfill(status=503))
        await panel(page, "Lab").get_by_label("Message").select_option(f"request {request['id']}")
        await expect(panel(page, "Lab").get_by_text("The message can't be loaded.")).to_be_visible()
        await expect(value).to_have_count(0)
        await page.unroute(f"**{path}")
        await panel(page, "Lab").get_by_role("button", name="Try again").click()
        await expect(value).to_contain_text("8")
    finally:
        bills.api("DELETE", "/api/v1/captures/bills")


@pytest.mark.long
async def test_the_text_is_compared_with_executions_before_it_is_deployed(
    console: Console, bills: ServerProcess
) -> None:
    page = await opened(console, "backtest")
    await put_cursor_behind(page, "$sum(body.lines.price)")
    await page.keyboard.type(" / 2")
    await page.get_by_role("button", name="Deploy…").click()
    await page.get_by_role("button", name="Compare with executions first").click()
    test = panel(page, "Backtest")
    await test.get_by_role("button", name="Compare", exact=True).click()
    await expect(test.get_by_role("status")).to_contain_text("compared, 0 the same")
    await expect(test.get_by_role("region", name="Different steps")).to_be_visible()
    changed = test.get_by_role("region", name="Changed results")
    await changed.locator("summary").filter(has_text="bill").click()
    await expect(changed.locator("del").first).to_have_text("120")
    await expect(changed.locator("ins").first).to_have_text("60")
    assert await violations(page) == []
    await changed.get_by_role("button", name="Try it").first.click()
    await expect(panel(page, "Try")).to_be_visible()
