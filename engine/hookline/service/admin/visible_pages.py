"""Pages of lists for tokens that are limited to some flows: the pages of these flows, merged."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from hookline.access.caller import Caller
from hookline.kernel.errors import Malformed


class ListPage(Protocol):
    """A page of a list of the store, newest first."""

    @property
    def items(self) -> tuple[Any, ...]: ...
    @property
    def next(self) -> str | None: ...


P = TypeVar("P", bound=ListPage)


async def visible_page(
    by: Caller,
    flow_id: str | None,
    page_of: Callable[[str | None], Awaitable[P]],
    make: Callable[[tuple[Any, ...], str | None], P],
    id_of: Callable[[Any], str],
    limit: int,
) -> P:
    """Return a page with the items that a caller may see.

    `page_of` returns the page of one flow, or of all for None; its cursor is the id of the item before the page. `make`
    makes a page, and `id_of` returns the id by which a list is sorted. Raises the errors of `page_of`.
    """
    if flow_id is not None or by.flows is None:
        return await page_of(flow_id)
    pages = await asyncio.gather(*(page_of(one) for one in sorted(by.flows)))
    found = sorted((item for page in pages for item in page.items), key=id_of, reverse=True)
    more = len(found) > limit or any(page.next is not None for page in pages)
    shown = tuple(found[:limit])
    return make(shown, id_of(shown[-1]) if more and shown else None)


def require_named_flow(by: Caller, flow_id: str | None) -> None:
    """Raise Malformed if a limited token names no flow, and FlowNotFound if it names one that it doesn't see."""
    if by.flows is None:
        return
    if flow_id is None:
        raise Malformed("The token is limited to some flows: name one of them as flow_id.")
    by.require_flow(flow_id)
