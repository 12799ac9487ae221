"""The forms of a flow's steps, and adding, moving, wrapping, duplicating and deleting steps, by keys and by mouse."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.accessibility import assert_usable, violations
from tests.browser.console import Console
from tests.browser.flow_editor import box, editor, line, one_more_flow, put_cursor_behind

pytestmark = pytest.mark.asyncio(loop_scope="session")

_NOTES: Final[dict[str, Any]] = {
    "id": "notes",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "shop"}}},
    "steps": [
        {"id": "letter", "use": "map", "with": {"body": {"to": "$.body.name"}}},
        {"id": "post", "use": "log", "with": {"message": "post {{ steps.letter.body.to }}"}},
    ],
}


@pytest_asyncio.fixture(loop_scope="session")
async def page(console: Console, shop: ServerProcess) -> AsyncIterator[Page]:
    """The page on which the flow is edited."""
    async with one_more_flow(console, shop, _NOTES):
        opened = await console.open("/flows/notes/edit", "Edit notes")
        await expect(editor(opened)).to_be_visible()
        yield opened


async def document(page: Page) -> Any:
    """The flow as its JSON has it now."""
    return json.loads("\n".join(await page.locator(".cm-line").all_text_contents()))


async def ids(page: Page) -> list[Any]:
    """The ids of the steps; a block is a list of its own id and those in it."""

    def read(step: Any) -> Any:
        cases = [each["steps"] for each in step.get("switch", [])]
        inside = [step.get("try", []), step.get("steps", []), *cases, *step.get("parallel", {}).values()]
        found = [read(each) for steps in inside for each in steps]
        return [step["id"], *found] if found else step["id"]

    return [read(step) for step in (await document(page))["steps"]]


def form(page: Page) -> Locator:
    return page.get_by_role("region", name="Form")


async def test_the_form_edits_the_json_and_the_json_edits_the_form(page: Page) -> None:
    await box(page, "post").click()
    await page.get_by_role("tab", name="Form").click()
    message = form(page).get_by_role("textbox", name="Message (required)")
    await expect(message).to_have_value("post {{ steps.letter.body.to }}")
    await message.press_sequentially(" now")
    assert (await document(page))["steps"][1]["with"]["message"] == "post {{ steps.letter.body.to }} now"
    # What was typed at once is undone at once, from within the form.
    await message.press("Control+z")
    await expect(message).to_have_value("post {{ steps.letter.body.to }}")
    # Typing in the JSON changes the form.
    await put_cursor_behind(page, '"message": "')
    await page.keyboard.type("please ")
    await expect(message).to_have_value("please post {{ steps.letter.body.to }}")
    # A value becomes an expression in another language, which the flow then lists.
    await form(page).get_by_role("button", name="Kind of Message").click()
    await page.get_by_role("menuitem", name="Expression in JSONata").click()
    await expect(form(page).get_by_role("textbox", name="Message (required)")).to_have_value("body")
    assert (await document(page))["mappers"] == ["jsonata"]
    await page.keyboard.press("Control+z")
    await expect(message).to_have_value("please post {{ steps.letter.body.to }}")
    await form(page).get_by_role("button", name="Show", exact=False).last.click()
    await form(page).get_by_role("combobox", name="Delivery").select_option("at_most_once")
    assert (await document(page))["steps"][1]["delivery"] == "at_most_once"
    # The id is changed where it is read, too.
    await form(page).get_by_role("button", name="Flow", exact=True).click()
    # A secret is offered by its name.
    await form(page).get_by_role("combobox", name="Credential (required)").focus()
    await expect(form(page).locator("datalist option[value=shop]")).to_have_count(1)
    await form(page).get_by_role("button", name="letter", exact=True).click()
    name = form(page).get_by_role("textbox", name="Id", exact=True)
    await name.fill("draft")
    await name.press("Enter")
    await expect(line(page, "steps.draft")).to_be_visible()
    await expect(name).to_be_focused()
    add = form(page).get_by_role("button", name="Add to Body")
    # Twice, the second time when the first has changed the page but the browser hasn't drawn it yet.
    await add.evaluate(
        """async (button) => {
          const changed = new Promise((done) =>
            new MutationObserver(done).observe(button.parentElement, {childList: true}));
          button.click();
          await changed;
          button.click();
        }"""
    )
    await expect(form(page).locator("input:focus")).to_have_value("name_2")
    await page.keyboard.type("from")
    await page.keyboard.press("Tab")
    await expect(line(page, '"from":')).to_be_visible()
    assert list((await document(page))["steps"][0]["with"]["body"]) == ["to", "name", "from"]


async def test_what_is_typed_into_a_field_and_is_not_in_the_json_yet_survives_a_browser_that_dies(page: Page) -> None:
    await put_cursor_behind(page, '"to": "')
    # A text with a carriage return is shown as JSON.
    await page.keyboard.type("\\r")
    await page.get_by_role("tab", name="Form").click()
    field = form(page).get_by_role("textbox", name="to", exact=True)
    whole = r'"\r$.body.name"'
    await expect(field).to_have_value(whole)
    await field.press("Control+End")
    await page.keyboard.press("Backspace")
    await expect(form(page).get_by_role("alert")).to_be_visible()
    # It is undone where it was typed, since the document doesn't have it.
    await field.press("Control+z")
    await expect(field).to_have_value(whole)
    await field.press("Control+End")
    await page.keyboard.press("Backspace")
    await page.get_by_role("tab", name="Picture").click()
    await page.get_by_role("tab", name="Form").click()
    await expect(field).to_have_value(whole[:-1])
    await form(page).get_by_role("button", name="Flow", exact=True).click()
    await expect(page.get_by_text("Text in the form isn't in the JSON yet")).to_be_visible()
    again = await page.context.new_page()
    await page.close(run_before_unload=False)
    await again.goto("/flows/notes/edit")
    await expect(form(again).get_by_role("textbox", name="to", exact=True)).to_have_value(whole[:-1])
    await again.get_by_role("button", name="Discard draft").click()
    await expect(again.get_by_text("No changes")).to_be_visible()
    await form(again).get_by_role("button", name="letter", exact=True).click()
    await expect(form(again).get_by_role("textbox", name="to", exact=True)).to_have_value("$.body.name")


@pytest.mark.long
async def test_an_id_that_is_being_typed_survives_a_browser_that_dies(page: Page) -> None:
    await box(page, "post").click()
    await page.get_by_role("tab", name="Form").click()
    await form(page).get_by_role("textbox", name="Id", exact=True).press("End")
    await page.keyboard.type("ed")
    await expect(page.get_by_text("Text in the form isn't in the JSON yet")).to_be_visible()
    again = await page.context.new_page()
    await page.close(run_before_unload=False)
    await again.goto("/flows/notes/edit")
    name = form(again).get_by_role("textbox", name="Id", exact=True)
    await expect(name).to_have_value("posted")
    await name.press("Enter")
    await expect(line(again, '"id": "posted"')).to_be_visible()


@pytest.mark.long
async def test_the_form_waits_while_a_string_of_the_json_is_unfinished(page: Page) -> None:
    await box(page, "post").click()
    await page.get_by_role("tab", name="Form").click()
    message = form(page).get_by_role("textbox", name="Message (required)")
    await put_cursor_behind(page, '"message": "')
    for unfinished in ["\\", "d"]:
        await page.keyboard.type(unfinished)
        await expect(form(page)).to_contain_text("once the text is valid JSON")
        await expect(message).to_be_disabled()
    await page.keyboard.press("Backspace")
    await page.keyboard.press("Backspace")
    await expect(message).to_have_value("post {{ steps.letter.body.to }}")


async def test_steps_are_changed_by_the_keyboard_alone(page: Page) -> None:
    await put_cursor_behind(page, '"id": "letter"')
    # From the JSON, the menu leads to the rest.
    await page.keyboard.press("Alt+Enter")
    await expect(page.get_by_role("menu", name="The step letter").locator(":focus")).to_be_visible()
    await page.keyboard.press("a")
    search = page.get_by_role("combobox", name="Search actions and blocks")
    await expect(search).to_be_focused()
    await page.keyboard.type("http request")
    await page.keyboard.press("Enter")
    assert await ids(page) == ["letter", "http_request", "post"]
    await box(page, "http_request").focus()
    for keys, expected in [
        ("Alt+ArrowDown", ["letter", "post", "http_request"]),
        ("Alt+ArrowUp", ["letter", "http_request", "post"]),
        ("t", ["letter", ["attempt", "http_request"], "post"]),
        ("Alt+ArrowUp", [["attempt", "http_request"], "letter", "post"]),
        ("Control+z", ["letter", ["attempt", "http_request"], "post"]),
        ("ArrowDown", ["letter", ["attempt", "http_request"], "post"]),
        ("d", ["letter", ["attempt", "http_request", "http_request_2"], "post"]),
        ("Alt+ArrowLeft", ["letter", ["attempt", "http_request"], "http_request_2", "post"]),
        ("c", ["letter", ["attempt", "http_request"], ["choice", "http_request_2"], "post"]),
        ("Delete", ["letter", ["attempt", "http_request"], "post"]),
        ("Control+z", ["letter", ["attempt", "http_request"], ["choice", "http_request_2"], "post"]),
        ("Control+y", ["letter", ["attempt", "http_request"], "post"]),
        ("f", ["letter", ["attempt", "http_request"], ["each", "post"]]),
        ("p", ["letter", ["attempt", "http_request"], ["branches", ["each", "post"]]]),
    ]:
        await page.keyboard.press(keys)
        assert await ids(page) == expected, keys
        await expect(page.locator("[data-pointer]:focus")).to_be_visible()
    await page.keyboard.press("Home")
    await page.keyboard.press("Delete")
    await expect(page.get_by_role("status").last).to_contain_text("letter is deleted, but these still read it: post")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Alt+↑")
    await page.keyboard.press("Escape")
    await page.keyboard.press("e")
    await expect(form(page).locator("input:focus")).to_be_visible()


async def drag_above(page: Page, step: str, other: str) -> None:
    """Drag a step to the place above another one. On the way, the place where it would land is shown."""
    await box(page, step).hover()
    await page.mouse.down()
    place = await box(page, other).bounding_box()
    assert place is not None
    await page.mouse.move(place["x"] + place["width"] / 2, place["y"] - 5, steps=5)
    await expect(page.locator(".drop-mark")).to_be_visible()
    await page.mouse.up()
    await expect(page.locator(".drop-mark")).to_have_count(0)


async def test_steps_are_changed_by_the_mouse_alone_and_everything_is_accessible(console: Console, page: Page) -> None:
    await box(page, "letter").click(button="right")
    await page.get_by_role("menuitem", name="Wrap in a condition").click()
    assert await ids(page) == [["choice", "letter"], "post"]
    await box(page, "post").click()
    await page.get_by_role("button", name="Step", exact=True).click()
    menu = page.get_by_role("menu", name="The step post")
    await expect(menu.get_by_role("menuitem", name="Move down")).to_be_disabled()
    assert await violations(page) == []
    await menu.get_by_role("menuitem", name="Move into").click()
    assert await ids(page) == [["choice", "letter", "post"]]
    await page.get_by_role("button", name="Undo").click()
    await drag_above(page, "post", "letter")
    assert await ids(page) == [["choice", "post", "letter"]]
    await page.get_by_role("button", name="Undo").click()
    await box(page, "choice").click()
    await page.get_by_role("button", name="Add a step", exact=True).click()
    dialog = page.get_by_role("dialog", name="Add a step")
    await dialog.get_by_label("Where").select_option("Inside, in a new case")
    # No caller waits for a reply, and a stop at the end of a case is fine.
    await expect(dialog.get_by_role("option", name="reply ")).to_have_count(0)
    assert await violations(page) == []
    await dialog.get_by_label("Search actions and blocks").fill("stop")
    await dialog.get_by_role("listbox").get_by_role("option").first.click()
    assert await ids(page) == [["choice", "letter", "stop"], "post"]
    await page.get_by_role("tab", name="Form").click()
    await form(page).get_by_role("button", name="choice", exact=True).click()
    await expect(form(page).get_by_role("button", name="letter", exact=True)).to_be_visible()
    for more in await form(page).get_by_role("button", name="Show", exact=False).all():
        await more.click()
    await expect(form(page).get_by_role("combobox", name="Match")).to_be_visible()
    await assert_usable(console)
    await page.get_by_role("button", name="Picture", exact=True).click()
    await expect(box(page, "post")).to_be_visible()
    await page.get_by_role("button", name="Form", exact=True).click()
    await expect(form(page)).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await violations(page) == []
