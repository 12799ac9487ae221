"""What senders and authors of flows may write is shown as text, in part, and does nothing."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.acceptance.server_process import ServerProcess
from tests.browser.console import Console, open_console
from tests.services import need_console

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT: Final = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'><svg onload='window.ran = 3'>"
REVERSED: Final = "invoice\u202efdp.exe\u2066\u200b"
INVISIBLE: Final = "\u202e\u2066\u200b\0"
LARGE: Final = 10_000_000
DEEP: Final = 10_000
_OPEN: Final = {
    "use": "webhook",
    "with": {"verify": "none", "max_body": 20_000_000, "keep_rejected_bodies": True},
}

FLOWS: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "written",
        "title": f"{SCRIPT} {REVERSED}",
        "trigger": _OPEN,
        "steps": [{"id": "copy", "use": "map", "with": {"body": "$.body"}}],
    },
    {
        "id": "failing",
        "title": "failing",
        "trigger": _OPEN,
        "steps": [{"id": "fail", "use": "fail", "with": {"code": "bad.text", "message": "{{ body.said }}"}}],
    },
    {
        "id": "asking",
        "title": "asking",
        "trigger": _OPEN,
        "steps": [
            {
                "id": "approve",
                "use": "webhook",
                "with": {
                    "timeout": "2d",
                    "page": {"title": "{{ body.said }}", "text": "{{ body.said }}"},
                },
            }
        ],
    },
    {
        "id": "guarded",
        "title": "guarded",
        "trigger": {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "key"}}},
        "steps": [{"id": "copy", "use": "map", "with": {"body": "$.body"}}],
    },
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    need_console()
    started = ServerProcess(tmp_path_factory.mktemp("hostile"))
    for flow in FLOWS:
        started.flow(flow)
    try:
        started.start()
        key = {"type": "api-key", "values": {"key": "a-key-of-the-tests"}}
        started.api("PUT", "/api/v1/credentials/key", key)
        yield started
    finally:
        started.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def console(browser: Browser, server: ServerProcess) -> AsyncIterator[Console]:
    async with open_console(browser, server) as opened:
        await opened.sign_in()
        yield opened


def send(server: ServerProcess, flow_id: str, body: bytes) -> dict[str, Any]:
    """Send a message; return its execution, once it has ended or waits."""
    headers = {"Content-Type": "application/json"}
    status, answer, _ = server.request("POST", f"/hook/{flow_id}", body, headers)
    assert status == 202, answer
    found: dict[str, Any] = {}

    def rests() -> bool:
        nonlocal found
        found = server.get(f"/api/v1/executions/{answer['execution_id']}?outline=true")[1]
        return found["state"] not in ("queued", "running")

    server.eventually("the execution ends or waits", rests)
    return found


async def open_execution(console: Console, execution: dict[str, Any], query: str = "") -> Page:
    id_ = execution["id"]
    return await console.open(f"/executions/{id_}{query}", f"Execution {id_[-8:]}")


async def assert_harmless(page: Page) -> None:
    """No script of a value has run, no element was made of one, and each invisible character is shown as its code."""
    assert await page.evaluate("window.ran") is None
    assert await page.locator("main img, main script").count() == 0
    shown = await page.locator("body").inner_text()
    assert not set(INVISIBLE) & set(shown)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
async def test_titles_and_errors_with_html_are_text_on_every_page_that_lists_them(
    console: Console, server: ServerProcess
) -> None:
    said = f"{SCRIPT} {REVERSED}"
    failed = send(server, "failing", json.dumps({"said": said}).encode())
    (cause,) = server.get("/api/v1/dead-letters")[1]["items"]
    for path, title, place in (
        ("/", "Overview", "main"),
        ("/flows", "Flows", "[role=table]"),
        ("/flows/written", "written", "main"),
        ("/executions", "Executions", "[role=table]"),
        (f"/executions/{failed['id']}", f"Execution {failed['id'][-8:]}", "main"),
        ("/dead-letters", "Dead letters", "table"),
        (f"/dead-letters/{quote(cause['cause'], safe='')}", "bad.text", "main"),
    ):
        page = await console.open(path, title)
        await expect(page.locator(place).first).to_contain_text("<script>window.ran = 1</script>")
        await assert_harmless(page)
    await page.keyboard.press("Control+k")
    await page.get_by_role("dialog").get_by_role("option").first.wait_for()
    await page.keyboard.type("written")
    await expect(page.get_by_role("dialog")).to_contain_text("<script>")
    await assert_harmless(page)


async def test_the_text_of_an_approval_is_text_in_the_console_and_on_its_page(
    console: Console, server: ServerProcess
) -> None:
    waiting = send(server, "asking", json.dumps({"said": f"{SCRIPT} {REVERSED}"}).encode())
    page = await open_execution(console, waiting)
    await page.get_by_role("button", name="Answer…").click()
    await page.get_by_role("dialog").wait_for()
    await assert_harmless(page)
    (wait,) = server.get(f"/api/v1/executions/{waiting['id']}")[1]["waits"]
    await page.goto(wait["url"])
    await expect(page.locator("body")).to_contain_text("<script>window.ran = 1</script>")
    assert await page.evaluate("window.ran") is None


async def test_a_very_long_text_is_fetched_in_part(console: Console, server: ServerProcess) -> None:
    execution = send(server, "written", json.dumps({"large": "x" * LARGE, "after": "all"}).encode())
    fetched: list[int] = []

    async def note(response: Any) -> None:
        if "/api/v1/executions" in response.url:
            fetched.append(len(await response.body()))

    console.page.on("response", note)
    page = await open_execution(console, execution, "?step=")
    body = page.get_by_role("tree", name="body")
    await expect(body).to_contain_text("10,000,000 characters")
    await expect(body).to_contain_text("after")
    await body.get_by_text("large:").click()
    chosen = page.get_by_label("The chosen value")
    await chosen.get_by_role("button", name="Show more").click()
    await expect(chosen).to_contain_text("8,192 of 10,000,000 characters are shown.")
    page.remove_listener("response", note)
    assert fetched
    assert sum(fetched) < 200_000
    await assert_harmless(page)
    listed = await console.open("/executions?flow_id=written&text=xxxxxxxx", "Executions")
    await expect(listed.get_by_role("row").filter(has_text=execution["id"][-8:])).to_be_visible()


@pytest.mark.long
async def test_values_in_values_ten_thousand_deep_are_rejected_and_shown_as_text(
    console: Console, server: ServerProcess
) -> None:
    body = b'{"a":' * DEEP + b"1" + b"}" * DEEP
    status, answer, _ = server.request("POST", "/hook/guarded", body, {"Content-Type": "application/json"})
    assert (status, answer["code"]) == (401, "request.not_verified"), answer
    status, answer, _ = server.request("POST", "/hook/written", body, {"Content-Type": "application/json"})
    assert (status, answer["code"]) == (400, "request.malformed"), answer
    for flow_id in ("guarded", "written"):
        page = await open_rejected(console, server, flow_id, len(body))
        await expect(page.get_by_role("tabpanel")).to_contain_text("/hook/")
        for details in await page.get_by_role("tabpanel").locator("details").all():
            await details.locator("summary").click()
        await assert_harmless(page)


@pytest.mark.long
async def test_unicode_that_is_none_is_shown_as_its_codes(console: Console, server: ServerProcess) -> None:
    body = rb'{"nul": "a\u0000b", "reversed": "%s", "keys\u0000\u202e": 1, "bell": "\u0007"}' % REVERSED.encode()
    execution = send(server, "written", body)
    page = await open_execution(console, execution, "?step=")
    tree = page.get_by_role("tree", name="body")
    for code in ("\\u0000", "\\u202e", "\\u2066", "\\u200b", "\\u0007"):
        await expect(tree).to_contain_text(code)
    await assert_harmless(page)
    status, answer, _ = server.request(
        "POST", "/hook/written", rb'{"half": "\ud800"}', {"Content-Type": "application/json"}
    )
    assert status == 400, answer


async def test_what_was_rejected_is_shown_as_text(console: Console, server: ServerProcess) -> None:
    # Its end is missing, so that it isn't JSON.
    body = json.dumps({"said": SCRIPT, "reversed": REVERSED}, ensure_ascii=False).encode()[:-1]
    status, _, _ = server.request("POST", "/hook/written", body, {"Content-Type": "application/json"})
    assert status == 400
    page = await open_rejected(console, server, "written", len(body))
    request = page.get_by_role("tabpanel").get_by_role("listitem").first
    await request.get_by_text("Body", exact=True).click()
    await expect(request).to_contain_text("<script>window.ran = 1</script>")
    await expect(request).to_contain_text("\\u202e")
    await assert_harmless(page)


async def open_rejected(console: Console, server: ServerProcess, flow_id: str, size: int) -> Page:
    """The rejected requests of a flow; the newest has a body of `size` bytes."""

    def newest() -> Any:
        return next(iter(server.get(f"/api/v1/flows/{flow_id}/rejected")[1]["items"]), None)

    # They are written once a second.
    server.eventually("it is recorded", lambda: (newest() or {}).get("size") == size)
    page = await console.open(f"/flows/{flow_id}", flow_id)
    await page.get_by_role("tab", name="Rejected").click()
    await page.get_by_role("tabpanel").get_by_role("listitem").first.wait_for()
    return page
