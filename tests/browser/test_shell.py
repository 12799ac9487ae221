"""Signing in and out, finding things by the keyboard, and what a token's scope allows."""

import re

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.console_rule("K7")
async def test_a_wrong_token_is_rejected_and_a_right_one_leads_to_the_page_that_was_asked_for(visitor: Console) -> None:
    page = visitor.page
    await page.goto("/storage")
    await page.get_by_label("Access token").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").get_by_text("This token isn't valid").wait_for()
    await page.get_by_label("Access token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Storage").wait_for()
    await visitor.sign_out()
    await page.reload()
    await page.get_by_role("heading", name="Sign in to Hookline").wait_for()


@pytest.mark.console_rule("K7")
async def test_a_link_signs_in_once_and_its_code_stays_nowhere(visitor: Console, shop: ServerProcess) -> None:
    page = visitor.page
    link = shop.api("POST", "/api/v1/sign-in-links", {})["url"]
    requested: list[str] = []
    # Browsers don't send what follows "#".
    page.on("request", lambda one: requested.append(f"{one.url.partition('#')[0]} {one.headers.get('referer')}"))
    await page.goto(link.replace("localhost", "127.0.0.1"))
    await page.get_by_role("heading", name="Overview").wait_for()
    code = link.partition("#code=")[2]
    assert code
    assert code not in page.url
    assert not any(code in each for each in requested)
    await visitor.sign_out()
    await page.goto("/settings")
    await page.goto(link)
    await page.get_by_text("This link has been used").wait_for()


async def test_the_palette_finds_pages_flows_and_executions(console: Console, shop: ServerProcess) -> None:
    page = await console.open("/nodes", "Nodes")
    palette = page.get_by_role("dialog")
    options = palette.get_by_role("option")
    await page.keyboard.press("Control+k")
    await options.first.wait_for()
    await page.keyboard.type("audit")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="Audit", level=1).wait_for()
    newest, *_ = shop.executions(flow_id="partners")
    await page.keyboard.press("Control+k")
    await options.first.wait_for()
    await page.keyboard.type(newest["id"][-8:])
    await expect(options).to_have_count(1)
    await expect(palette.get_by_role("option", selected=True)).to_contain_text("partners")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/executions/{newest['id']}")


async def test_a_page_that_cannot_be_drawn_says_why_and_everything_else_goes_on(console: Console) -> None:
    page = await console.open("/settings", "Settings")
    await page.route("**/api/v1/nodes", lambda route: route.fulfill(json={"items": [None], "next": None}))
    await page.get_by_role("link", name="Nodes").click()
    await expect(page.get_by_role("alert")).to_contain_text("Something went wrong")
    await page.unroute("**/api/v1/nodes")
    await page.get_by_role("link", name="Settings").click()
    await expect(page.get_by_role("heading", name="Settings", level=1)).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.get_by_role("link", name="Nodes").click()
    await expect(page.get_by_role("heading", name="Nodes", level=1)).to_be_visible()


async def test_the_first_tab_stop_skips_the_navigation(console: Console) -> None:
    page = await console.open("/nodes", "Nodes")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()


async def test_the_focus_goes_to_the_heading_of_a_page_and_back_to_what_opened_a_dialog(console: Console) -> None:
    page = await console.open("/nodes", "Nodes")
    await page.get_by_role("link", name="Tokens").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Tokens", level=1)).to_be_focused()
    opener = page.get_by_role("button", name="Create a token")
    await opener.press("Enter")
    await page.get_by_role("dialog").wait_for()
    await page.keyboard.press("Escape")
    await expect(opener).to_be_focused()
    await page.get_by_role("link", name="Dead letters").press("Enter")
    await expect(page.get_by_role("heading", name="Dead letters", level=1)).to_be_focused()
    await page.get_by_role("row").filter(has_text="payment.amount").get_by_role("link").first.press("Enter")
    await expect(page.get_by_role("heading", name="payment.amount", level=1)).to_be_focused()


