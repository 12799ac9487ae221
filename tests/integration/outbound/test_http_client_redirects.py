"""Where the engine's HTTP client is led by redirects, and what goes with it."""

import pytest
from aiohttp import web
from tests.integration.http_servers import Serve, error_of, redirect, show

from hookline.outbound.client import PooledClient


@pytest.mark.parametrize(
    ("status", "method", "becomes", "keeps_body"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (302, "PUT", "PUT", True),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", False),
        (307, "POST", "POST", True),
        (308, "PATCH", "PATCH", True),
    ],
)
async def test_a_redirect_keeps_or_changes_the_method(
    client: PooledClient, serve: Serve, status: int, method: str, becomes: str, keeps_body: bool
) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text(), request.headers.get("Content-Type")))
        return web.Response()

    server = await serve({"/moved": redirect(status, "/"), "/": note})
    content = None if method == "HEAD" else "body"
    await client.request(method, str(server.make_url("/moved")), content=content)
    ((got, body, media_type),) = seen
    assert got == becomes
    assert (body == "body") is keeps_body
    assert (media_type is not None and media_type.startswith("text/plain")) is keeps_body


@pytest.mark.rule(35)
async def test_a_redirect_to_another_origin_drops_credentials_and_the_key(client: PooledClient, serve: Serve) -> None:
    other = await serve({"/": show})
    first = await serve({"/away": redirect(307, str(other.make_url("/"))), "/near": redirect(307, "/"), "/": show})
    headers = {"X-API-Key": "k", "Cookie": "c=1", "Idempotency-Key": "i", "Accept": "text/html", "X-Custom": "x"}
    options = {"headers": headers, "json": {"a": 1}, "auth": ("jo", "pw")}
    away = (await client.request("POST", str(first.make_url("/away")), **options)).json()  # type: ignore[arg-type]
    assert not {"x-api-key", "cookie", "idempotency-key", "authorization", "x-custom"} & away["headers"].keys()
    assert (away["headers"]["accept"], away["body"]) == ("text/html", '{"a":1}')
    assert away["headers"]["content-type"] == "application/json"
    near = (await client.request("POST", str(first.make_url("/near")), **options)).json()  # type: ignore[arg-type]
    assert {"x-api-key", "cookie", "idempotency-key", "authorization", "x-custom"} <= near["headers"].keys()


async def test_a_password_in_the_url_stays_with_its_origin(client: PooledClient, serve: Serve) -> None:
    other = await serve({"/": show})
    first = await serve({"/away": redirect(302, str(other.make_url("/"))), "/near": redirect(302, "/"), "/": show})
    for path, kept in (("/away", False), ("/near", True)):
        url = str(first.make_url(path).with_user("jo").with_password("pw"))
        assert ("authorization" in (await client.get_json(url))["headers"]) is kept


async def test_a_user_in_a_location_replaces_the_credential(client: PooledClient, serve: Serve) -> None:
    async def near(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://al:pw@{request.host}/"})

    other = await serve({"/": show})
    away = redirect(302, str(other.make_url("/").with_user("al").with_password("pw")))
    server = await serve({"/": show, "/near": near, "/away": away})
    for path in ("/near", "/away"):
        shown = await client.get_json(str(server.make_url(path)), headers={"authorization": "Bearer t"})
        assert shown["headers"]["authorization"] == "Basic YWw6cHc="


async def test_redirects_are_counted(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/again": redirect(302, "/again")})
    error = await error_of(client.request("GET", str(server.make_url("/again")), redirects=3))
    assert (error.error_code, error.retryable) == ("http.redirect", False)
    assert "/again redirects more than 3 times" in error.message


async def test_with_no_redirects_the_response_is_the_redirect(client: PooledClient, serve: Serve) -> None:
    server = await serve({"/": redirect(302, "/next")})
    response = await client.request("GET", str(server.make_url("/")), redirects=0)
    assert (response.status, response.headers["location"]) == (302, "/next")


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:1", "http://", "http://[::1/"]
)
async def test_a_redirect_leads_to_http_or_nowhere(client: PooledClient, serve: Serve, location: str) -> None:
    server = await serve({"/": redirect(302, location)})
    error = await error_of(client.request("GET", str(server.make_url("/"))))
    assert (error.error_code, error.retryable) == ("http.redirect", False)
