"""What the queue of an SQL store knows without its tables."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from hookline.testing.clock import ManualClock
from hookline_sqlstore.queue.feed import Feed
from hookline_sqlstore.queue.pages import Page
from hookline_sqlstore.queue.queue import SqlQueue


class _Pages:
    def __init__(self, *, shared: bool) -> None:
        self.shared = shared

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        return Page((), complete=True)


@pytest.mark.cluster_rule("C7")
@pytest.mark.parametrize("shared", [False, True])
async def test_nothing_starts_at_once_before_the_limit_over_all_nodes_is_known(shared: bool) -> None:
    nothing = cast(Any, None)
    queue = SqlQueue(nothing, nothing, ManualClock(), _Pages(shared=shared))
    assert queue.starts_at_once("orders") is not shared
    consuming = asyncio.ensure_future(anext(queue.deliveries("orders", limit=2)))
    await asyncio.sleep(0)
    assert queue.starts_at_once("orders") is not shared
    consuming.cancel()
    await asyncio.wait((consuming,))
