"""The editor of flows: its text, the picture beside it, the checker while one types, drafts, and deploying."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.acceptance.server_process import ServerProcess, eventually
from tests.browser.accessibility import COLORS, violations
from tests.browser.console import Console
from tests.browser.flow_editor import (
    PARCELS,
    box,
    editor,
    line,
    problems,
    put_cursor_behind,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def colors_of(page: Page, selector: str) -> set[str]:
    """The colours of the background of elements."""
    found = await page.locator(selector).evaluate_all(
        "(elements) => elements.map((element) => getComputedStyle(element).backgroundColor)"
    )
    return set(found)


async def tokens(page: Page, *names: str) -> set[str]:
    """The values of colours of the theme that is shown, as the browser computes them."""
    return {
        await page.evaluate(
            """(name) => {
              const element = document.body.appendChild(document.createElement("div"));
              element.style.background = `var(--${name})`;
              const { backgroundColor } = getComputedStyle(element);
              element.remove();
              return backgroundColor;
            }""",
            name,
        )
        for name in names
    }


async def test_the_text_and_the_picture_lead_to_one_another(page: Page) -> None:
    await line(page, '"id": "post"').click()
    await expect(box(page, "post")).to_have_attribute("aria-selected", "true")
    await box(page, "parcel").click()
    await expect(page.locator(".cm-activeLine")).to_contain_text('"id": "parcel"')


async def test_the_picture_follows_what_is_typed_and_problems_are_shown_in_place(page: Page) -> None:
    await expect(problems(page)).to_contain_text("No problems")
    await put_cursor_behind(page, '"use": "lo')
    await page.keyboard.type("z")
    await expect(box(page, "post")).to_have_attribute("aria-label", "post; lozg")
    await expect(problems(page).get_by_role("listitem")).to_contain_text("lozg")
    await expect(page.locator(".cm-lintRange-error")).to_have_text('"lozg"')
    await page.keyboard.press("Backspace")
    await expect(problems(page)).to_contain_text("No problems")
    await expect(page.locator(".cm-lintRange-error")).to_have_count(0)


async def test_what_the_search_finds_is_readable_in_the_dark_theme(console: Console, page: Page) -> None:
    await console.use_theme("dark")
    await editor(page).focus()
    await page.keyboard.press("Control+f")
    await page.keyboard.type("steps")
    await page.locator(".cm-searchMatch").first.wait_for()
    assert await violations(page, COLORS) == []
    await page.keyboard.press("Enter")
    assert await colors_of(page, ".cm-searchMatch") <= await tokens(page, "warn-soft", "accent-soft")


async def test_names_of_the_language_and_paths_of_the_step_are_completed(page: Page) -> None:
    await expect(problems(page)).to_contain_text("No problems")
    options = page.locator(".cm-tooltip-autocomplete").get_by_role("option")
    await put_cursor_behind(page, "{{ steps.parcel.body.")
    await page.keyboard.press("Control+Space")
    await expect(options).to_contain_text(["weight"])
    await page.keyboard.press("Escape")
    await put_cursor_behind(page, '"use": "lo')
    await page.keyboard.press("Control+Space")
    await expect(options.filter(has_text="log")).not_to_have_count(0)


async def test_a_step_is_renamed_throughout_the_flow_and_that_is_undone(page: Page) -> None:
    await put_cursor_behind(page, '"id": "parcel",')
    await page.keyboard.press("F2")
    name = page.get_by_role("dialog").get_by_label("Id")
    await name.fill("post")
    await expect(page.get_by_role("dialog")).to_contain_text("Another step has this id.")
    await name.fill("packet")
    await page.keyboard.press("Enter")
    await expect(box(page, "packet")).to_be_visible()
    await expect(line(page, '"id": "post"')).to_contain_text("{{ steps.packet.body.weight }}")
    await editor(page).focus()
    await page.keyboard.press("Control+z")
    await expect(line(page, '"id": "post"')).to_contain_text("{{ steps.parcel.body.weight }}")
    await expect(box(page, "parcel")).to_be_visible()


async def test_a_text_in_another_layout_is_formatted_by_a_key(page: Page) -> None:
    await put_cursor_behind(page, '"use": "log",')
    await page.keyboard.press("Enter")
    await expect(line(page, '"message"')).not_to_contain_text('"use"')
    await page.keyboard.press("Shift+Alt+f")
    await expect(line(page, '"message"')).to_contain_text('"use": "log"')


async def test_a_flow_is_deployed_with_a_message(page: Page, parcels: ServerProcess) -> None:
    await put_cursor_behind(page, '"message": "')
    await page.keyboard.type("by ")
    await page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy parcels")
    await expect(dialog).to_contain_text("No executions wait.")
    await expect(dialog.get_by_role("list", name="Differences")).to_contain_text("steps.post")
    await dialog.get_by_label("Message").fill("say how")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()
    await expect(page.get_by_text("No changes")).to_be_visible()
    version = parcels.api("GET", "/api/v1/flows/parcels")["version"]
    served = parcels.api("GET", f"/api/v1/flows/parcels/versions/{version}")["document"]
    assert served["steps"][1]["with"]["message"] == "by post {{ steps.parcel.body.weight }}"
    assert parcels.api("GET", "/api/v1/deployments?limit=1")["items"][0]["message"] == "say how"
    # What served before serves again, and the text that was deployed is a draft.
    await page.keyboard.press("F6")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("status").get_by_role("button", name="Roll back")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await asyncio.to_thread(
        eventually,
        "the one before serves again",
        lambda: parcels.api("GET", "/api/v1/flows/parcels")["version"] != version,
    )
    await expect(page.get_by_text("Draft saved")).to_be_visible()
    await page.get_by_role("button", name="Discard draft").click()
    await expect(line(page, '"id": "post"')).not_to_contain_text("by post")


@pytest.mark.long
async def test_the_cases_of_a_flow_get_the_new_id_of_a_step(page: Page, parcels: ServerProcess) -> None:
    expected = {"outcome": "completed", "steps": {"post": {"attempts": 1}}}
    case = {"name": "one", "input": {"body": {"weight": 2}}, "expect": expected}
    parcels.api("PUT", "/api/v1/flows/parcels/cases", {"cases": [case]})
    await put_cursor_behind(page, '"id": "post",')
    await page.keyboard.press("F2")
    await page.get_by_role("dialog").get_by_label("Id").fill("sent")
    await page.keyboard.press("Enter")
    await page.get_by_role("tab", name="Cases").click()
    await expect(page.get_by_role("button", name="Run 1 case")).to_be_visible()
    await page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy parcels")
    await expect(dialog).to_contain_text("Steps that you renamed are renamed in the flow's cases, too.")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()
    (renamed,) = parcels.api("GET", "/api/v1/flows/parcels/cases")["cases"]
    assert renamed["expect"]["steps"] == {"sent": {"attempts": 1}}
    # The panel runs those that the flow has now.
    await page.get_by_role("button", name="Run 1 case").click()
    await expect(page.get_by_role("list", name="Cases")).to_contain_text("Passed")


async def test_nothing_that_somebody_else_has_deployed_is_overwritten_unseen(
    console: Console, page: Page, parcels: ServerProcess
) -> None:
    console.expect_status(412, "/deployments")
    await put_cursor_behind(page, '"message": "')
    await page.keyboard.type("mine: ")
    theirs = {**PARCELS, "steps": [*PARCELS["steps"], {"id": "more", "use": "log", "with": {"message": "theirs"}}]}
    parcels.api("PUT", "/api/v1/flows/parcels", theirs)
    await page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Somebody else has deployed this flow")
    await expect(dialog.get_by_role("list", name="Differences")).to_contain_text("steps.more")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Take their version").click()
    await expect(box(page, "more")).to_be_visible()
    await editor(page).focus()
    await page.keyboard.press("Control+z")
    await expect(line(page, '"id": "post"')).to_contain_text("mine: ")
    # Knowing theirs, the author may replace it.
    await page.get_by_role("button", name="Deploy…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()


@pytest.mark.long
async def test_a_deployment_whose_answer_was_lost_is_no_conflict_with_oneself(
    console: Console, page: Page, parcels: ServerProcess
) -> None:
    console.expect_status(502, "/deployments")
    console.expect_status(412, "/deployments")
    deployed: list[Any] = []

    async def lose_answer(route: Route) -> None:
        wanted = json.loads(route.request.post_data or "")
        if wanted["dry_run"] or deployed:
            await route.continue_()
            return
        deployed.append(await asyncio.to_thread(parcels.api, "POST", "/api/v1/deployments", wanted))
        await route.fulfill(status=502)

    await page.route("**/api/v1/deployments", lose_answer)
    await put_cursor_behind(page, '"message": "')
    await page.keyboard.type("once ")
    await page.get_by_role("button", name="Deploy…").click()
    dialog = page.get_by_role("dialog", name="Deploy parcels")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(dialog).to_contain_text("Bad Gateway")
    await dialog.get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="This text serves already.")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_text("No changes")).to_be_visible()


async def test_a_flow_begins_with_its_name(console: Console, shop: ServerProcess) -> None:
    console.expect_status(404, "/flows/letters")
    page = await console.open("/flows/new", "New flow")
    await page.get_by_label("Name").fill("Not a name")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("lower-case letters")
    await page.get_by_label("Name").fill("letters")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Edit letters")).to_be_visible()
    await expect(line(page, '"id": "letters"')).to_be_visible()
    await page.get_by_role("button", name="Deploy…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()
    assert shop.api("DELETE", "/api/v1/flows/letters")
