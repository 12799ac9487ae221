"""The inspector, which shows the requests to a flow's URL as they come, and the ways in which a flow begins."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.accessibility import assert_usable, violations
from tests.browser.console import Console
from tests.browser.flow_editor import line

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.console_rule("K12")]

_ORDER: Final[dict[str, Any]] = {"number": 4711, "customer": {"name": "Ada"}, "ship to": "Kiel", "total": 1.10}
_DOORS: Final[dict[str, Any]] = {
    "id": "doors",
    "title": "Open doors",
    "trigger": {"use": "webhook", "with": {"verify": "none", "media_types": ["application/json"]}},
    "steps": [{"id": "door", "use": "map", "with": {"body": {"door": "$.body.door"}}}],
}


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def server(shop: ServerProcess) -> AsyncIterator[ServerProcess]:
    """The server of the shop, without captures and flows of this file once a test has ended.

    It is made before the console, and so ends after it: an open page would still ask for what is deleted.
    """
    yield shop
    for capture in shop.api("GET", "/api/v1/captures")["items"]:
        shop.api("DELETE", f"/api/v1/captures/{capture['flow_id']}")
    for flow in shop.api("GET", "/api/v1/flows")["items"]:
        if flow["id"] in ("doors", "visits", "letters"):
            shop.api("DELETE", f"/api/v1/flows/{flow['id']}")


@pytest_asyncio.fixture(loop_scope="session")
async def page(console: Console, server: ServerProcess) -> Page:
    """The page of the requests to a flow that doesn't exist yet, while they are captured."""
    opened = await console.open("/inspector", "Inspector")
    await opened.get_by_role("combobox", name="Flow").fill("visits")
    await opened.keyboard.press("Enter")
    await expect(opened.get_by_text("Waiting for a request…")).to_be_visible()
    return opened


def requests(page: Page) -> Locator:
    return page.get_by_role("region", name="Captured requests").get_by_role("listitem")


def details(page: Page) -> Locator:
    return page.get_by_role("region", name="Request", exact=True)


async def test_the_requests_to_a_url_appear_as_they_come(console: Console, page: Page, server: ServerProcess) -> None:
    await expect(page.get_by_text(f"{server.url}/hook/visits", exact=True)).to_be_visible()
    await expect(page.get_by_text("Closes in 9:")).to_be_visible()
    status, answer, _ = server.request(
        "POST",
        "/hook/visits?from=shop",
        b'{"number": 1.10, "password": "hidden"}',
        {"Content-Type": "application/json"},
    )
    assert (status, answer["status"]) == (202, "captured")
    await expect(details(page).get_by_role("treeitem")).to_contain_text(["{ 2 keys }", "number:1.10", '"***"'])
    await details(page).get_by_role("tab", name="Headers").click()
    await expect(details(page).get_by_role("row", name="content-type")).to_contain_text("application/json")
    await details(page).get_by_role("tab", name="Query").click()
    await expect(details(page).get_by_role("row", name="from")).to_contain_text("shop")
    server.request("PUT", "/hook/visits", b"plain", {"Content-Type": "text/plain"})
    await expect(requests(page)).to_have_count(2)
    await expect(page.get_by_role("status").filter(has_text="2 requests")).to_be_visible()
    # The request stays that somebody looks into.
    await expect(details(page).get_by_role("row", name="from")).to_contain_text("shop")
    await requests(page).first.get_by_role("button").press("Enter")
    await expect(details(page).get_by_text("plain", exact=True)).to_be_visible()
    await assert_usable(console)
    await page.route("**/visits/requests?*", lambda route: route.fulfill(json={"items": [], "next": None}))
    server.request("PUT", "/hook/visits", b"newer", {"Content-Type": "text/plain"})
    await expect(details(page).get_by_role("status")).to_have_text("This request is no longer kept.")
    await expect(details(page).get_by_text("plain", exact=True)).to_be_visible()


@pytest.mark.long
async def test_a_capture_is_closed_opened_again_and_deleted(page: Page, server: ServerProcess) -> None:
    await page.get_by_role("button", name="Close").press("Enter")
    await expect(page.get_by_text("No request came")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete")).to_be_focused()
    assert not server.api("GET", "/api/v1/captures/visits")["open"]
    await page.get_by_role("button", name="Capture requests").click()
    await expect(page.get_by_text("Closes in 9:")).to_be_visible()
    await page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this capture?")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No requests are captured")).to_be_visible()
    assert server.api("GET", "/api/v1/captures")["items"] == []


