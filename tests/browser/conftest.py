"""The browser, the server, and a console that is signed in."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console
from tests.browser.shop import start_shop
from tests.services import need_console, need_program

#: Without these, a headless Chromium asks its maker's hosts for updates, experiments and more.
_FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_PATIENCE = 50_000
"""Milliseconds."""


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
    program = need_program("Chromium", "chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=program, chromium_sandbox=False, args=[*_FLAGS, "--disable-gpu"]
        )
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, shop: ServerProcess) -> AsyncIterator[Console]:
    """A console before signing in. The test fails if the browser reports any error."""
    # The tests of other workers use the same processors.
    expect.set_options(timeout=_PATIENCE)
    context = await browser.new_context(base_url=shop.url, viewport={"width": 1280, "height": 860}, locale="en-GB")
    context.set_default_timeout(_PATIENCE)
    opened = Console(await context.new_page())
    await opened.watch()
    yield opened
    await context.close()
    assert opened.problems == []


@pytest_asyncio.fixture(loop_scope="session")
async def console(visitor: Console) -> Console:
    """A console, signed in with the server's own token."""
    await visitor.sign_in()
    return visitor
