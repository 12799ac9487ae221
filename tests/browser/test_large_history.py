"""The console of a server with a long history: each page shows something, and lists scroll without gaps."""

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.acceptance.server_process import ServerProcess
from tests.benchmarks.large.browsing import scroll, visit, visits
from tests.benchmarks.large.rows import History
from tests.benchmarks.large.server import LONG, run_items, start_large
from tests.browser.console import Console, open_console
from tests.services import need_console

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXECUTIONS: Final = 20_000
FLOWS: Final = 20
ITEMS: Final = 150
"""Ten steps for each are more than come with an execution."""


class Large(NamedTuple):
    """A server and its executions."""

    server: ServerProcess
    history: History
    long_id: str
    """An execution with many steps."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Large]:
    need_console()
    server = ServerProcess(tmp_path_factory.mktemp("large"))
    try:
        history = start_large(server, EXECUTIONS, FLOWS)
        yield Large(server, history, run_items(server, ITEMS))
    finally:
        server.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, large: Large) -> AsyncIterator[Console]:
    async with open_console(browser, large.server) as opened:
        await opened.sign_in()
        yield opened


@pytest.mark.long
async def test_each_page_has_its_content_and_answers_a_key(console: Console, large: Large) -> None:
    failed = large.server.executions(flow_id="flow-0", state="failed", limit="1")[0]["id"]
    for one in visits(failed, large.long_id, "flow-0", LONG):
        seen = await visit(console.page, one)
        assert seen.answered_ms < 10_000, one.path


@pytest.mark.long
async def test_a_fast_scroll_through_thousands_of_rows_leaves_none_out(console: Console, large: Large) -> None:
    await console.open("/executions", "Executions")
    seen = await scroll(console.page, rows=2000)
    listed: list[str] = []
    cursor = ""
    while len(listed) < len(seen.names):
        page = large.server.get(f"/api/v1/executions?limit=200{cursor}")[1]
        listed += [one["id"][-8:] for one in page["items"]]
        cursor = f"&cursor={page['next']}"
    assert list(seen.names) == listed[: len(seen.names)]
    assert len(seen.names) >= 2000


async def test_all_steps_of_a_long_execution_are_shown(console: Console, large: Large) -> None:
    page = await console.open(f"/executions/{large.long_id}", f"Execution {large.long_id[-8:]}")
    section = page.get_by_role("region", name="Steps")
    steps = page.get_by_role("tree", name="Steps, in the order in which they ran")
    # Its items are folded, so the end of the list is in view, and all pages are loaded.
    await expect(section).to_contain_text(f"{ITEMS * 10 + 1:,} steps")
    await section.get_by_role("button", name="Unfold all").click()
    await steps.press("End")
    last = steps.get_by_role("treeitem", selected=True)
    await expect(last).to_contain_text("do9")
    await page.wait_for_url("**step=lines*")
    await expect(page.get_by_role("heading", name="do9")).to_be_visible()


@pytest.mark.long
async def test_the_url_of_a_step_leads_to_it_however_late_it_ran(console: Console, large: Large) -> None:
    step = f"lines[{ITEMS - 1}]/do9"
    page = await console.open(f"/executions/{large.long_id}?step={step}", f"Execution {large.long_id[-8:]}")
    await expect(page.get_by_role("heading", name="do9")).to_be_visible()
    await expect(page.get_by_role("tree", name="Output")).to_contain_text(str(ITEMS - 1))
