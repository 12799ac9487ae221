"""Accessibility of a page: what axe-core finds, in both themes, and whether a narrow screen has room for it."""

from pathlib import Path

import axe_playwright_python
from playwright.async_api import Page

from tests.browser.console import Console

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
STANDARDS = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLORS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""The rules whose result depends on the theme."""


async def violations(page: Page, rules: dict[str, object] = STANDARDS) -> list[str]:
    """The violations that axe finds on a page by these rules, with the element of each."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found = await page.evaluate(
        """(rules) => axe.run({runOnly: rules, resultTypes: ["violations"]}).then(({violations}) =>
             violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`)))""",
        rules,
    )
    return list(found)


async def assert_usable(console: Console) -> None:
    """The page that is open is accessible in both themes, and fits a narrow screen."""
    await console.use_theme("light")
    assert await violations(console.page) == []
    await console.use_theme("dark")
    assert await violations(console.page, COLORS) == []
    await console.page.set_viewport_size({"width": 360, "height": 740})
    assert await console.page.evaluate("document.documentElement.scrollWidth") == 360
    assert await console.page.evaluate("document.querySelector('main').scrollWidth") == 360
