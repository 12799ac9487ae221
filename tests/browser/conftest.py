"""The browser, the server, and a console that is signed in."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import FLAGS, Console, open_console
from tests.browser.flow_editor import PARCELS, editor, one_more_flow
from tests.browser.shop import start_shop
from tests.services import need_chromium, need_console


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with real executions, which the tests of this folder share."""
    need_console()
    server = ServerProcess(tmp_path_factory.mktemp("shop"))
    try:
        start_shop(server)
        yield server
    finally:
        server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium as Debian packages it: nothing is downloaded."""
    program = need_chromium()
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False, args=FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, shop: ServerProcess) -> AsyncIterator[Console]:
    """A console before signing in. The test fails if the browser reports any error."""
    async with open_console(browser, shop) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def console(visitor: Console) -> Console:
    """A console, signed in with the server's own token, which shows no page yet."""
    await visitor.begin_session()
    return visitor


@pytest_asyncio.fixture(loop_scope="session")
async def parcels(console: Console, shop: ServerProcess) -> AsyncIterator[ServerProcess]:
    """The server of the shop, with one more flow while the test runs."""
    async with one_more_flow(console, shop, PARCELS):
        yield shop


@pytest_asyncio.fixture(loop_scope="session")
async def page(console: Console, parcels: ServerProcess) -> Page:
    """The page on which the flow is edited."""
    opened = await console.open("/flows/parcels/edit", "Edit parcels")
    await expect(editor(opened)).to_be_visible()
    return opened
