"""The browser, the server, and a console that is signed in."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.acceptance.own_nginx import OwnNginx
from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console
from tests.browser.shop import start_shop
from tests.services import need_chromium, need_console

REBOUND: Final = "rebound.example"
"""A name that the browser resolves to the address of the servers, as the owner of a name can make it do."""

#: Without these, a headless Chromium asks its maker's hosts for updates, experiments and more.
FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
    # Newer browsers reject by themselves what foreign pages ask of this machine. The server mustn't need that.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
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
    program = need_chromium()
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False, args=FLAGS)
        yield launched
        await launched.close()


@asynccontextmanager
async def open_console(browser: Browser, server: ServerProcess | OwnNginx) -> AsyncIterator[Console]:
    """A console before signing in. At its end, an error that the browser has reported is a failure."""
    # The tests of other workers use the same processors.
    expect.set_options(timeout=_PATIENCE)
    context = await browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 860}, locale="en-GB")
    context.set_default_timeout(_PATIENCE)
    opened = Console(await context.new_page())
    await opened.watch()
    yield opened
    await context.close()
    assert opened.problems == []


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
