"""What a page of somebody else can do to a console in the same browser: nothing."""

from typing import Any, Final

import pytest
from playwright.async_api import Page, Request, Route

from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.browser.console import REBOUND, Console
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL: Final = "http://evil.example"


async def open_foreign(console: Console, origin: str, html: str) -> Page:
    """A page of another origin in a second tab of the browser of a console, which is signed in."""

    async def answer(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=html)

    page = await console.page.context.new_page()
    await page.route(f"{origin}/", answer)
    await page.goto(f"{origin}/")
    return page


def neighbour() -> str:
    """An origin of the same site, another port of the host: `SameSite` lets the cookie go with its requests."""
    return f"http://127.0.0.1:{free_port()}"


async def cookie_of(console: Console) -> dict[str, Any]:
    (cookie,) = await console.page.context.cookies(f"{console.page.url.rstrip('/')}/api/v1/me")
    return dict(cookie)


@pytest.mark.console_rule("K5")
@pytest.mark.parametrize("origin", [EVIL, "neighbour"])
async def test_clickjacking_no_page_of_another_origin_can_frame_the_console(
    console: Console, shop: ServerProcess, origin: str
) -> None:
    url = f"{shop.url}/"
    page = await open_foreign(
        console, neighbour() if origin == "neighbour" else origin, f"<iframe src='{url}executions'></iframe>"
    )
    frame = page.frames[1]
    await page.wait_for_function("document.querySelector('iframe').contentDocument === null")
    await frame.wait_for_load_state()
    assert not frame.url.startswith(url)
    assert "Hookline" not in await frame.content()


@pytest.mark.console_rule("K7")
@pytest.mark.parametrize(("origin", "sends_cookie", "status"), [(EVIL, False, 401), ("neighbour", True, 403)])
async def test_csrf_a_form_of_another_origin_changes_nothing(
    console: Console, shop: ServerProcess, origin: str, sends_cookie: bool, status: int
) -> None:
    action = f"{shop.url}/api/v1/flows/orders/stop"
    form = f"<form method=post enctype=text/plain action='{action}'><button name='{{}}' value=''>Win</button></form>"
    page = await open_foreign(console, neighbour() if origin == "neighbour" else origin, form)
    async with page.expect_response(action) as answered:
        await page.get_by_role("button").click()
    response = await answered.value
    assert ("hookline-" in (await response.request.all_headers()).get("cookie", "")) == sends_cookie
    assert response.status == status
    assert shop.get("/api/v1/flows/orders")[1]["state"] == "active"


@pytest.mark.console_rule("K7")
async def test_csrf_a_script_of_another_origin_reads_nothing_and_changes_nothing(
    console: Console, shop: ServerProcess
) -> None:
    page = await open_foreign(console, neighbour(), "<p>Hello</p>")
    for method, path in (("GET", "me"), ("POST", "flows/orders/stop"), ("DELETE", "flows/orders"), ("GET", "events")):
        answer = await page.evaluate(
            """([url, method]) => fetch(url, { method, credentials: "include" }).then(() => "read", () => "failed")""",
            [f"{shop.url}/api/v1/{path}", method],
        )
        assert answer == "failed", path
    assert shop.get("/api/v1/flows/orders")[1]["state"] == "active"


@pytest.mark.parametrize(
    "path",
    [
        "/?next=//evil.example",
        "/?redirect=https://evil.example&url=https://evil.example&return_to=//evil.example",
        "/flows/..%2F..%2F%2Fevil.example",
        "/settings#https://evil.example",
        "/#code=//evil.example",
    ],
)
async def test_open_redirect_signing_in_stays_on_the_server(visitor: Console, shop: ServerProcess, path: str) -> None:
    page = visitor.page
    visited: list[str] = []
    page.on("request", lambda request: visited.append(request.url))
    await page.goto(path)
    await page.get_by_label("Access token").fill(TOKEN)
    await page.get_by_role("button", name="Sign in").click()
    await page.locator("#navigation").wait_for()
    await visitor.settle()
    assert page.url.startswith(f"{shop.url}/")
    assert [url for url in visited if not url.startswith(f"{shop.url}/")] == []
    visitor.expect_problems()  # the browser reports what wasn't found, and the code that isn't valid


async def test_open_redirect_a_path_with_two_slashes_leads_nowhere(shop: ServerProcess) -> None:
    for path in ("//evil.example/", "/%2F/evil.example/", "/\\evil.example/", "/executions/%2F%2Fevil.example"):
        status, _, headers = shop.request("GET", path)
        assert status == 404, path
        assert "Location" not in headers


