"""What the queue of an SQL store knows without its tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from hookline.storage.change_declarations import Accept, Accepted
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline.testing.eventually import assert_eventually
from hookline_sqlstore.queue.flow_feed import READ_AHEAD, Feed
from hookline_sqlstore.queue.pages import Page
from hookline_sqlstore.queue.queue import SqlQueue
from hookline_sqlstore.writing.prepared_commit import Commit, prepare_commit


class _Pages:
    """Pages without executions. `full`: those of a flow of which the nodes have as many as they may have."""

    def __init__(self, *, shared: bool, full: bool = False) -> None:
        self.shared = shared
        self.full = full
        self.read = 0

    async def next(self, feed: Feed, again: Sequence[str], room: int) -> Page:
        self.read += 1
        await asyncio.sleep(0)
        return Page((), complete=True, full=self.full)


@contextlib.asynccontextmanager
async def _consumed(pages: _Pages, limit: int | None = 2) -> AsyncIterator[SqlQueue]:
    """A queue whose only flow, `orders`, has a consumer."""
    nothing = cast(Any, None)
    queue = SqlQueue(nothing, nothing, ManualClock(), pages)
    consuming = asyncio.ensure_future(anext(queue.deliveries("orders", limit=limit)))
    await _settled()
    yield queue
    consuming.cancel()
    await asyncio.wait((consuming,))


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def _accept(queue: SqlQueue, envelopes: Envelopes) -> None:
    """Tell a queue of a message that was stored."""
    commit = _prepare(queue, envelopes)
    commit.results[0] = Accepted(commit.accepts[0].envelope.execution_id)
    queue.committed(commit)


def _prepare(queue: SqlQueue, envelopes: Envelopes) -> Commit:
    return prepare_commit((Accept(envelopes.make()),), queue.claims)


@pytest.mark.cluster_rule("C7")
@pytest.mark.parametrize("shared", [False, True])
async def test_nothing_starts_at_once_before_the_limit_over_all_nodes_is_known(shared: bool) -> None:
    nothing = cast(Any, None)
    assert SqlQueue(nothing, nothing, ManualClock(), _Pages(shared=shared)).starts_at_once("orders") is not shared
    async with _consumed(_Pages(shared=shared)) as queue:
        assert queue.starts_at_once("orders") is not shared


@pytest.mark.cluster_rule("C7")
async def test_messages_of_a_flow_at_its_limit_are_looked_for_when_an_execution_has_ended() -> None:
    pages, envelopes = _Pages(shared=True, full=True), Envelopes(ManualClock())
    async with _consumed(pages) as queue:
        assert pages.read == 1
        for _ in range(5):
            _accept(queue, envelopes)
            await _settled()
        assert pages.read == 1
        queue.acknowledge("orders", "one that ran here")
        await _settled()
        assert pages.read == 2
        queue.ready(["orders"])
        await _settled()
        assert pages.read == 3


@pytest.mark.cluster_rule("C7")
async def test_an_end_while_the_table_is_read_is_not_missed_at_the_limit() -> None:
    pages, envelopes = _Pages(shared=True, full=True), Envelopes(ManualClock())
    async with _consumed(pages) as queue:
        queue.acknowledge("orders", "one that ran here")
        await asyncio.sleep(0)
        assert pages.read == 2, "it is being read"
        _accept(queue, envelopes)
        queue.acknowledge("orders", "another")
        await _settled()
        assert pages.read == 3


@pytest.mark.cluster_rule("C7")
async def test_room_that_a_stopping_node_leaves_is_found_soon() -> None:
    pages = _Pages(shared=True, full=True)
    async with _consumed(pages):
        await assert_eventually(lambda: pages.read > 1)


async def test_nothing_is_read_while_every_place_is_kept_for_a_message_that_is_being_accepted() -> None:
    pages, envelopes = _Pages(shared=False), Envelopes(ManualClock())
    async with _consumed(pages, None) as queue:
        assert pages.read == 1
        kept = [_prepare(queue, envelopes) for _ in range(READ_AHEAD)]
        assert all(commit.accepts[0].claimed for commit in kept)
        assert not _prepare(queue, envelopes).accepts[0].claimed
        queue.look()
        await _settled()
        assert pages.read == 1
        queue.failed(kept[0])
        await _settled()
        assert pages.read == 2, "there is room again"