async def test_the_focus_stays_on_a_page_whose_action_removes_its_button(console: Console, shop: ServerProcess) -> None:
    shop.api("POST", "/api/v1/tokens", {"name": "brief", "scopes": ["read"]})
    page = await console.open("/tokens", "Tokens")
    row = page.get_by_role("row").filter(has_text="brief")
    await row.get_by_role("button", name="Revoke").press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").press("Enter")
    await expect(row).to_contain_text("Revoked")
    await expect(page.get_by_role("heading", name="Tokens", level=1)).to_be_focused()


async def test_a_drag_out_of_a_dialog_does_not_close_it_but_a_click_beside_it_does(console: Console) -> None:
    page = await console.open("/tokens", "Tokens")
    dialog = page.get_by_role("dialog")

    async def drag_out_of(control: Locator) -> None:
        await control.fill("written")
        await control.hover()
        await page.mouse.down()
        await page.mouse.move(5, 5)
        await page.mouse.up()
        await expect(control).to_have_value("written")
        await page.mouse.click(5, 5)
        await expect(dialog).to_have_count(0)

    await page.get_by_role("button", name="Create a token").click()
    await drag_out_of(dialog.get_by_role("textbox", name="Name"))
    await page.keyboard.press("Control+k")
    await drag_out_of(dialog.get_by_role("combobox"))


async def test_what_is_wrong_with_a_field_describes_its_control(visitor: Console) -> None:
    page = visitor.page
    await page.goto("/")
    token = page.get_by_label("Access token")
    await expect(token).to_have_accessible_description(re.compile("^The server's own token"))
    await token.fill("wrong")
    await page.keyboard.press("Enter")
    await expect(token).to_have_accessible_description(re.compile("^This token isn't valid"))
    await expect(token).to_have_attribute("aria-invalid", "true")


async def test_the_values_of_a_chart_are_read_with_the_arrow_keys(console: Console) -> None:
    page = await console.open("/", "Overview")
    chart = page.get_by_role("slider", name="Throughput")
    await chart.locator("canvas").wait_for()
    await chart.focus()
    await page.keyboard.press("End")
    await expect(chart).to_have_attribute("aria-valuetext", re.compile(r", accepted \S+, succeeded \S+$"))
    newest = await chart.get_attribute("aria-valuenow")
    await page.keyboard.press("ArrowLeft")
    await expect(chart).to_have_attribute("aria-valuenow", str(int(newest or 0) - 1))


async def test_signing_out_of_a_session_that_has_ended_leads_to_the_page_for_signing_in(console: Console) -> None:
    page = await console.open("/tokens", "Tokens")
    await page.context.clear_cookies()
    await console.sign_out()


async def test_what_a_scope_does_not_allow_says_so_and_does_nothing(visitor: Console, shop: ServerProcess) -> None:
    token = shop.api("POST", "/api/v1/tokens", {"name": "reader", "scopes": ["read"]})["token"]
    await visitor.sign_in(token)
    page = await visitor.open("/credentials/shop", "shop")
    button = page.get_by_role("button", name="Delete")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await expect(button).to_have_attribute("title", "Your token doesn't have the scope admin.")
    await button.click(force=True)
    await expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.console_rule("K8")
async def test_tabs_share_one_connection_and_another_takes_it_over(browser: Browser, shop: ServerProcess) -> None:
    context = await browser.new_context(base_url=shop.url)
    streams: list[object] = []
    context.on("request", lambda request: streams.append(request.frame.page) if "/events" in request.url else None)
    first = Console(await context.new_page())
    await first.sign_in()
    others = [await context.new_page() for _ in range(3)]
    for page in others:
        await page.goto("/nodes")
        await page.locator("#navigation").get_by_text("Live").wait_for()
    assert streams == [first.page]
    async with context.expect_event("request", lambda request: "/events" in request.url):
        await first.page.close()
    await context.close()


async def test_a_page_whose_code_is_gone_says_what_to_do(console: Console) -> None:
    page = await console.open("/nodes", "Nodes")
    await page.route("**/assets/Tokens-*.js", lambda route: route.fulfill(status=404))
    await page.get_by_role("link", name="Tokens").click()
    await page.get_by_text("This page could not be loaded").wait_for()
    await page.unroute("**/assets/Tokens-*.js")
    await page.get_by_role("button", name="Reload").click()
    await page.get_by_role("heading", name="Tokens", level=1).wait_for()
    console.expect_problems()  # The browser reports the file that is missing.
