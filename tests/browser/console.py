"""The console as a test uses it."""

from playwright.async_api import ConsoleMessage, Page

from tests.acceptance.server_process import TOKEN

_REPORT_VIOLATIONS = """
window.addEventListener("securitypolicyviolation", (event) =>
  window.reportViolation(`${event.violatedDirective} forbids ${event.blockedURI} in ${event.sourceFile}`));
"""


class Console:
    """A tab with the console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        """What the browser reported: errors of scripts, failed assertions, violations of the policy."""

    async def watch(self) -> None:
        """Note whatever the browser reports."""
        await self.page.expose_function("reportViolation", self._note)
        await self.page.add_init_script(_REPORT_VIOLATIONS)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("console", self._read)

    def _read(self, message: ConsoleMessage) -> None:
        # Before signing in, the API rejects requests; browsers report that as an error.
        expected = "401" in message.text and message.location["url"].endswith(("/api/v1/me", "/api/v1/session"))
        if message.type == "error" and not expected:
            self._note(f"{message.text} {message.location['url']}")

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    async def sign_in(self, token: str = TOKEN) -> None:
        """Sign in on the page for it, and be on the overview."""
        await self.page.goto("/")
        await self.page.get_by_label("Access token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Overview").wait_for()

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