@pytest.mark.console_rule("K7")
async def test_session_fixation_signing_in_makes_a_new_session(visitor: Console, shop: ServerProcess) -> None:
    await visitor.sign_in()
    known = await cookie_of(visitor)
    await visitor.sign_out()
    # Somebody else has set the cookie: its name isn't secret.
    planted = {**known, "value": "planted-by-somebody-else-0123456789abcdef"}
    await visitor.page.context.add_cookies([planted])  # type: ignore[list-item]  # as it was read
    await visitor.sign_in()
    own = await cookie_of(visitor)
    assert own["value"] not in (planted["value"], known["value"])
    assert (own["httpOnly"], own["sameSite"]) == (True, "Strict")
    for value in (planted["value"], known["value"]):
        status, _, _ = shop.request("GET", "/api/v1/me", headers={"Cookie": f"{own['name']}={value}"})
        assert status == 401


@pytest.mark.console_rule("K6")
async def test_dns_rebinding_a_name_that_leads_to_the_server_gets_nothing(
    visitor: Console, shop: ServerProcess
) -> None:
    rebound = f"http://{REBOUND}:{shop.port}"
    answer = await visitor.page.goto(f"{rebound}/")
    assert answer is not None
    assert answer.status == 421
    # The page came from the owner of the name, before it led here. For the browser, the server is of its origin.
    page = await open_foreign(visitor, rebound, "<p>Hello</p>")
    for method, path in (("GET", "me"), ("GET", "events"), ("POST", "session")):
        status = await page.evaluate(
            "([url, method, token]) => fetch(url, { method, headers: { Authorization: `Bearer ${token}` } })"
            ".then((answer) => answer.status)",
            [f"{rebound}/api/v1/{path}", method, TOKEN],
        )
        assert status == 421, path
    visitor.expect_problems()  # the browser reports each of these


@pytest.mark.console_rule("K7")
async def test_no_secret_is_in_a_url_in_the_storage_of_the_browser_or_in_the_log(
    visitor: Console, shop: ServerProcess
) -> None:
    page = visitor.page
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    await visitor.sign_in()
    secrets = [TOKEN, (await cookie_of(visitor))["value"]]
    await visitor.open("/executions", "Executions")
    await visitor.open("/tokens", "Tokens")
    assert requests
    for request in requests:
        assert not any(secret in request.url for secret in secrets), request.url
        assert not any(secret in request.headers.get("referer", "") for secret in secrets)
    kept = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    shown = await page.content()
    assert not any(secret in kept or secret in shown for secret in secrets)
    assert not any(secret in shop.log() for secret in secrets)


async def test_a_script_that_got_into_the_page_does_not_run(visitor: Console) -> None:
    """If everything else failed, the policy still forbids scripts that aren't files of the server."""
    await visitor.sign_in()
    await visitor.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<img src='data:,x' onerror='window.ran = true'>");
        }"""
    )
    await visitor.page.wait_for_function("window.ran === undefined")
    await visitor.page.wait_for_timeout(100)
    assert await visitor.page.evaluate("window.ran") is None
    assert any("script-src" in problem for problem in visitor.problems)
    visitor.expect_problems()


@pytest.mark.console_rule("K5")
@pytest.mark.parametrize("element", ["script", "module", "worker", "style"])
async def test_the_answer_of_a_flow_is_no_script_or_style_of_the_page(visitor: Console, element: str) -> None:
    """`/hook` has the origin of the console, and a flow chooses what it answers."""
    await visitor.sign_in()
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        kind = "text/css" if element == "style" else "text/javascript"
        text = "body { --ran: 1 }" if element == "style" else "globalThis.ran = true; globalThis.postMessage?.('ran')"
        await route.fulfill(content_type=kind, body=text)

    await visitor.page.route("**/hook/answer", answer)
    blocked = await visitor.page.evaluate(
        """async (element) => {
          const violation = new Promise((done) => {
            document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
          });
          if (element === "worker") {
            try { new Worker("/hook/answer"); } catch { /* some browsers throw */ }
          } else if (element === "style") {
            const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/hook/answer" });
            document.head.append(link);
          } else {
            const script = Object.assign(document.createElement("script"), { src: "/hook/answer" });
            if (element === "module") script.type = "module";
            document.body.append(script);
          }
          return Promise.race([violation, new Promise((done) => setTimeout(() => done("allowed"), 2000))]);
        }""",
        element,
    )
    assert blocked in ("script-src-elem", "style-src-elem", "worker-src")
    assert asked == []
    assert await visitor.page.evaluate("window.ran") is None
    visitor.expect_problems()
