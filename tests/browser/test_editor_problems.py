"""The editor of flows shows each problem where it is, with what to do about it, before anything is saved."""

import json
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from hookline.flows.check.check_flow import check_flow
from hookline.flows.types.sample_shapes import NO_SAMPLES
from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.browser.console import Console, open_console
from tests.browser.flow_editor import editor, problems
from tests.unit.flows.check.problem_examples import SEEDED, SMALL, ProblemExample
from tests.unit.flows.check.test_seeded_problems import FLOWS, registry, samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

_FEW: Final = 10
"""One problem in so many is made in each run of the tests; all of them in the long one."""

_PASTE: Final = """(element, text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  element.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""


async def write(page: Page, text: str) -> None:
    """Put another text in the place of the whole one."""
    await editor(page).focus()
    await page.keyboard.press("Control+a")
    await editor(page).evaluate(_PASTE, text)


async def make(page: Page, example: ProblemExample) -> None:
    """Make a problem in the editor, and see it in its line, with its remedy."""
    text = json.dumps(example.flow, indent=2)
    known = samples(example.flow["id"]) if example.ships else NO_SAMPLES
    found = check_flow(text.encode(), registry(), samples=known).problems
    (wanted,) = [one for one in found if (one.code, one.pointer) == (example.code, example.pointer)]
    await write(page, text)
    shown = problems(page).get_by_role("listitem").filter(has_text=wanted.message).first
    await expect(shown).to_contain_text(wanted.remedy)
    await expect(shown).to_contain_text(f"line {wanted.line}")
    await shown.get_by_role("button").first.click()
    await expect(page.locator(".cm-activeLine .cm-lintRange").first).to_be_visible()


@pytest_asyncio.fixture(loop_scope="session")
async def page(console: Console) -> Page:
    console.expect_status(404, "/flows/problems")
    opened = await console.open("/flows/problems/edit", "Edit problems")
    await expect(editor(opened)).to_be_visible()
    return opened


async def test_a_problem_is_shown_in_its_place_with_its_remedy(page: Page) -> None:
    for example in SMALL[::_FEW]:
        await make(page, example)


@pytest_asyncio.fixture(loop_scope="session")
async def shipped(browser: Browser, tmp_path: Path) -> AsyncIterator[Console]:
    """The console of a server with the flows that ship, and their cases."""
    shutil.copytree(FLOWS, tmp_path / "flows")
    server = ServerProcess(tmp_path)
    try:
        server.start()
        async with open_console(browser, server) as console:
            await console.sign_in(TOKEN)
            yield console
    finally:
        server.stop()


def _by_flow(examples: Iterable[ProblemExample]) -> dict[str, list[ProblemExample]]:
    found: dict[str, list[ProblemExample]] = {}
    for example in examples:
        found.setdefault(example.flow["id"], []).append(example)
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_all_problems_are_shown_in_their_places_with_their_remedies(shipped: Console) -> None:
    for flow, examples in _by_flow(SEEDED).items():
        page = await shipped.open(f"/flows/{flow}/edit", f"Edit {flow}")
        for example in examples:
            await make(page, example)
    shipped.expect_status(404, "/flows/problems")
    page = await shipped.open("/flows/problems/edit", "Edit problems")
    for example in SMALL:
        await make(page, example)
