"""Executions in a browser: the list, one execution, and what can be done with them."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")


def send(shop: ServerProcess, flow_id: str, body: Any) -> str:
    """Send a message, and return its execution."""
    status, answer = shop.post(flow_id, body)
    assert status == 202, answer
    execution_id: str = answer["execution_id"]
    return execution_id


async def open_execution(console: Console, execution_id: str, query: str = "") -> Page:
    return await console.open(f"/executions/{execution_id}{query}", f"Execution {execution_id[-8:]}")


ORDER = {
    "number": 7001,
    "customer": "Ada Lovelace",
    "lines": [{"sku": "A-1", "price": 19.5}, {"sku": "B-2", "price": 5}],
}


async def test_an_execution_shows_its_steps_and_where_a_value_comes_from(console: Console, shop: ServerProcess) -> None:
    execution = shop.ended(send(shop, "orders", ORDER))
    page = await open_execution(console, execution["id"])
    steps = page.get_by_role("tree", name="Steps, in the order in which they ran")
    await expect(steps.get_by_role("treeitem")).to_have_count(10)
    await steps.get_by_text("order", exact=True).click()
    await page.get_by_label("Search keys and values").fill("total")
    await page.get_by_label("Search keys and values").press("Enter")
    values = page.get_by_role("tree", name="Output")
    await values.get_by_text("24.5").click()
    await expect(page.get_by_label("The chosen value")).to_contain_text("steps.order.body.total")
    await expect(page.get_by_label("Where it comes from")).to_contain_text("{{ body.lines | sum(attribute='price') }}")
    await page.get_by_role("tab", name="Changes").click()
    await expect(page.get_by_role("tabpanel")).to_contain_text("body.total")
    await page.get_by_role("tab", name="Definition").click()
    await expect(page.get_by_role("tree", name="Definition")).to_contain_text("map")


async def test_the_steps_and_the_values_are_used_by_keyboard(console: Console, shop: ServerProcess) -> None:
    execution = shop.ended(send(shop, "orders", ORDER))
    page = await open_execution(console, execution["id"])
    steps = page.get_by_role("tree", name="Steps, in the order in which they ran")
    await steps.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        await steps.press(key)
    await expect(steps.get_by_role("treeitem", expanded=False)).to_have_count(1)
    await expect(page.get_by_role("heading", name="size")).to_be_visible()
    await steps.press("Home")
    message = page.get_by_role("tree", name="body")
    await message.focus()
    for key in ("End", "Enter"):
        await message.press(key)
    await expect(page.get_by_label("The chosen value")).to_contain_text("trigger.body.lines[1].price")


async def test_what_senders_send_is_shown_harmlessly(console: Console, shop: ServerProcess) -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    hostile = {
        **ORDER,
        "customer": "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "reversed": "abc\u202etxt.exe\u2066",
        "large": "x" * 3_000_000,
        "many": list(range(3000)),
        "deep": deep,
        "__proto__": {"polluted": True},
        "9": "nine",
        "exact": 12345678901234567890123,
    }
    execution = shop.ended(send(shop, "orders", hostile))
    page = await open_execution(console, execution["id"], "?step=")
    message = page.get_by_role("tree", name="body")
    await expect(message).to_contain_text('"<script>alert(1)</script><img src=x onerror=alert(2)>"')
    await expect(message).to_contain_text("\\u202e")
    assert "\u202e" not in await message.inner_text()
    await expect(message).to_contain_text("3,000,000 characters")
    await expect(message).to_contain_text("12345678901234567890123")
    await expect(message).to_contain_text("__proto__")
    await message.get_by_text("large:").click()
    chosen = page.get_by_label("The chosen value")
    await expect(chosen).to_contain_text("4,096 of 3,000,000 characters are shown.")
    await chosen.get_by_role("button", name="Show more").click()
    await expect(chosen).to_contain_text("8,192 of 3,000,000 characters are shown.")
    assert await page.evaluate("({}).polluted") is None


async def test_an_execution_that_a_hook_starts_appears_and_moves_without_reloading(
    console: Console, shop: ServerProcess
) -> None:
    page = await console.open("/executions?flow_id=returns", "Executions")
    await page.evaluate("window.kept = true")
    execution_id = send(shop, "returns", {"order": 7002, "reason": "too large"})
    row = page.get_by_role("row").filter(has_text=execution_id[-8:])
    await expect(row).to_contain_text("Waiting")
    other = await page.context.new_page()
    await other.goto(f"/executions/{execution_id}")
    await other.get_by_role("button", name="Answer…").click()
    await other.get_by_role("textbox", name="Body").fill('{"approved": true}')
    await other.get_by_role("button", name="Send the answer").click()
    await expect(other.get_by_text("Succeeded").first).to_be_visible()
    await expect(row).to_contain_text("Succeeded")
    assert await page.evaluate("window.kept") is True


async def test_a_replay_begins_at_a_step_with_an_edited_body(console: Console, shop: ServerProcess) -> None:
    execution = shop.ended(send(shop, "payments", {"order": 7003, "amount": 0}))
    page = await open_execution(console, execution["id"])
    await page.get_by_role("button", name="Replay…").click()
    await page.get_by_label("From").select_option("known")
    await page.get_by_label("Edit the body").check()
    body = page.get_by_role("textbox", name="Body")
    recorded = '{\n  "order": 7003,\n  "amount": 0\n}'
    await expect(body).to_have_value(recorded)
    await body.fill('{"order": 7003, "amount": }')
    await expect(page.get_by_role("alert")).to_contain_text("1:27")
    # What was written stays until the recorded body is asked for.
    await page.get_by_label("From").select_option("")
    await page.get_by_label("From").select_option("known")
    await page.get_by_label("Edit the body").uncheck()
    await page.get_by_label("Edit the body").check()
    await expect(body).to_have_value('{"order": 7003, "amount": }')
    await page.get_by_role("button", name="Load the recorded body").click()
    await expect(body).to_have_value(recorded)
    await body.fill('{"order": 7003, "amount": 12345678901234567890}')
    await page.get_by_role("button", name="Replay", exact=True).click()
    await expect(page.get_by_text(f"Replay of {execution['id'][-8:]}")).to_be_visible()
    await expect(page.get_by_text("Succeeded").first).to_be_visible()
    replay = shop.ended(page.url.split("/")[-1])
    matched = next(one for one in replay["steps"] if one["path"] == "matched")
    assert matched["output"]["body"]["order"] == 7003


@pytest.mark.long
async def test_a_body_that_cannot_be_loaded_is_not_replaced_by_null(console: Console, shop: ServerProcess) -> None:
    execution = shop.ended(send(shop, "payments", {"order": 7005, "amount": 5}))
    page = await open_execution(console, execution["id"])
    console.expect_status(503, f"/executions/{execution['id']}/values/download?pointer=%2Fbody")
    await page.route("**/values/download?*", lambda route: route.fulfill(status=503))
    await page.get_by_role("button", name="Replay…").click()
    dialog = page.get_by_role("dialog")
    replay = dialog.get_by_role("button", name="Replay", exact=True)
    await dialog.get_by_label("Edit the body").check()
    await expect(dialog.get_by_role("alert")).to_contain_text("Service Unavailable")
    await expect(replay).to_be_disabled()
    await dialog.get_by_role("button", name="Write another body").click()
    await expect(replay).to_be_disabled()
    await dialog.get_by_role("textbox", name="Body").fill("{}")
    await expect(replay).to_be_enabled()
    await dialog.get_by_role("button", name="Load the recorded body").click()
    await expect(replay).to_be_disabled()
    await page.unroute("**/values/download?*")
    await dialog.get_by_role("button", name="Try again").click()
    await expect(dialog.get_by_role("textbox", name="Body")).to_have_value('{\n  "order": 7005,\n  "amount": 5\n}')
    await expect(replay).to_be_enabled()


async def test_an_execution_is_saved_as_a_test_case(console: Console, shop: ServerProcess) -> None:
    execution = shop.ended(send(shop, "payments", {"order": 7004, "amount": 5}))
    page = await open_execution(console, execution["id"])
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Save as a test case…").click()
    await page.get_by_label("Name").fill("a payment of an order")
    await page.get_by_role("button", name="Save", exact=True).click(timeout=60_000)
    await expect(page.get_by_text("Saved with the cases of payments")).to_be_visible()
    _, kept = shop.get("/api/v1/flows/payments/cases")
    (case,) = kept["cases"]
    assert case["name"] == "a payment of an order"
    assert case["input"]["body"] == {"order": 7004, "amount": 5}


async def test_filters_are_in_the_url_and_can_be_saved(console: Console) -> None:
    page = await console.open("/executions", "Executions")
    await page.get_by_label("All flows").select_option("payments")
    await page.get_by_label("All states").select_option("failed")
    await page.wait_for_url("**/executions?flow_id=payments&state=failed")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("payment.amount")
    await page.get_by_role("button", name="Saved searches").click()
    await page.get_by_role("menuitem", name="Save this search…").click()
    await page.get_by_label("Name").fill("failed payments")
    await page.get_by_role("button", name="Save", exact=True).click()
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_role("button", name="Saved searches").click()
    await page.get_by_role("menuitem", name="failed payments").click()
    await page.wait_for_url("**/executions?flow_id=payments&state=failed")


async def test_contents_are_searched(console: Console, shop: ServerProcess) -> None:
    execution_id = send(shop, "payments", {"order": 7005, "amount": 5, "note": "Wrapped as a gift"})
    page = await console.open("/executions?flow_id=payments", "Executions")
    await page.get_by_label("Text in a message").fill("as a GIFT")
    await page.wait_for_url("**text=as+a+GIFT*")
    await expect(page.get_by_role("row")).to_have_count(2)
    await expect(page.get_by_role("row").nth(1)).to_contain_text(execution_id[-8:])
    await expect(page.get_by_text("executions searched, newest first.")).to_be_visible()
    await page.get_by_label("Text in a message").fill("nowhere to be found")
    await expect(page.get_by_text("No execution fits these filters")).to_be_visible()


async def test_the_list_scrolls_without_gaps(console: Console, shop: ServerProcess) -> None:
    for number in range(110):
        send(shop, "payments", {"order": number, "amount": 1})
    page = await console.open("/executions?flow_id=payments", "Executions")
    seen: list[str] = []
    for _ in range(60):
        for row in await page.locator(".vtable-row .mono").all_inner_texts():
            if row not in seen:
                seen.append(row)
        at_end = await page.evaluate(
            """() => { const s = document.querySelector('[data-scroller]'); const before = s.scrollTop;
            s.scrollBy(0, 500); return s.scrollTop === before; }"""
        )
        await page.wait_for_timeout(60)
        if at_end and await page.locator(".vtable-foot").count() == 0:
            break
    assert seen == [one["id"][-8:] for one in shop.executions(flow_id="payments")]


async def test_selected_executions_are_cancelled_with_progress(console: Console, shop: ServerProcess) -> None:
    ids = [send(shop, "returns", {"order": 7100 + number, "reason": "late"}) for number in range(2)]
    page = await console.open("/executions?flow_id=returns&state=waiting", "Executions")
    for execution_id in ids:
        await page.get_by_label(f"Select {execution_id[-8:]}").check()
    await page.get_by_role("button", name="Cancel…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).last.click()
    await expect(page.get_by_role("dialog")).to_contain_text("2 cancelled of 2")
    await page.get_by_role("button", name="Close").click()
    assert {shop.ended(execution_id)["state"] for execution_id in ids} == {"cancelled"}


async def test_the_selection_ends_when_the_filters_change(console: Console, shop: ServerProcess) -> None:
    execution_id = send(shop, "returns", {"order": 7110, "reason": "late"})
    page = await console.open("/executions?flow_id=returns", "Executions")
    await page.get_by_label(f"Select {execution_id[-8:]}").check()
    await expect(page.get_by_text("1 selected:")).to_be_visible()
    await page.get_by_label("All states").select_option("failed")
    await expect(page.get_by_text("1 selected:")).to_have_count(0)
    await page.get_by_label("All states").select_option("")
    await expect(page.get_by_label(f"Select {execution_id[-8:]}")).not_to_be_checked()


async def test_an_operation_on_many_ends_when_its_page_is_left(console: Console, shop: ServerProcess) -> None:
    ids = [send(shop, "returns", {"order": 7120 + number, "reason": "late"}) for number in range(2)]
    page = await console.open("/executions", "Executions")
    await page.get_by_label("All flows").select_option("returns")
    for execution_id in ids:
        await page.get_by_label(f"Select {execution_id[-8:]}").check()
    left = asyncio.Event()
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        await left.wait()
        await route.fulfill(json={})

    await page.route("**/api/v1/executions/*/cancel", answer)
    await page.get_by_role("button", name="Cancel…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).last.click()
    await expect(page.get_by_role("dialog")).to_contain_text("0 cancelled of 2")
    await page.evaluate("history.pushState(null, '', '/nodes'); dispatchEvent(new PopStateEvent('popstate'))")
    await expect(page.get_by_role("heading", name="Nodes", level=1)).to_be_visible()
    async with page.expect_event("requestfinished", lambda request: request.url.endswith("/cancel")):
        left.set()
    # The next request would begin at once.
    await page.evaluate("fetch('/api/v1/me').then((response) => response.text())")
    assert len(asked) == 1


async def test_a_dialog_says_why_its_action_failed(console: Console, shop: ServerProcess) -> None:
    execution_id = send(shop, "returns", {"order": 7130, "reason": "late"})
    page = await open_execution(console, execution_id)
    console.expect_status(409, f"/executions/{execution_id}/cancel")
    problem = {"title": "It has ended", "code": "illegal", "detail": "The execution has just ended."}
    await page.route(
        "**/api/v1/executions/*/cancel",
        lambda route: route.fulfill(status=409, json=problem, content_type="application/problem+json"),
    )
    await page.get_by_role("button", name="Cancel…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Cancel the execution").click()
    await expect(dialog.get_by_role("alert")).to_have_text("The execution has just ended.")
    await expect(page.locator(".toast")).to_have_count(0)
    await page.unroute("**/api/v1/executions/*/cancel")
    await dialog.get_by_role("button", name="Cancel the execution").click()
    await expect(dialog).to_have_count(0)
