"""The editor of a flow, and a flow to edit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Locator, Page

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console

PARCELS: Final[dict[str, Any]] = {
    "id": "parcels",
    "title": "Send parcels",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "shop"}}},
    "steps": [
        {"id": "parcel", "use": "map", "with": {"body": {"weight": "$.body.weight"}}},
        {"id": "post", "use": "log", "with": {"message": "post {{ steps.parcel.body.weight }}"}},
    ],
}


@asynccontextmanager
async def one_more_flow(console: Console, server: ServerProcess, document: Any) -> AsyncIterator[None]:
    """Serve a flow meanwhile, which has no draft at first."""
    drop_drafts(server)
    server.api("PUT", f"/api/v1/flows/{document['id']}", document)
    yield
    # A page that stays open may save a draft.
    if not console.page.is_closed():
        await console.page.goto("about:blank")
    server.api("DELETE", f"/api/v1/flows/{document['id']}")
    drop_drafts(server)


def drop_drafts(server: ServerProcess) -> None:
    for one in server.api("GET", "/api/v1/drafts")["items"]:
        server.api("DELETE", f"/api/v1/drafts/{one['flow_id']}")


def editor(page: Page) -> Locator:
    return page.get_by_role("textbox", name="The flow's JSON")


def line(page: Page, text: str) -> Locator:
    return page.locator(".cm-line", has_text=text)


def box(page: Page, step: str) -> Locator:
    return page.locator(f'[role=treeitem][aria-label^="{step};"]')


def problems(page: Page) -> Locator:
    return page.get_by_role("region", name="Problems")


async def put_cursor_behind(page: Page, text: str) -> None:
    """Put the cursor behind a text that occurs once, by the keyboard alone."""
    await editor(page).focus()
    await page.keyboard.press("Control+Home")
    await page.keyboard.press("Control+f")
    await page.keyboard.type(text)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await page.keyboard.press("ArrowRight")
