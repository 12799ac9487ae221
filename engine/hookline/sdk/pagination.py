"""Pagination: iterating over the items of lists that services return in pages, in the three usual ways.

    async for order in linked_items(ctx.service, "/orders"):
        yield read_as(Order, order)

Each function is an async generator, so an action may return it for lists of any length. Pages are read one at a time.
The iteration always ends: the number of pages is limited, and a page that leads back to an earlier one is an error. An
incomplete list is always an error, and never a shorter list.

`items` is the path to the items of a page: keys with dots (`"data.orders"`), a function of the body, or None if the
body is the list. `read` returns the body of a response; it may raise StepError if the body reports a failure. All other
options are those of `HttpClient.request`, and are the same for each page.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, TypeAlias, Unpack
from urllib.parse import SplitResult, urljoin, urlsplit

from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.sdk.context_parts import Service
from hookline.sdk.http_client import HttpClient, RequestOptions, Response

#: The parts of a Link header: a target, a quoted text, a separator, or a word. One that isn't closed goes to the end,
#: so that none is read twice.
_TOKEN: Final = re.compile(r'<[^>]*+(?:>|\Z)|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[;,=]|[^\s;,="<]+', re.DOTALL)


def next_link(header: str) -> str | None:
    """Return the target of the first link with the relation `next`, unchanged, or None."""
    target: str | None = None
    name, relation = "", None
    expects = ""
    for part in (*_TOKEN.findall(header), ","):
        if part.startswith("<"):
            target, relation, expects = part[1:-1].strip(), None, ""
        elif part == ",":
            if target is not None and relation is not None and "next" in relation.lower().split():
                return target
            target, relation, expects = None, None, ""
        elif part == ";":
            expects = "name"
        elif part == "=":
            expects = "value"
        elif expects == "name":
            name, expects = part.lower(), ""
        elif expects == "value":
            # If there are two relations, the first counts.
            if name == "rel" and relation is None:
                relation = part.removeprefix('"').removesuffix('"')
            expects = ""
    return None


BodyPath: TypeAlias = str | Callable[[Any], Any]
"""A path in the body of a page: keys joined by dots, or a function of the body."""

MAX_PAGES: Final = 1000

_PORTS: Final = {"http": 80, "https": 443}


async def linked_items(
    http: HttpClient,
    url: str,
    *,
    items: BodyPath | None = None,
    link: BodyPath | None = None,
    method: str = "GET",
    max_pages: int = MAX_PAGES,
    read: Callable[[Response], Any] = Response.json,
    **options: Unpack[RequestOptions],
) -> AsyncIterator[Any]:
    """Yield the items of pages with a link to the next: in the header `Link` (`rel="next"`), or in the body at `link`.

    `params` are only for the first page, because links have their own. A link must have the scheme, host and port of
    the first URL, because the request's headers are sent to it. Raises StepError: `pages.origin` for a link to another
    origin, `pages.repeated` for a link to an earlier page, `pages.too_many`, `pages.items`, and `request`'s errors.
    """
    url = _whole(http, url)
    seen = _Seen(url)
    for _ in range(max_pages):
        seen.add(url)
        response = await http.request(method, url, **options)
        body = read(response)
        for item in _items(body, items, url):
            yield item
        found = next_link(response.headers.get("link", "")) if link is None else _value_at(body, link)
        if not _has_next(found):
            return
        if not isinstance(found, str):
            raise StepError(f"{_origin(url)} has no text at the link to the next page", code="pages.link")
        url = _following(url, found)
        options["params"] = None
    raise _too_many(url, max_pages)


async def cursor_items(
    http: HttpClient,
    url: str,
    *,
    items: BodyPath,
    cursor: BodyPath,
    parameter: str = "cursor",
    method: str = "GET",
    max_pages: int = MAX_PAGES,
    read: Callable[[Response], Any] = Response.json,
    **options: Unpack[RequestOptions],
) -> AsyncIterator[Any]:
    """Yield the items of pages with a cursor in the body, which is a parameter of the request for the next page.

    `cursor` is the path to the cursor. The list ends if it is missing, null, false or empty. Raises StepError:
    `pages.repeated` for an earlier cursor, `pages.too_many`, `pages.items`, and the errors of `request`.
    """
    url = _whole(http, url)
    seen, params = _Seen(url), dict(options.get("params") or {})
    if parameter in params:
        seen.add(str(params[parameter]))
    for _ in range(max_pages):
        options["params"] = params
        response = await http.request(method, url, **options)
        body = read(response)
        for item in _items(body, items, url):
            yield item
        found = _value_at(body, cursor)
        if not _has_next(found):
            return
        if not isinstance(found, str | int) or found is True:
            raise StepError(f"{_origin(url)} has no text at the cursor", code="pages.cursor")
        seen.add(str(found))
        params[parameter] = found
    raise _too_many(url, max_pages)


async def numbered_items(
    http: HttpClient,
    url: str,
    *,
    items: BodyPath | None = None,
    parameter: str = "page",
    first: int = 1,
    counts: Literal["pages", "items"] = "pages",
    more: BodyPath | None = None,
    method: str = "GET",
    max_pages: int = MAX_PAGES,
    read: Callable[[Response], Any] = Response.json,
    **options: Unpack[RequestOptions],
) -> AsyncIterator[Any]:
    """Yield the items of numbered pages.

    `parameter` is the number of the page, from `first`, or with `counts="items"` an offset. The list ends with a page
    without items, or with a page whose value at `more` is false. `params` may have the size of a page, which a page
    need not reach. Raises StepError: `pages.repeated` if a page is equal to the one before, because the service may not
    know the parameter, `pages.too_many`, `pages.items`, and the errors of `request`.
    """
    url = _whole(http, url)
    params, number, before = dict(options.get("params") or {}), first, b""
    for _ in range(max_pages):
        options["params"] = {**params, parameter: number}
        response = await http.request(method, url, **options)
        body = read(response)
        found = _items(body, items, url)
        if not found:
            return
        digest = hashlib.sha256(encode(found)).digest()
        if digest == before:
            raise StepError(
                f"{_origin(url)} returns the same page again: does it know the parameter {parameter!r}?",
                code="pages.repeated",
            )
        for item in found:
            yield item
        if more is not None and not _value_at(body, more):
            return
        before, number = digest, number + (1 if counts == "pages" else len(found))
    raise _too_many(url, max_pages)


def _whole(http: HttpClient, url: str) -> str:
    return http.url(url) if isinstance(http, Service) else url


class _Seen:
    """The links or cursors of the pages so far."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._digests: set[bytes] = set()

    def add(self, what: str) -> None:
        """Add a link or a cursor. Raises StepError for an earlier one."""
        digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()
        if digest in self._digests:
            raise StepError(
                f"after page {len(self._digests)}, {_origin(self._url)} leads back to an earlier page",
                code="pages.repeated",
            )
        self._digests.add(digest)


