"""The flows of a server, and the page of a flow: its picture, its JSON, its executions, requests and versions."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console
from tests.browser.flow_editor import box, one_more_flow

pytestmark = pytest.mark.asyncio(loop_scope="session")

_PARCELS: Final[dict[str, Any]] = {
    "id": "parcels",
    "title": "Send parcels",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "shop"}}},
    "steps": [
        {"id": "parcel", "use": "map", "with": {"body": "$.body"}},
        {
            "id": "way",
            "switch": [
                {
                    "when": "{{ body.weight > 20 }}",
                    "steps": [
                        {"id": "freight", "use": "log", "with": {"message": "freight"}},
                        {"id": "too_heavy", "use": "fail", "when": "{{ body.weight > 90 }}", "with": {"message": "no"}},
                    ],
                },
                {"otherwise": True, "steps": [{"id": "post", "use": "log", "with": {"message": "post"}}]},
            ],
        },
        {"id": "told", "use": "map", "with": {"body": {"sent": True}}},
    ],
}


def send(server: ServerProcess, weight: int) -> str:
    status, answer = server.post("parcels", {"weight": weight}, {"X-API-Key": "s3cret-of-the-shop"})
    assert status == 202, answer
    return server.ended(answer["execution_id"])["id"]


@pytest_asyncio.fixture(loop_scope="session")
async def parcels(console: Console, shop: ServerProcess) -> AsyncIterator[ServerProcess]:
    """The server of the shop, with one more flow while the test runs."""
    async with one_more_flow(console, shop, _PARCELS):
        yield shop


async def test_the_list_finds_a_flow_and_changes_its_state(console: Console, parcels: ServerProcess) -> None:
    page = await console.open("/flows", "Flows")
    await page.get_by_role("searchbox", name="Filter by name").fill("PARCELS")
    row = page.get_by_role("row", name="parcels")
    await expect(row).to_contain_text("Active")
    await expect(page.get_by_role("row")).to_have_count(2)
    await row.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Pause").click()
    await expect(row).to_contain_text("Paused")
    assert parcels.api("GET", "/api/v1/flows/parcels")["state"] == "paused"
    await row.get_by_role("link", name="parcels").click()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()


async def test_the_keys_follow_the_flow_and_fold_its_blocks(console: Console, parcels: ServerProcess) -> None:
    page = await console.open("/flows/parcels", "parcels")
    tree = page.get_by_role("tree")
    await expect(tree).to_have_accessible_name("Steps of parcels, started by webhook")
    await expect(tree.get_by_role("treeitem")).to_have_count(6)
    await box(page, "parcel").click()
    for key, step in (
        ("ArrowDown", "way"),
        ("ArrowDown", "freight"),
        ("ArrowRight", "post"),
        ("ArrowDown", "told"),
        ("ArrowUp", "too_heavy"),
        ("ArrowLeft", "way"),
    ):
        await page.keyboard.press(key)
        await expect(box(page, step)).to_be_focused()
    await expect(box(page, "way")).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Enter")
    await expect(tree.get_by_role("treeitem")).to_have_count(3)
    await expect(box(page, "way")).to_have_attribute("aria-expanded", "false")
    await page.keyboard.press("Enter")
    await expect(tree.get_by_role("treeitem")).to_have_count(6)


async def test_the_picture_and_the_json_lead_to_one_another(console: Console, parcels: ServerProcess) -> None:
    page = await console.open("/flows/parcels?tab=json", "parcels")
    source = page.get_by_role("region", name="The flow's document")
    await box(page, "post").click()
    await expect(source.locator(".source-selected", has_text='"id": "post"')).to_be_visible()
    await source.get_by_role("button", name="Show freight in the picture").click()
    await expect(box(page, "freight")).to_have_attribute("aria-selected", "true")
    # The place is in the URL.
    await page.reload()
    await expect(box(page, "freight")).to_have_attribute("aria-selected", "true")


async def test_an_execution_shows_its_path_and_the_counts_follow_it(console: Console, parcels: ServerProcess) -> None:
    page = await console.open("/flows/parcels", "parcels")
    await expect(box(page, "post")).to_have_attribute("aria-label", "post; log")
    light, heavy = send(parcels, 1), send(parcels, 99)
    # Nothing is reloaded: the counts come by themselves.
    await expect(page.locator('[role=treeitem][aria-label="post; log; 1 succeeded"]')).to_be_attached(timeout=15_000)
    await expect(page.locator('[role=treeitem][aria-label^="too_heavy;"][aria-label$="1 failed"]')).to_be_attached()
    await page.get_by_role("button", name=f"Show the path of {light[-8:]}").click()
    await expect(box(page, "post")).to_have_class("box box-action box-succeeded")
    await expect(box(page, "freight")).to_have_class("box box-action box-none")
    await page.get_by_role("button", name=f"Show the path of {heavy[-8:]}").click()
    await expect(box(page, "too_heavy")).to_have_class("box box-action box-failed")
    await expect(box(page, "told")).to_have_class("box box-action box-none")
    await page.get_by_role("button", name="Hide the path").click()
    await expect(box(page, "told")).to_have_class("box box-action")


async def test_a_signed_sample_is_sent_and_rejected_requests_are_listed(
    console: Console, parcels: ServerProcess
) -> None:
    page = await console.open("/flows/parcels?tab=request", "parcels")
    panel = page.get_by_role("tabpanel")
    await panel.get_by_label("Body").fill('{"weight": 2}')
    await expect(panel.locator("pre").last).to_contain_text("--data-binary '{\"weight\": 2}'")
    await panel.get_by_role("button", name="Send", exact=True).click()
    await expect(panel.get_by_role("status")).to_contain_text("202")
    assert "s3cret-of-the-shop" not in await page.content()
    await expect(panel.get_by_role("link", name="Open the execution")).to_be_visible()
    # No answer is shown below another message, also if it comes late.
    await panel.get_by_label("Body").fill('{"weight": 3}')
    await expect(panel.get_by_role("status")).to_have_count(0)
    changed = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await changed.wait()
        await route.continue_()

    await page.route("**/parcels/send", answer_late)
    send_button = panel.get_by_role("button", name="Send", exact=True)
    await send_button.click()
    await expect(send_button).to_have_attribute("aria-busy", "true")
    await panel.get_by_label("Body").fill('{"weight": 4}')
    changed.set()
    await expect(send_button).to_have_attribute("aria-busy", "false")
    await expect(panel.get_by_role("status")).to_have_count(0)
    assert parcels.post("parcels", {"weight": 1})[0] == 401
    await page.get_by_role("tab", name="Rejected").click()
    await expect(panel.get_by_role("list")).to_contain_text("401")


async def test_versions_are_compared_and_rolled_back(console: Console, parcels: ServerProcess) -> None:
    before = parcels.api("GET", "/api/v1/flows/parcels")["version"]
    changed = {**_PARCELS, "steps": [*_PARCELS["steps"], {"id": "bye", "use": "log", "with": {"message": "<b>bye"}}]}
    parcels.api("PUT", "/api/v1/flows/parcels", changed)
    page = await console.open("/flows/parcels?tab=versions", "parcels")
    await expect(box(page, "bye")).to_be_visible()
    row = page.get_by_role("listitem").filter(has_text=before[:8])
    await row.get_by_role("button", name="Compare").click()
    differences = row.get_by_role("list", name="Differences")
    await expect(differences).to_contain_text("steps.bye")
    await expect(differences).to_contain_text("<b>bye")
    await row.get_by_role("button", name="Show").click()
    await expect(box(page, "bye")).not_to_be_attached()
    await row.get_by_role("button", name="Roll back").click()
    await page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await expect(row.get_by_text("serves", exact=True)).to_be_visible()
    assert parcels.api("GET", "/api/v1/flows/parcels")["version"] == before


@pytest.mark.console_rule("K9")
async def test_the_list_shows_what_each_flow_did_in_the_last_24_hours(console: Console, shop: ServerProcess) -> None:
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url.partition("/api/v1/")[2].partition("?")[0]))
    page = await console.open("/flows", "Flows")
    orders = page.get_by_role("row").filter(has=page.get_by_role("link", name="orders", exact=False)).first
    await expect(
        orders.get_by_role("img", name=re.compile(r"^[\d,]+ messages, \d+ failed or rejected$"))
    ).to_be_visible()
    nightly = page.get_by_role("row").filter(has=page.get_by_role("link", name="nightly", exact=False))
    await expect(nightly.get_by_role("img")).to_have_count(0)
    # The page before this one may have asked for the numbers of all flows together.
    assert [path for path in asked if "stats" in path and path != "stats"] == ["stats/flows"], (
        "one request for all flows"
    )


async def test_rejected_requests_of_all_flows_are_found_by_flow_and_reason(
    console: Console, shop: ServerProcess
) -> None:
    assert shop.post("no-such-flow", {})[0] == 404
    page = await console.open("/", "Overview")
    await page.get_by_role("link", name=re.compile("^Rejected requests to flow 'partners'")).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Rejected requests")
    rows = page.get_by_role("region", name="Rejected requests").get_by_role("listitem")
    await expect(rows).to_have_count(4)
    await expect(rows.first).to_contain_text("401")
    await expect(page.get_by_role("combobox", name="All flows")).to_have_value("partners")
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_role("combobox", name="All flows").select_option("-")
    await expect(rows.first).to_contain_text("/hook/no-such-flow")
    await page.get_by_role("button", name="Clear filters").click()
    await page.get_by_role("combobox", name="All reasons").select_option("request.not_verified")
    await expect(rows.filter(has_text="/hook/no-such-flow")).to_have_count(0)
    await rows.filter(has_text="partners").first.get_by_role("link", name="partners").click()
    await expect(page.get_by_role("tab", name="Rejected")).to_have_attribute("aria-selected", "true")