async def test_what_a_flow_rejects_has_the_reason_and_what_it_accepts_is_resent(
    console: Console, server: ServerProcess
) -> None:
    server.api("PUT", "/api/v1/flows/doors", _DOORS)
    page = await console.open("/flows/doors?tab=request", "doors")
    await page.get_by_role("link", name="Watch the requests").click()
    await page.get_by_role("button", name="Capture requests").click()
    await expect(page.get_by_text("Waiting for a request…")).to_be_visible()
    assert server.request("POST", "/hook/doors", b"<door/>", {"Content-Type": "text/xml"})[0] == 415
    await expect(details(page).get_by_text("Rejected with 415")).to_be_visible()
    await expect(details(page)).to_contain_text("text/xml")
    assert await violations(page) == []
    assert server.post("doors", {"door": "north"})[0] == 202
    await requests(page).filter(has_text="Accepted").get_by_role("button").click()
    await expect(details(page).get_by_role("button", name="Make a flow from it")).to_have_count(0)
    await details(page).get_by_role("button", name="Resend").click()
    await expect(page.get_by_role("heading", level=1, name="Execution")).to_be_visible()
    assert len(server.executions(flow_id="doors")) == 2


async def test_a_flow_is_made_from_a_request_and_accepts_the_same_request(
    console: Console, server: ServerProcess
) -> None:
    console.expect_status(404, "/flows/visits")
    page = await console.open("/flows/new", "New flow")
    await page.get_by_label("Name").fill("visits")
    await page.get_by_role("radio", name="An incoming request").check()
    await page.get_by_role("button", name="Wait for a request").click()
    await expect(page.get_by_text("Waiting for a request…")).to_be_visible()
    server.post("visits", _ORDER)
    await details(page).get_by_role("button", name="Make a flow from it").click()
    await expect(page.get_by_role("heading", name="Edit visits")).to_be_visible()
    await expect(line(page, "ship to")).to_contain_text('"ship to": "$.body[\'ship to\']"')
    # The lab is open, with the request from which the flow was made.
    lab = page.get_by_role("region", name="Lab")
    await expect(lab.get_by_role("listitem").filter(has_text="with.body.number")).to_contain_text("4711")
    await page.get_by_role("tab", name="Problems").click()
    found = page.get_by_role("region", name="Problems").get_by_role("listitem")
    await expect(found).to_contain_text(["requests are not verified"])
    await page.get_by_role("button", name="Deploy…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Deploy", exact=True).click()
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()
    status, answer = server.post("visits", _ORDER)
    assert status == 202
    assert server.ended(answer["execution_id"])["state"] == "succeeded"
    values = server.api("GET", f"/api/v1/executions/{answer['execution_id']}/values?step=fields")
    assert values["value"]["output"]["body"] == _ORDER


async def test_a_flow_begins_with_an_example_or_a_trigger(console: Console, server: ServerProcess) -> None:
    console.expect_status(404, "/flows/letters")
    page = await console.open("/flows/new", "New flow")
    await page.get_by_label("Name").fill("letters")
    await page.get_by_role("radio", name="An example").check()
    await page.get_by_role("radio", name="Answer the sender").check()
    await assert_usable(console)
    await page.get_by_role("button", name="Create").click()
    await expect(line(page, '"respond": "reply"')).to_be_visible()
    # Neither a flow nor a draft of the same name is replaced unseen.
    await page.goto("/flows/new")
    await page.get_by_label("Name").fill("letters")
    await page.get_by_role("radio", name="A trigger").check()
    await page.get_by_role("group", name="Trigger").get_by_role("radio", name="schedule").check()
    await page.get_by_role("button", name="Create").click()
    dialog = page.get_by_role("dialog", name="There is a draft of letters already")
    assert await violations(page) == []
    await dialog.get_by_role("button", name="Replace the draft").click()
    await expect(line(page, '"use": "schedule"')).to_be_visible()
    await page.goto("/flows/new")
    await page.get_by_label("Name").fill("orders")
    await page.get_by_role("radio", name="An example").check()
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("dialog", name="There is a flow orders already")).to_be_visible()