def _items(body: Any, place: BodyPath | None, url: str) -> list[Any]:
    found = body if place is None else _value_at(body, place)
    if not isinstance(found, list):
        where = f" at {place!r}" if isinstance(place, str) else ""
        kind = "nothing" if found is None else "something else"
        raise StepError(f"{_origin(url)} should return a list{where}, but returns {kind}", code="pages.items")
    return found


def _value_at(body: Any, place: BodyPath) -> Any:
    """Return the value at a path in the body, or None."""
    if callable(place):
        return place(body)
    for key in place.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def _has_next(found: Any) -> bool:
    # A cursor may be the number 0, which is equal to False.
    return found is not None and found is not False and found != ""


def _following(url: str, link: str) -> str:
    """Return the URL of the next page. Raises StepError if it has another origin."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, link))
        same = _address(here) == _address(there)
    except ValueError:
        raise StepError(f"the next page of {_origin(url)} has an invalid link", code="pages.link") from None
    if not same or (there.username is not None and there.username != here.username):
        raise StepError(
            f"the next page of {_origin(url)} is at {there.scheme}://{there.hostname}: credentials are not sent to "
            "another origin",
            code="pages.origin",
        )
    return there._replace(netloc=here.netloc, fragment="").geturl()


def _address(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _origin(url: str) -> str:
    # Paths and queries often have secrets.
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}"


def _too_many(url: str, max_pages: int) -> StepError:
    return StepError(
        f"{_origin(url)} has more than {max_pages:,} pages; request larger pages or fewer items",
        code="pages.too_many",
    )
