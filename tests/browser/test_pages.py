"""Each page of the console: nothing is in the way of people who use a keyboard, a screen reader or a small screen."""

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import Page

from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

PAGES = [
    ("/", "Overview"),
    ("/flows", "Flows"),
    ("/executions", "Executions"),
    ("/dead-letters", "Dead letters"),
    ("/credentials", "Credentials"),
    ("/credentials/shop", "shop"),
    ("/components", "Components"),
    ("/components/action/http.request", "http.request"),
    ("/plugins", "Plugins"),
    ("/deployments", "Deployments"),
    ("/audit", "Audit"),
    ("/tokens", "Tokens"),
    ("/nodes", "Nodes"),
    ("/storage", "Storage"),
    ("/settings", "Settings"),
]


async def violations(page: Page) -> list[str]:
    """What axe finds on a page, with the element of each."""
    await page.evaluate(AXE)
    found = await page.evaluate(
        """(standards) => axe.run({runOnly: standards, resultTypes: ["violations"]}).then(({violations}) =>
             violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`)))""",
        STANDARDS,
    )
    return list(found)


@pytest.mark.console_rule("K5")
@pytest.mark.parametrize(("path", "title"), PAGES)
async def test_a_page_is_accessible_in_both_themes_and_fits_a_narrow_screen(
    console: Console, path: str, title: str
) -> None:
    page = await console.open(path, title)
    assert await page.title() == f"{title} · Hookline"
    for theme in ("light", "dark"):
        await console.use_theme(theme)
        assert await violations(page) == [], theme
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await page.evaluate("document.querySelector('main').scrollWidth") == 360


async def test_the_page_for_signing_in_is_accessible(visitor: Console) -> None:
    await visitor.page.goto("/executions")
    await visitor.page.get_by_role("heading", name="Sign in to Hookline").wait_for()
    assert await violations(visitor.page) == []


async def test_dialogs_and_the_palette_are_accessible(console: Console) -> None:
    page = await console.open("/credentials", "Credentials")
    await page.get_by_role("button", name="Create a credential").click()
    await page.get_by_role("combobox", name="Type", exact=True).select_option("amqp")
    await page.get_by_role("textbox", name="Host (optional)", exact=True).wait_for()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+k")
    await page.get_by_role("dialog").get_by_role("option").first.wait_for()
    assert await violations(page) == []


async def test_a_page_that_does_not_exist_says_so(console: Console) -> None:
    page = await console.open("/deployments", "Deployments")
    await page.evaluate("history.pushState(null, '', '/nothing'); dispatchEvent(new PopStateEvent('popstate'))")
    await page.get_by_text("Nothing is here").wait_for()
