"""Lists in pages, of services that do it right and of some that don't."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.integration.http_servers import NOW, Handler, Serve, error_of

from hookline.api import HttpClient, RateLimited, RateLimits, StepError, cursor_items, linked_items, numbered_items
from hookline.outbound.client import PooledClient
from hookline.outbound.exact_numbers_client import ExactClient

Pages = Callable[[HttpClient, str], AsyncIterator[Any]]


async def every(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class Shop:
    """Answers what a test says, and keeps the requests."""

    def __init__(self, answer: Callable[[web.Request], web.Response]) -> None:
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        self._answer = answer

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        self.keys.append(request.headers.get("X-Key"))
        return self._answer(request)


async def test_links_lead_from_page_to_page(client: PooledClient, serve: Serve) -> None:
    def orders(request: web.Request) -> web.Response:
        page = int(request.query.get("page", "1"))
        links = {1: '</orders?page=2>; rel="next"', 2: '<?page=1>; rel="prev", <?page=3&size=2>; rel="next"'}
        return web.json_response([page * 10, page * 10 + 1], headers={"Link": links[page]} if page in links else {})

    shop = Shop(orders)
    server = await serve({"/orders": shop.handle})
    url = str(server.make_url("/orders"))
    found = await every(linked_items(client, url, params={"size": 2}, headers={"X-Key": "k"}))
    assert found == [10, 11, 20, 21, 30, 31]
    assert shop.asked == ["/orders?size=2", "/orders?page=2", "/orders?page=3&size=2"]
    assert shop.keys == ["k", "k", "k"]


async def test_a_link_may_stand_in_the_body(client: PooledClient, serve: Serve) -> None:
    def orders(request: web.Request) -> web.Response:
        following = None if "page" in request.query else f"http://{request.host}/orders?page=2"
        return web.json_response({"data": {"orders": [request.path_qs]}, "links": {"next": following}})

    server = await serve({"/orders": Shop(orders).handle})
    url = str(server.make_url("/orders"))
    assert await every(linked_items(client, url, items="data.orders", link="links.next")) == [
        "/orders",
        "/orders?page=2",
    ]


@pytest.mark.parametrize(
    "elsewhere", ["http://other.example/orders", "//other.example:80/", "http://[bad/", "https:/x"]
)
async def test_a_link_to_another_origin_is_not_followed(client: PooledClient, serve: Serve, elsewhere: str) -> None:
    async def orders(_: web.Request) -> web.Response:
        return web.json_response([1], headers={"Link": f"<{elsewhere}>; rel=next"})

    server = await serve({"/orders": orders})
    items = linked_items(client, str(server.make_url("/orders")), headers={"X-Key": "k"})
    assert await anext(items) == 1
    with pytest.raises(StepError) as caught:
        await anext(items)
    assert caught.value.error_code in ("pages.origin", "pages.link")
    assert not caught.value.retryable


async def test_another_port_of_the_same_host_is_another_origin(client: PooledClient, serve: Serve) -> None:
    other = Shop(lambda _: web.json_response([2]))
    elsewhere = str((await serve({"/orders": other.handle})).make_url("/orders"))

    async def orders(_: web.Request) -> web.Response:
        return web.json_response([1], headers={"Link": f"<{elsewhere}>; rel=next"})

    server = await serve({"/orders": orders})
    with pytest.raises(StepError, match="credentials are not sent to another origin"):
        await every(linked_items(client, str(server.make_url("/orders")), headers={"X-Key": "k"}))
    assert other.asked == []


async def test_a_cursor_asks_for_the_next_page(client: PooledClient, serve: Serve) -> None:
    def channels(request: web.Request) -> web.Response:
        at = int(request.query.get("cursor", "0"))
        following = str(at + 2) if at < 4 else ""
        return web.json_response({"channels": [at, at + 1], "meta": {"next_cursor": following}})

    shop = Shop(channels)
    server = await serve({"/channels": shop.handle})
    url = str(server.make_url("/channels"))
    found = await every(
        cursor_items(client, url, items="channels", cursor="meta.next_cursor", params={"limit": 2, "kind": ["a", "b"]})
    )
    assert found == [0, 1, 2, 3, 4, 5]
    assert shop.asked[1] == "/channels?limit=2&kind=a&kind=b&cursor=2"


async def test_a_cursor_may_be_made_of_the_body(client: PooledClient, serve: Serve) -> None:
    def charges(request: web.Request) -> web.Response:
        after = int(request.query.get("starting_after", "0"))
        return web.json_response({"data": [{"id": after + 1}], "has_more": after < 2})

    server = await serve({"/charges": Shop(charges).handle})
    url = str(server.make_url("/charges"))
    found = cursor_items(
        client,
        url,
        items="data",
        cursor=lambda body: body["data"][-1]["id"] if body["has_more"] else None,
        parameter="starting_after",
    )
    assert await every(found) == [{"id": 1}, {"id": 2}, {"id": 3}]


async def test_pages_are_counted_until_one_is_empty(client: PooledClient, serve: Serve) -> None:
    def orders(request: web.Request) -> web.Response:
        page = int(request.query["page"])
        return web.json_response([page] if page < 3 else [])

    shop = Shop(orders)
    server = await serve({"/orders": shop.handle})
    assert await every(numbered_items(client, str(server.make_url("/orders")), params={"size": 50})) == [1, 2]
    assert shop.asked[-1] == "/orders?size=50&page=3"


async def test_an_offset_grows_by_what_came_and_not_by_what_was_asked_for(client: PooledClient, serve: Serve) -> None:
    everything = list(range(7))

    def orders(request: web.Request) -> web.Response:
        offset = int(request.query["offset"])
        page = everything[offset : offset + 3]
        return web.json_response({"orders": page, "more": offset + 3 < len(everything)})

    shop = Shop(orders)
    server = await serve({"/orders": shop.handle})
    found = numbered_items(
        client,
        str(server.make_url("/orders")),
        items="orders",
        parameter="offset",
        first=0,
        counts="items",
        more="more",
        params={"limit": 100},
    )
    assert await every(found) == everything
    assert len(shop.asked) == 3


def ever(request: web.Request) -> web.Response:
    """A list whose end never comes."""
    page = int(request.query.get("page", "0"))
    link = {"Link": f"<?page={page + 1}>; rel=next"}
    return web.json_response({"items": [page], "next": page + 1}, headers=link)


def again(request: web.Request) -> web.Response:
    """A list that goes in a circle, or stays on one page."""
    page = (int(request.query.get("page", "0")) + 1) % 3
    return web.json_response({"items": ["same"], "next": page}, headers={"Link": f"<?page={page}>; rel=next"})


WAYS: dict[str, Pages] = {
    "links": lambda http, url: linked_items(http, url, items="items", max_pages=5),
    "cursors": lambda http, url: cursor_items(http, url, items="items", cursor="next", parameter="page", max_pages=5),
    "numbers": lambda http, url: numbered_items(http, url, items="items", max_pages=5),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("answer", "code", "most"), [(ever, "pages.too_many", 5), (again, "pages.repeated", 4)])
async def test_whatever_a_service_does_it_comes_to_an_end(
    client: PooledClient, serve: Serve, way: str, answer: Callable[[web.Request], web.Response], code: str, most: int
) -> None:
    shop = Shop(answer)
    server = await serve({"/list": shop.handle})
    error = await error_of(every(WAYS[way](client, str(server.make_url("/list")))))
    assert error.error_code == code
    assert len(shop.asked) <= most


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [{"items": None}, {"items": {"a": 1}}, {}, [1], "text", None])
async def test_a_page_without_a_list_is_an_error_and_no_end(
    client: PooledClient, serve: Serve, way: str, body: Any
) -> None:
    server = await serve({"/list": Shop(lambda _: web.json_response(body)).handle})
    error = await error_of(every(WAYS[way](client, str(server.make_url("/list")))))
    assert error.error_code == "pages.items"
    assert "'items'" in error.message


@pytest.mark.parametrize("cursor", [{"a": 1}, [1], 1.5, True])
async def test_what_is_no_cursor_is_an_error(client: PooledClient, serve: Serve, cursor: Any) -> None:
    server = await serve({"/list": Shop(lambda _: web.json_response({"items": [1], "next": cursor})).handle})
    url = str(server.make_url("/list"))
    error = await error_of(every(cursor_items(client, url, items="items", cursor="next")))
    assert error.error_code == "pages.cursor"


async def test_a_page_that_is_rejected_for_now_says_when_to_come_back(client: PooledClient, serve: Serve) -> None:
    reset = int(NOW.timestamp()) + 40

    def limited(request: web.Request) -> web.Response:
        if request.query.get("page") == "2":
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
            return web.json_response({"message": "API rate limit exceeded"}, status=403, headers=headers)
        return web.json_response([1], headers={"Link": "<?page=2>; rel=next"})

    server = await serve({"/list": Shop(limited).handle})
    url = str(server.make_url("/list"))
    error = await error_of(every(linked_items(client, url, rate_limits=RateLimits(statuses=(403, 429)))))
    assert isinstance(error, RateLimited)
    assert (error.error_code, error.retryable, error.retry_after) == ("http.403", True, 40.0)
    assert "API rate limit exceeded" in error.message
    plain = await error_of(every(linked_items(client, url)))
    assert (plain.error_code, plain.retryable, type(plain)) == ("http.403", False, StepError)


async def test_a_429_says_it_in_the_usual_headers(client: PooledClient, serve: Serve) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "12"})

    server: Any = await serve({"/": busy})
    error = await error_of(client.request("GET", str(server.make_url("/"))))
    assert (type(error), error.retry_after) == (RateLimited, 12.0)


async def test_a_body_may_say_that_it_is_an_error(client: PooledClient, serve: Serve) -> None:
    def read(response: Any) -> Any:
        body = response.json()
        if not body["ok"]:
            raise StepError(body["error"], code="acme.rejected")
        return body

    handler: Handler = Shop(lambda _: web.json_response({"ok": False, "error": "not_in_channel"})).handle
    server = await serve({"/list": handler})
    url = str(server.make_url("/list"))
    error = await error_of(every(cursor_items(client, url, items="items", cursor="next", read=read)))
    assert (error.error_code, error.message) == ("acme.rejected", "not_in_channel")


async def test_items_are_exact_where_the_flows_numbers_are(client: PooledClient, serve: Serve) -> None:
    async def amounts(_: web.Request) -> web.Response:
        return web.Response(body=b"[0.1, 1e400]", content_type="application/json")

    server = await serve({"/": amounts})
    found = await every(linked_items(ExactClient(client), str(server.make_url("/"))))
    assert [str(item) for item in found] == ["0.1", "1E+400"]
