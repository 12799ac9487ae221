"""A newcomer's path by mouse, from an empty folder to a flow that is tested and deployed, in the console alone."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.browser.accessibility import violations
from tests.browser.console import Console, open_console
from tests.services import need_console

pytestmark = pytest.mark.asyncio(loop_scope="session")

_MOST_CLICKS: Final = 25
_MOST_TYPED: Final = 3
_FIRST: Final = {"number": 4711, "customer": {"name": "Ada"}, "total": 99.5}
_LATER: Final = {"number": 4712, "client": {"name": "Grace"}, "total": 12.5}
"""The sender has given a field another name."""


class Mouse:
    """Counts what a person does: each click, and each value that is typed."""

    def __init__(self) -> None:
        self.clicks = 0
        self.typed = 0

    async def click(self, target: Locator) -> None:
        await target.click()
        self.clicks += 1

    async def type(self, target: Locator, value: str) -> None:
        """Click into a field, and type a value."""
        await self.click(target)
        await target.press_sequentially(value)
        self.typed += 1


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server in an empty folder."""
    need_console()
    server = ServerProcess(tmp_path_factory.mktemp("newcomer"))
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, server: ServerProcess) -> AsyncIterator[Console]:
    async with open_console(browser, server) as opened:
        yield opened


async def test_a_newcomer_makes_corrects_tests_and_deploys_a_flow(console: Console, server: ServerProcess) -> None:
    # The editor asks for a flow that doesn't exist yet.
    console.expect_status(404, "/flows/orders")
    page, mouse = console.page, Mouse()
    dialog = page.get_by_role("dialog")
    deploy = dialog.get_by_role("button", name="Deploy", exact=True)

    await page.goto("/")
    await mouse.type(page.get_by_label("Access token"), TOKEN)
    await mouse.click(page.get_by_role("button", name="Sign in"))
    await mouse.click(page.get_by_role("navigation").get_by_role("link", name="Flows", exact=True))

    # Wait for a request, and make a flow from it.
    await mouse.click(page.get_by_role("link", name="New flow").first)
    await expect(page.get_by_role("heading", level=1, name="New flow")).to_be_visible()
    await mouse.type(page.get_by_label("Name"), "orders")
    await mouse.click(page.get_by_role("radio", name="An incoming request"))
    await mouse.click(page.get_by_role("button", name="Wait for a request"))
    await expect(page.get_by_text("Waiting for a request…")).to_be_visible()
    server.post("orders", _FIRST)
    await mouse.click(page.get_by_role("button", name="Make a flow from it"))
    lab = page.get_by_role("region", name="Lab")
    await expect(lab.get_by_role("listitem").filter(has_text="with.body.customer")).to_contain_text('{"name": "Ada"}')
    await mouse.click(page.get_by_role("button", name="Deploy…"))
    await mouse.click(deploy)
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()

    # See it fail.
    status, answer = server.post("orders", _LATER)
    assert status == 202
    assert server.ended(answer["execution_id"])["state"] == "failed"
    await mouse.click(page.get_by_role("navigation").get_by_role("link", name="Executions"))
    await mouse.click(page.get_by_role("table").get_by_role("link").first)
    await expect(page.get_by_text("expression.missing").first).to_be_visible()

    # Fix the mapping in the lab, which has the message that failed.
    await mouse.click(page.get_by_role("link", name="Open in the lab"))
    mapping = lab.get_by_role("listitem").filter(has_text="with.body.customer")
    await expect(mapping).to_contain_text("customer")
    await expect(mapping.locator(".lab-problem")).to_be_visible()
    await mouse.click(lab.get_by_role("treeitem").filter(has_text="client:").first)
    await expect(mapping).to_contain_text('{"name": "Grace"}')
    await expect(mapping.get_by_role("textbox")).to_have_value("$.body.client")
    await expect(mapping).to_contain_text("from trigger.body.client")
    assert await violations(page) == []

    # Run it again with that message, and save the run as a test.
    await mouse.click(page.get_by_role("tab", name="Try"))
    await mouse.click(page.get_by_role("button", name="Run", exact=True))
    await expect(page.get_by_role("region", name="Try").get_by_role("status")).to_contain_text("Succeeded")
    await mouse.click(page.get_by_role("button", name="Save as a case…"))
    await mouse.click(dialog.get_by_role("button", name="Save", exact=True))
    cases = page.get_by_role("region", name="Cases")
    await mouse.click(cases.get_by_role("button", name="Run 1 case"))
    await expect(cases.get_by_role("status")).to_contain_text("1 of 1 passed.")

    # Deploy, and replay the execution that failed.
    await mouse.click(page.get_by_role("button", name="Deploy…"))
    await mouse.click(deploy)
    await expect(page.get_by_role("status").filter(has_text="serves now")).to_be_visible()
    await mouse.click(page.get_by_role("navigation").get_by_role("link", name="Executions"))
    await mouse.click(page.get_by_role("table").get_by_role("link").first)
    await mouse.click(page.get_by_role("button", name="Replay…"))
    await mouse.click(dialog.get_by_role("button", name="Replay", exact=True))
    await expect(page.get_by_role("link", name="Replay of")).to_be_visible()
    replayed = server.executions(flow_id="orders", state="succeeded")
    assert len(replayed) == 1
    assert mouse.clicks <= _MOST_CLICKS
    assert mouse.typed <= _MOST_TYPED
