"""Each page of the console: nothing is in the way of people who use a keyboard, a screen reader or a small screen."""

import pytest

from tests.acceptance.server_process import ServerProcess
from tests.browser.accessibility import assert_usable, violations
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = [
    ("/", "Overview"),
    ("/flows/orders/edit", "Edit orders"),
    ("/executions", "Executions"),
    ("/credentials", "Credentials"),
    ("/components", "Components"),
]
"""One for each way in which a page is made: figures, an editor, a list, a form, and what can be searched."""
OTHER_PAGES = [
    ("/flows", "Flows"),
    ("/flows/new", "New flow"),
    ("/dead-letters", "Dead letters"),
    ("/rejected", "Rejected requests"),
    ("/inspector", "Inspector"),
    ("/inspector/orders", "orders"),
    ("/credentials/shop", "shop"),
    ("/components/action/http.request", "http.request"),
    ("/plugins", "Plugins"),
    ("/deployments", "Deployments"),
    ("/audit", "Audit"),
    ("/tokens", "Tokens"),
    ("/nodes", "Nodes"),
    ("/storage", "Storage"),
    ("/settings", "Settings"),
]
PARTS = ["orders?tab=json", "partners?tab=request", "orders?tab=versions", "partners?tab=rejected", "nightly"]


@pytest.mark.console_rule("K5")
@pytest.mark.parametrize(
    ("path", "title"), [*PAGES, *(pytest.param(*page, marks=pytest.mark.long) for page in OTHER_PAGES)]
)
async def test_a_page_is_accessible_in_both_themes_and_fits_a_narrow_screen(
    console: Console, path: str, title: str
) -> None:
    page = await console.open(path, title)
    assert await page.title() == f"{title} · Hookline"
    await assert_usable(console)


@pytest.mark.parametrize("place", ["orders", *(pytest.param(part, marks=pytest.mark.long) for part in PARTS)])
async def test_each_part_of_the_page_of_a_flow_is_accessible_and_fits(console: Console, place: str) -> None:
    page = await console.open(f"/flows/{place}", place.partition("?")[0])
    await page.get_by_role("tree").first.wait_for()
    await assert_usable(console)


@pytest.mark.parametrize(
    ("flow_id", "state", "query"),
    [
        pytest.param("orders", "succeeded", "?step=order", marks=pytest.mark.long),
        pytest.param("orders", "succeeded", "?step=order&tab=changes", marks=pytest.mark.long),
        ("payments", "failed", "?step=known"),
        pytest.param("returns", "waiting", "", marks=pytest.mark.long),
    ],
)
async def test_the_page_of_an_execution_is_accessible_and_fits(
    console: Console, shop: ServerProcess, flow_id: str, state: str, query: str
) -> None:
    found = shop.executions()
    execution_id = next(one["id"] for one in found if (one["flow_id"], one["state"]) == (flow_id, state))
    page = await console.open(f"/executions/{execution_id}{query}", f"Execution {execution_id[-8:]}")
    await page.get_by_role("treeitem").first.wait_for()
    await assert_usable(console)


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
