"""Pages that change while something happens: what they ask the server, and which answer they show."""

import asyncio
import contextlib

import pytest
from playwright.async_api import Error, Route, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIST = "**/api/v1/executions?*"
BURST = 40


async def test_a_burst_is_shown_by_few_requests_one_at_a_time(console: Console, shop: ServerProcess) -> None:
    page = await console.open("/executions?flow_id=partners", "Executions")
    asked = running = most = 0

    async def answer_slowly(route: Route) -> None:
        nonlocal asked, running, most
        asked, running = asked + 1, running + 1
        most = max(most, running)
        response = await route.fetch()
        # Longer than the time between two refreshes.
        await asyncio.sleep(2)
        running -= 1
        await route.fulfill(response=response)

    await page.route(LIST, answer_slowly)
    for number in range(BURST):
        status, answer = await asyncio.to_thread(
            shop.post, "partners", {"partner": number}, {"X-API-Key": "s3cret-of-the-shop"}
        )
        assert status == 202, answer
    await expect(page.get_by_role("row").filter(has_text=answer["execution_id"][-8:])).to_be_visible()
    assert most == 1
    assert asked < BURST / 4
    await page.unroute_all(behavior="ignoreErrors")


async def test_the_answer_for_earlier_filters_is_never_shown(console: Console, shop: ServerProcess) -> None:
    page = await console.open("/executions", "Executions")
    is_late = asyncio.Event()

    async def hold(route: Route) -> None:
        if "state=failed" not in route.request.url:
            await route.continue_()
            return
        response = await route.fetch()
        await is_late.wait()
        # The page may have given up this request.
        with contextlib.suppress(Error):
            await route.fulfill(response=response)

    await page.route(LIST, hold)
    table = page.get_by_role("table")
    await page.get_by_label("All states").select_option("failed")
    await expect(table).to_have_count(0)
    await page.get_by_label("All states").select_option("succeeded")
    await expect(table).to_contain_text("Succeeded")
    is_late.set()
    await page.unroute_all(behavior="wait")
    await expect(table).to_contain_text("Succeeded")
    await expect(table).not_to_contain_text("Failed")
