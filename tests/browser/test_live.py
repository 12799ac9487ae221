"""What a console shows by itself, also after its server was gone for a while."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, expect

from tests.acceptance.own_nginx import OwnNginx
from tests.acceptance.server_process import ServerProcess
from tests.browser.console import open_console
from tests.services import need_console

pytestmark = pytest.mark.asyncio(loop_scope="session")

FLOW: Final = {
    "id": "orders",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "copy", "use": "map", "with": {"body": "$.body"}}],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of a test's own, which it may stop."""
    need_console()
    made = ServerProcess(tmp_path)
    made.flow(FLOW)
    yield made
    made.stop()


def send(server: ServerProcess) -> str:
    status, answer = server.post("orders", {"number": 1})
    assert status == 202, answer
    return str(answer["execution_id"])


async def expect_connection(page: Page, text: str) -> None:
    await expect(page.locator("#navigation").get_by_role("status")).to_have_text(text)


async def expect_row(page: Page, execution_id: str) -> None:
    row = page.get_by_role("row").filter(has_text=execution_id[-8:])
    await expect(row).to_contain_text("Succeeded")


@pytest.mark.long
@pytest.mark.console_rule("K8")
async def test_the_connection_survives_a_restart_of_the_server(browser: Browser, server: ServerProcess) -> None:
    server.start()
    async with open_console(browser, server) as console:
        await console.sign_in()
        page = await console.open("/executions", "Executions")
        await page.evaluate("window.kept = true")
        await expect_connection(page, "Live")
        await expect_row(page, send(server))
        console.expect_lost_connections()
        server.stop()
        await expect_connection(page, "Connection lost, trying again…")
        server.start()
        while_away = send(server)
        await expect_connection(page, "Live")
        await expect_row(page, while_away)
        await expect_row(page, send(server))
        assert await page.evaluate("window.kept") is True


@pytest.mark.long
@pytest.mark.console_rule("K8")
async def test_ten_tabs_behind_nginx_go_on_after_a_restart(
    browser: Browser, server: ServerProcess, tmp_path: Path
) -> None:
    """Over HTTP/1.1, of which a browser opens six connections to a host: there is one stream for all tabs."""
    (tmp_path / "nginx").mkdir()
    with OwnNginx(tmp_path / "nginx", [server.port]) as nginx:
        server.set("HOOKLINE_ADMIN_URL", nginx.url)
        server.start()
        async with open_console(browser, nginx) as console:
            await console.sign_in()
            tabs = [console.page, *[await console.page.context.new_page() for _ in range(9)]]
            streams: list[str] = []
            console.page.context.on(
                "request", lambda one: streams.append(one.url) if one.url.endswith("/events") else None
            )
            for tab in tabs:
                await tab.goto("/executions")
                await tab.evaluate("window.kept = true")
                await expect_connection(tab, "Live")
            assert len(streams) == 1
            before = send(server)
            for tab in tabs:
                await expect_row(tab, before)
            console.expect_lost_connections()
            server.stop()
            for tab in tabs:
                await expect_connection(tab, "Connection lost, trying again…")
            server.start()
            after = send(server)
            for tab in tabs:
                await expect_connection(tab, "Live")
                await expect_row(tab, after)
                assert await tab.evaluate("window.kept") is True
