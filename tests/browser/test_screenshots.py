"""The screenshots of README and docs, in `docs/images/console/`: each has the outline of its page beside it.

`HOOKLINE_TEST_WRITE_SCREENSHOTS=1 pytest tests/browser/test_screenshots.py` writes both anew.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console
from tests.browser.outline import outline

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images" / "console"
WRITES: Final = os.environ.get("HOOKLINE_TEST_WRITE_SCREENSHOTS") == "1"
LARGEST: Final = 150_000
"""Bytes: a screenshot stays in the history of the repository for ever."""
_PATIENCE: Final = 50_000
"""Milliseconds."""


class Screenshot(NamedTuple):
    """A page that is shown in the docs."""

    path: str
    """`{order}` stands for an execution of the flow `orders`."""
    shows: str
    """The role of what comes last on the page."""
    theme: str = "light"


SCREENSHOTS: Final = {
    "overview": Screenshot("/", "slider"),
    "overview-dark": Screenshot("/", "slider", "dark"),
    "flow": Screenshot("/flows/orders?execution={order}", "treeitem"),
    "execution": Screenshot("/executions/{order}?step=order", "treeitem"),
    "dead-letters": Screenshot("/dead-letters", "table"),
}


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, shop: ServerProcess) -> AsyncIterator[Page]:
    """A page of a signed-in console, on which the time stands still."""
    expect.set_options(timeout=_PATIENCE)
    context = await browser.new_context(
        base_url=shop.url,
        viewport={"width": 1280, "height": 800},
        locale="en-GB",
        timezone_id="Europe/London",
        reduced_motion="reduce",
    )
    context.set_default_timeout(_PATIENCE)
    page = await context.new_page()
    # The server has real times: with the present, they are a few moments ago.
    await page.clock.set_fixed_time(datetime.now(UTC))
    await Console(page).sign_in()
    yield page
    await context.close()


def _write(picture: Path, screenshot: bytes) -> None:
    """Write a screenshot with a palette, which takes a third of the bytes."""
    with Image.open(BytesIO(screenshot)) as image:
        image.convert("RGB").quantize(dither=Image.Dither.NONE).save(picture, optimize=True)


@pytest.mark.parametrize("name", SCREENSHOTS)
async def test_a_page_has_the_structure_of_its_screenshot(page: Page, shop: ServerProcess, name: str) -> None:
    shown = SCREENSHOTS[name]
    await page.get_by_label("Theme").select_option(shown.theme)
    newest = shop.executions(flow_id="orders", state="succeeded")[0]
    await page.goto(shown.path.format(order=newest["id"]))
    await expect(page.get_by_role(shown.shows).first).to_be_visible()  # type: ignore[arg-type]
    await Console(page).settle()
    seen = outline(await page.locator("body").aria_snapshot())
    kept, picture = FOLDER / f"{name}.txt", FOLDER / f"{name}.png"
    if WRITES:
        _write(picture, await page.screenshot())
        kept.write_text(seen, encoding="utf-8")
    assert seen == kept.read_text(encoding="utf-8"), (
        f"the page has changed since {picture} was made: write the screenshots anew "
        "(HOOKLINE_TEST_WRITE_SCREENSHOTS=1), look at them, and commit them"
    )
    assert picture.stat().st_size < LARGEST
