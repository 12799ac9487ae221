"""Going through lists that services give in pages, in the three usual ways, item by item.

    async for order in linked_items(ctx.http, f"{ctx.credential.base_url}/orders", headers=headers):
        yield order

Each is an async iterator, so that an action may give it as its result, whatever the list's length. Pages are read one
at a time. Whatever the service does, it comes to an end: at a bound on pages, and where a page leads back to one that
was there before. An end that isn't the list's is an error, and never a shorter list.

`items` says where a page's items are: keys with dots (`"data.orders"`), a function of the body, or None where the body
is the list. `read` gives a response's body; it may raise StepError where a service says in there that it failed. All
other options are those of `HttpClient.request`, and are the same for each page.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, TypeAlias, Unpack
from urllib.parse import SplitResult, urljoin, urlsplit

from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.sdk.http import HttpClient, RequestOptions, Response

#: A target, a quoted text, a separator, or a word.
_TOKEN: Final = re.compile(r'<[^>]*>|"(?:[^"\\]|\\.)*"|[;,=]|[^\s;,="<]+')


def next_link(header: str) -> str | None:
    """The target of the first link with the relation `next`, as it stands there; None where there is none."""
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
            # Of a relation that is said twice, the first counts.
            if name == "rel" and relation is None:
                relation = part[1:-1] if part.startswith('"') else part
            expects = ""
    return None


BodyPath: TypeAlias = str | Callable[[Any], Any]
"""Where something is in a page's body: keys with dots between them, or a function of the body."""

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
    """Items of pages each of which links to the next: in the header `Link` (`rel="next"`), or in the body at `link`.

    `params` are for the first page: links have their own. A link is followed within the first URL's scheme, host and
    port alone, since the request's headers go with it. Raises StepError: `pages.origin` for a link elsewhere,
    `pages.repeated` for one to a page that was there, `pages.too_many`, `pages.items`, and what `request` raises.
    """
    seen = _Seen(url)
    for _ in range(max_pages):
        seen.add(url)
        response = await http.request(method, url, **options)
        body = read(response)
        for item in _items(body, items, url):
            yield item
        found = next_link(response.headers.get("link", "")) if link is None else _said(body, link)
        if not _goes_on(found):
            return
        if not isinstance(found, str):
            raise StepError(f"{_origin(url)} gives no text where the next page's link should be", code="pages.link")
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
    """Items of pages each of which has a cursor in its body, with which the query asks for the next.

    `cursor` says where that is; where there is none, or null, false or an empty text, the list has ended. Raises
    StepError: `pages.repeated` for a cursor that was there before, `pages.too_many`, `pages.items`, and what `request`
    raises.
    """
    seen, params = _Seen(url), dict(options.get("params") or {})
    if parameter in params:
        seen.add(str(params[parameter]))
    for _ in range(max_pages):
        options["params"] = params
        response = await http.request(method, url, **options)
        body = read(response)
        for item in _items(body, items, url):
            yield item
        found = _said(body, cursor)
        if not _goes_on(found):
            return
        if not isinstance(found, str | int) or found is True:
            raise StepError(f"{_origin(url)} gives no text where the cursor should be", code="pages.cursor")
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
    """Items of pages that the query asks for by number.

    `parameter` counts pages from `first`, or with `counts="items"` the items before the page: an offset. The list ends
    with a page that has no items; with the one of which `more` says false, where the body says whether there are
    more. How many a page has is the caller's to ask for in `params`, and may turn out less. Raises StepError:
    `pages.repeated` for a page that is the same as the one before, as where a service doesn't know the parameter,
    `pages.too_many`, `pages.items`, and what `request` raises.
    """
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
                f"{_origin(url)} gives the same page again: does it know the parameter {parameter!r}?",
                code="pages.repeated",
            )
        for item in found:
            yield item
        if more is not None and not _said(body, more):
            return
        before, number = digest, number + (1 if counts == "pages" else len(found))
    raise _too_many(url, max_pages)


class _Seen:
    """What led to the pages so far."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._digests: set[bytes] = set()

    def add(self, what: str) -> None:
        """Raises StepError for what was there before."""
        digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()
        if digest in self._digests:
            raise StepError(
                f"after page {len(self._digests)}, {_origin(self._url)} leads back to a page that was there before",
                code="pages.repeated",
            )
        self._digests.add(digest)


def _items(body: Any, place: BodyPath | None, url: str) -> list[Any]:
    found = body if place is None else _said(body, place)
    if not isinstance(found, list):
        where = f" at {place!r}" if isinstance(place, str) else ""
        kind = "nothing" if found is None else "what is none"
        raise StepError(f"{_origin(url)} should give a list{where}, and gives {kind}", code="pages.items")
    return found


def _said(body: Any, place: BodyPath) -> Any:
    """What a body has at a place; None where it has nothing there."""
    if callable(place):
        return place(body)
    for key in place.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def _goes_on(found: Any) -> bool:
    # A cursor may be the number 0, which equals False.
    return found is not None and found is not False and found != ""


def _following(url: str, link: str) -> str:
    """The next page's URL. Raises StepError where it isn't where this one is."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, link))
        same = _address(here) == _address(there)
    except ValueError:
        raise StepError(f"the next page of {_origin(url)} has a link that is no URL", code="pages.link") from None
    if not same or (there.username is not None and there.username != here.username):
        raise StepError(
            f"the next page of {_origin(url)} is said to be at {there.scheme}://{there.hostname}: credentials don't go "
            "elsewhere",
            code="pages.origin",
        )
    return there._replace(netloc=here.netloc, fragment="").geturl()


def _address(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)


def _origin(url: str) -> str:
    # Paths and queries hold secrets as often as not.
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}"


def _too_many(url: str, max_pages: int) -> StepError:
    return StepError(
        f"{_origin(url)} has more than {max_pages:,} pages; ask for larger ones, or for fewer items",
        code="pages.too_many",
    )
