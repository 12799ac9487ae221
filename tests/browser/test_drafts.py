"""The drafts of flows: what is kept in the browser and on the server, and who goes on with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Playwright, async_playwright, expect

from tests.acceptance.server_process import TOKEN, ServerProcess, eventually
from tests.browser.accessibility import violations
from tests.browser.console import FLAGS, Console
from tests.browser.flow_editor import PARCELS, drop_drafts, line, put_cursor_behind
from tests.services import need_chromium

pytestmark = pytest.mark.asyncio(loop_scope="session")


def drafts(server: ServerProcess) -> list[str]:
    """The texts of the drafts on the server."""
    listed = server.api("GET", "/api/v1/drafts")["items"]
    return [server.api("GET", f"/api/v1/drafts/{one['flow_id']}")["text"] for one in listed]


async def saved_on(server: ServerProcess, text: str) -> None:
    """Wait until a text is in a draft on the server."""
    await asyncio.to_thread(eventually, text, lambda: any(text in one for one in drafts(server)))


async def test_a_draft_survives_a_browser_that_dies(console: Console, page: Page, parcels: ServerProcess) -> None:
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("heavy ")
    await expect(page.get_by_text("Draft saved")).to_be_visible(timeout=2_000)
    again = await page.context.new_page()
    # The tab dies without being told.
    await page.close(run_before_unload=False)
    await again.goto("/flows/parcels/edit")
    await expect(line(again, '"title"')).to_contain_text("Send heavy parcels")
    assert parcels.api("GET", "/api/v1/flows/parcels")["title"] == "Send parcels"


async def test_a_draft_in_this_browser_belongs_to_who_wrote_it_and_says_why_it_is_nowhere_else(
    console: Console, page: Page, parcels: ServerProcess
) -> None:
    console.expect_status(503, "/drafts/parcels")
    await page.route("**/api/v1/drafts/parcels", lambda route: route.fulfill(status=503))
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("secret ")
    await expect(page.get_by_text("Draft only in this browser")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text("Service Unavailable")
    await console.sign_out()
    await page.unroute("**/api/v1/drafts/parcels")
    await console.sign_in(parcels.api("POST", "/api/v1/tokens", {"name": "sam", "scopes": ["author"]})["token"])
    await console.open("/flows/parcels/edit", "Edit parcels")
    await expect(line(page, '"title"')).to_contain_text("Send parcels")
    await expect(page.get_by_text("No changes")).to_be_visible()
    await console.sign_out()
    await console.sign_in()
    await console.open("/flows/parcels/edit", "Edit parcels")
    await expect(line(page, '"title"')).to_contain_text("Send secret parcels")


@pytest.mark.long
async def test_a_draft_that_was_removed_elsewhere_comes_back_only_if_somebody_wants_it(
    console: Console, page: Page, parcels: ServerProcess
) -> None:
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("sent ")
    await saved_on(parcels, "sent")
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await page.goto("about:blank")
    drop_drafts(parcels)
    await page.goto("/flows/parcels/edit")
    await expect(line(page, '"title"')).to_contain_text("Send parcels")
    await expect(page.get_by_text("No changes")).to_be_visible()
    # What the server never got isn't dropped, and isn't sent unseen.
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("sent ")
    await saved_on(parcels, "sent")
    console.expect_status(503, "/drafts/parcels")
    await page.route("**/api/v1/drafts/parcels", lambda route: route.fulfill(status=503))
    await page.keyboard.type("and changed ")
    await expect(page.get_by_text("Draft only in this browser")).to_be_visible()
    await page.goto("about:blank")
    await page.unroute("**/api/v1/drafts/parcels")
    drop_drafts(parcels)
    await page.goto("/flows/parcels/edit")
    dialog = page.get_by_role("dialog", name="This draft was deployed or discarded elsewhere")
    await expect(dialog.get_by_role("region", name="What your text changes")).to_be_visible()
    assert await violations(page) == []
    assert drafts(parcels) == []
    await dialog.get_by_role("button", name="Keep mine as a draft").click()
    await saved_on(parcels, "sent and changed")


async def test_a_flow_is_edited_in_one_tab_at_a_time(page: Page, parcels: ServerProcess) -> None:
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("first ")
    other = await page.context.new_page()
    await other.goto("/flows/parcels/edit")
    await expect(other.get_by_text("Being edited in another tab")).to_be_visible()
    await put_cursor_behind(other, "Send ")
    await other.keyboard.type("never ")
    await expect(line(other, '"title"')).not_to_contain_text("never")
    # What was typed just before goes with the flow.
    await page.keyboard.type("second ")
    await other.get_by_role("button", name="Edit here").click()
    await expect(line(other, '"title"')).to_contain_text("Send first second parcels")
    await expect(page.get_by_text("Being edited in another tab")).to_be_visible()
    await put_cursor_behind(other, "second ")
    await other.keyboard.type("third ")
    await saved_on(parcels, "third")
    await other.close()
    await page.get_by_role("button", name="Edit here").click()
    await expect(line(page, '"title"')).to_contain_text("Send first second third parcels")
    await page.get_by_role("button", name="Discard draft").click()
    await expect(page.get_by_text("No changes")).to_be_visible()


@asynccontextmanager
async def own_browser(playwright: Playwright, server: ServerProcess, profile: Path) -> AsyncIterator[Page]:
    """A browser with a profile of its own, on the page on which the flow is edited. The server gets no drafts."""
    context = await playwright.chromium.launch_persistent_context(
        profile,
        executable_path=need_chromium(),
        chromium_sandbox=False,
        args=FLAGS,
        base_url=server.url,
    )
    await context.clear_cookies()
    console = Console(await context.new_page())
    await console.page.route("**/api/v1/drafts/**", lambda route: route.abort())
    await console.sign_in(TOKEN)
    yield await console.open("/flows/parcels/edit", "Edit parcels")
    with suppress(PlaywrightError):
        await context.close()


@pytest.mark.long
async def test_a_killed_browser_has_what_was_typed_two_seconds_before(parcels: ServerProcess, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    async with async_playwright() as playwright:
        async with own_browser(playwright, parcels, profile) as page:
            await put_cursor_behind(page, "Send ")
            await page.keyboard.type("killed ")
            await asyncio.sleep(2)
            for process in psutil.process_iter(["cmdline"]):
                if f"--user-data-dir={profile}" in (process.info["cmdline"] or ()):
                    process.kill()
        for name in ("SingletonLock", "SingletonSocket", "SingletonCookie"):
            (profile / name).unlink(missing_ok=True)
        async with own_browser(playwright, parcels, profile) as page:
            await expect(line(page, '"title"')).to_contain_text("Send killed parcels")


async def test_a_draft_is_on_the_server_too_and_serves_nobody(page: Page, parcels: ServerProcess) -> None:
    await put_cursor_behind(page, "Send ")
    await page.keyboard.type("light ")
    await asyncio.to_thread(
        eventually, "the draft is on the server", lambda: any("light" in one for one in drafts(parcels))
    )
    assert parcels.api("GET", "/api/v1/flows/parcels")["title"] == "Send parcels"
    await page.goto("/flows")
    await expect(page.get_by_role("row", name="parcels").get_by_text("Draft")).to_be_visible()
    await page.goto("/flows/parcels/edit")
    await expect(line(page, '"title"')).to_contain_text("Send light parcels")
    await page.get_by_role("button", name="Discard draft").click()
    await expect(page.get_by_text("No changes")).to_be_visible()
    assert drafts(parcels) == []


def theirs(message: str) -> str:
    """The text of a draft of somebody else."""
    post = {"id": "post", "use": "log", "with": {"message": message}}
    return json.dumps({**PARCELS, "steps": [PARCELS["steps"][0], post]})


async def test_the_draft_of_somebody_else_is_seen_before_it_is_replaced(
    console: Console, page: Page, parcels: ServerProcess
) -> None:
    console.expect_status(412, "/drafts/parcels")
    parcels.api("PUT", "/api/v1/drafts/parcels", {"text": theirs("theirs")})
    await put_cursor_behind(page, '"message": "')
    await page.keyboard.type("my ")
    dialog = page.get_by_role("dialog", name="There is another draft of this flow")
    await expect(dialog).to_contain_text("Saved by token:admin")
    await expect(dialog.get_by_role("region", name="What the other draft changes")).to_contain_text("theirs")
    await expect(dialog.get_by_role("region", name="What your text changes")).to_contain_text("my post")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Cancel").click()
    await put_cursor_behind(page, '"message": "my ')
    await page.keyboard.type("own ")
    await expect(page.get_by_text("Draft only in this browser")).to_be_visible()
    assert drafts(parcels) == [theirs("theirs")]
    await page.get_by_role("button", name="Other draft").click()
    await dialog.get_by_role("button", name="Replace the other draft with mine").click()
    await saved_on(parcels, "my own")
    await page.get_by_role("button", name="Discard draft").click()
    await expect(page.get_by_text("No changes")).to_be_visible()


async def test_a_draft_on_the_server_is_offered_when_the_editor_opens(console: Console, parcels: ServerProcess) -> None:
    parcels.api("PUT", "/api/v1/drafts/parcels", {"text": theirs("from elsewhere")})
    page = await console.open("/flows/parcels/edit", "Edit parcels")
    dialog = page.get_by_role("dialog", name="There is another draft of this flow")
    await expect(dialog.get_by_role("region", name="What the other draft changes")).to_contain_text("from elsewhere")
    await dialog.get_by_role("button", name="Continue the other draft").click()
    await expect(line(page, '"id": "post"')).to_contain_text("from elsewhere")
    await page.get_by_role("button", name="Discard draft").click()
    await expect(line(page, '"id": "post"')).not_to_contain_text("from elsewhere")
    await expect(page.get_by_text("No changes")).to_be_visible()
    assert drafts(parcels) == []
