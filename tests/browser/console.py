"""The console as a test uses it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.acceptance.own_nginx import OwnNginx
from tests.acceptance.server_process import TOKEN, ServerProcess

_REPORT_VIOLATIONS = """
window.addEventListener("securitypolicyviolation", (event) =>
  window.reportViolation(`${event.violatedDirective} forbids ${event.blockedURI} in ${event.sourceFile}`));
"""

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


class Console:
    """A tab with the console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        """What the browser reported: errors of scripts, failed assertions, violations of the policy."""
        self._expected: list[tuple[str, str]] = []
        self._is_signed_out = False
        self._expects_problems = False

    async def watch(self) -> None:
        """Note whatever the browser reports."""
        await self.page.expose_function("reportViolation", self._note)
        await self.page.add_init_script(_REPORT_VIOLATIONS)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("console", self._read)

    def expect_status(self, status: int, path: str) -> None:
        """Expect responses of the API with an error, which browsers report as errors of the page."""
        self._expected.append((f"status of {status}", f"/api/v1{path}"))

    def expect_lost_connections(self) -> None:
        """Expect the browser to report each request that the server doesn't answer."""
        self._expected.append(("Failed to load resource", ""))

    def expect_problems(self) -> None:
        """Expect whatever the browser reports, also later: a report may come after all that a test waits for."""
        self._expects_problems = True

    @property
    def unexpected(self) -> list[str]:
        """The reports that are failures."""
        return [] if self._expects_problems else self.problems

    def _read(self, message: ConsoleMessage) -> None:
        # Before signing in, the API rejects requests.
        expected = [("status of 401", "/api/v1/me"), ("status of 401", "/api/v1/session"), *self._expected]
        url = message.location["url"]
        if self._is_signed_out and "status of 401" in message.text:
            return
        if message.type == "error" and not any(text in message.text and url.endswith(end) for text, end in expected):
            self._note(f"{message.text} {url}")

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    async def sign_in(self, token: str = TOKEN) -> None:
        """Sign in on the page for it, and be on the overview."""
        await self.page.goto("/")
        await self.page.get_by_label("Access token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Overview").wait_for()

    async def begin_session(self) -> None:
        """Sign in without the page for it, which takes a second."""
        begun = await self.page.context.request.post("/api/v1/session", data={"token": TOKEN})
        assert begun.ok, await begun.text()

    async def sign_out(self) -> None:
        """Sign out. The server rejects what the page was asking for meanwhile."""
        self._is_signed_out = True
        await self.page.get_by_role("button", name="Sign out").click()
        await self.page.get_by_role("heading", name="Sign in to Hookline").wait_for()

    async def open(self, path: str, title: str) -> Page:
        """Open a page by its URL, and wait until it has loaded what it shows."""
        await self.page.goto(path)
        await self.page.get_by_role("heading", level=1, name=title, exact=True).wait_for()
        await self.settle()
        return self.page

    async def settle(self) -> None:
        """Wait until nothing on the page loads any more."""
        await self.page.locator(".loading").first.wait_for(state="detached")

    async def use_theme(self, theme: str) -> None:
        """Show the page `light` or `dark`."""
        await self.page.get_by_label("Theme").select_option(theme)


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
    assert not opened.unexpected, "\n".join(opened.unexpected)
