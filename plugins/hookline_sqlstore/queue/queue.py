"""The queue: delivers executions from their table to the flows."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Final

from hookline.api import StoreError
from hookline.api_storage import (
    Accept,
    Accepted,
    Clock,
    Delivery,
    Duplicate,
    Envelope,
    ImmediateStart,
    Start,
    State,
    Store,
    Stored,
)
from hookline_sqlstore.databases.database import Database
from hookline_sqlstore.queue.flow_feed import READ_AHEAD, Feed, InlineBudget, Offer
from hookline_sqlstore.queue.pages import Pages
from hookline_sqlstore.reading.executions import executions
from hookline_sqlstore.writing.prepared_commit import INLINE, Commit, prepare_commit

READ_AHEAD_BYTES: Final = 8 * 1024 * 1024
"""The payload bytes that all feeds may hold together."""
_FULL: Final = 0.5
"""Seconds until a node looks again for room for an execution of a flow that is limited over all nodes."""


class SqlDelivery:
    """An execution that was delivered to the consumer."""

    __slots__ = ("_lease", "_queue", "envelope", "execution_id", "flow_id", "fresh", "start")

    def __init__(self, queue: "SqlQueue", flow_id: str, offer: Offer, start: Start | None = None) -> None:
        self._queue = queue
        self._lease = queue.lease
        self.execution_id = offer.execution_id
        self.flow_id = flow_id
        self.envelope = offer.envelope
        self.fresh = offer.fresh
        self.start = start

    @property
    def current(self) -> bool:
        return self._lease == self._queue.lease

    async def ack(self) -> None:
        if self.current:
            self._queue.acknowledge(self.flow_id, self.execution_id)

    async def redeliver(self, after: float) -> None:
        # After the loss of a lease, the table alone tells what this node has.
        if self.current:
            self._queue.deliver_again(self.flow_id, self.execution_id, after)


class SqlQueue:
    """Delivers the accepted executions of the store to the flows. Accepting is a commit like any other."""

    def __init__(self, database: Database, store: Store, clock: Clock, pages: Pages) -> None:
        self._database = database
        self._store = store
        self._pages = pages
        self.lease = 0
        """Counts the leases that this node has lost."""
        self._clock = clock
        self._budget = InlineBudget(READ_AHEAD_BYTES)
        self._feeds: dict[str, Feed] = {}
        self._consumers: dict[str, object] = {}
        self._pauses: set[asyncio.Task[None]] = set()
        self._at_once: dict[str, ImmediateStart] = {}
        """The places of executions that are being accepted, by execution id."""
        self._closed = False

    @property
    def read_ahead(self) -> int:
        """The number of deliveries that all feeds hold."""
        return sum(READ_AHEAD - feed.room for feed in self._feeds.values())

    @property
    def read_ahead_bytes(self) -> int:
        """The bytes of payloads that all feeds hold."""
        return READ_AHEAD_BYTES - self._budget.left

    async def put(
        self, envelope: Envelope, *, patient: bool = False, at_once: ImmediateStart | None = None
    ) -> Accepted | Duplicate:
        if self._closed:
            raise StoreError("the queue is closed")
        if at_once is not None:
            return await self._put_started(envelope, at_once)
        (result,) = await self._store.commit([Accept(envelope, patient=patient)])
        assert isinstance(result, Accepted | Duplicate)  # noqa: S101 - an Accept gives no other
        return result

    def begin(self, envelope: Envelope, stored: Stored, *, patient: bool = False) -> None:
        if self._closed:
            raise StoreError("the queue is closed")
        commit = prepare_commit((Accept(envelope, patient=patient),), self.claims)
        self._database.write(commit).add_done_callback(partial(_tell, commit, stored))

    async def _put_started(self, envelope: Envelope, at_once: ImmediateStart) -> Accepted | Duplicate:
        self._at_once[envelope.execution_id] = at_once
        try:
            (result,) = await self._store.commit([Accept(envelope, start=at_once.change)])
        except StoreError:
            if envelope.execution_id not in self._at_once:
                # It was stored in the moment in which it was given up, and runs.
                return Accepted(envelope.execution_id)
            # It may be stored all the same, or will be: then the table tells, and it is delivered like one that ran
            # when the process died.
            self._feed(envelope.flow_id).begun(envelope.execution_id)
            self.deliver_again(envelope.flow_id, envelope.execution_id, 0)
            raise
        finally:
            self._at_once.pop(envelope.execution_id, None)
        assert isinstance(result, Accepted | Duplicate)  # noqa: S101 - an Accept gives no other
        return result

    def committed(self, commit: Commit) -> None:
        """Pass on the accepted messages of a durable commit."""
        for place, envelope in commit.started:
            # Without a place, its caller has given up, and it is delivered from the table.
            at_once = self._at_once.get(envelope.execution_id)
            if at_once is not None and isinstance(commit.results[place], Accepted):
                del self._at_once[envelope.execution_id]
                self._feed(envelope.flow_id).begun(envelope.execution_id)
                offer = Offer(envelope.execution_id, fresh=True, envelope=envelope)
                at_once.run(SqlDelivery(self, envelope.flow_id, offer, at_once.change))
        left: set[str] = set()
        for place, envelope, size, _, claimed in commit.accepts:
            feed = self._feeds.get(envelope.flow_id)
            # Without a feed, the flow has no consumer here: the message stays in the table.
            if feed is None or (feed.begun_only and not claimed):
                left.add(envelope.flow_id)
                continue
            if not claimed and not feed.room:
                left.add(envelope.flow_id)
            if isinstance(commit.results[place], Accepted):
                feed.accepted(envelope, size, INLINE, kept=claimed)
            elif claimed:
                feed.give_place()
        for flow_id in commit.unblocked:
            feed = self._feeds.get(flow_id)
            if feed is not None:
                feed.look()
            if feed is None or not feed.room:
                left.add(flow_id)
        if left:
            self._database.tell(left)

    def claims(self, envelope: Envelope) -> bool:
        """Claim a message that is being accepted, if the flow's consumer has room for it."""
        feed = self._feeds.get(envelope.flow_id)
        # Only the table knows whether it is the turn of a message with an order key.
        if feed is None or envelope.order_key is not None or envelope.flow_id not in self._consumers or self._closed:
            return False
        return feed.keep_place()

    def failed(self, commit: Commit) -> None:
        """Give up what was claimed for a commit that failed, or is in doubt. If it takes place, the table tells."""
        for accepted in commit.accepts:
            if accepted.claimed:
                self._feeds[accepted.envelope.flow_id].give_place()

    def lost(self) -> None:
        """Forget all deliveries: other nodes may have them."""
        self.lease += 1
        for task in self._pauses:
            task.cancel()
        for feed in tuple(self._feeds.values()):
            feed.forget()

    def ready(self, flow_ids: Iterable[str]) -> None:
        """Read the table again for flows that have executions for any node."""
        for flow_id in flow_ids:
            feed = self._feeds.get(flow_id)
            if feed is not None:
                feed.look()

    def look(self) -> None:
        """Read the table again for every flow, since commits may have taken place that nobody was told of."""
        for feed in self._feeds.values():
            feed.look()

    async def wake(self, flow_id: str, execution_id: str) -> None:
        feed = self._feeds.get(flow_id)
        if feed is not None:
            feed.wake(execution_id)

    def starts_at_once(self, flow_id: str) -> bool:
        if not self._pages.shared:
            return True
        # The limit is that of the consumer, which may not have begun yet.
        feed = self._feeds.get(flow_id)
        return feed is not None and feed.limit is None and flow_id in self._consumers

    async def deliveries(
        self, flow_id: str, *, begun_only: bool = False, limit: int | None = None
    ) -> AsyncGenerator[Delivery, None]:
        """Deliver to the one consumer of a flow; a second one takes over, and the iteration of the first ends.

        Raises StoreError if the table can't be read; the deliveries that were read ahead then go to the next consumer.
        """
        me = self._consumers[flow_id] = object()
        feed = self._feed(flow_id)
        feed.begun_only = begun_only
        # A single process keeps to the limit by itself.
        feed.limit = limit if self._pages.shared else None
        feed.look()  # also tells the consumer before this one
        try:
            while not self._closed and self._consumers.get(flow_id) is me:
                offer = feed.take()
                if offer is not None:
                    yield SqlDelivery(self, flow_id, offer)
                elif feed.room and (feed.returned or (feed.behind and not feed.full)) and not feed.reading:
                    await self._read(feed)
                else:
                    await _changed(feed)
        except StoreError:
            if not self._closed:
                raise
        finally:
            if self._consumers.get(flow_id) is me:
                del self._consumers[flow_id]
                feed.drop()
                self._forget(feed)

    async def _read(self, feed: Feed) -> None:
        """Read a page of the table. Any change meanwhile marks the feed as behind again."""
        room = feed.room
        again, lease = feed.returned[:room], self.lease
        feed.behind = feed.full = feed.looked = False
        feed.reading = True
        try:
            page = await self._pages.next(feed, again, room)
        except BaseException:
            feed.behind = True
            raise
        finally:
            feed.reading = False
            # A consumer that has taken over meanwhile waits for this.
            feed.signal.set()
        if lease != self.lease:
            return  # what was read belongs to a lease that is lost
        if not page.complete:
            feed.behind = True
        # What has changed meanwhile may be an end, which makes room.
        feed.full = page.full and not feed.looked
        del feed.returned[: len(again)]
        feed.page(
            Offer(
                row.id,
                fresh=row.state == State.QUEUED,
                envelope=(envelope := executions.readable(row)),
                size=0 if envelope is None else len(row.payload),
            )
            for row in page.rows
        )

    def acknowledge(self, flow_id: str, execution_id: str) -> None:
        feed = self._feeds.get(flow_id)
        if feed is not None:
            feed.done(execution_id)
            self._forget(feed)

    def deliver_again(self, flow_id: str, execution_id: str, after: float) -> None:
        """Deliver it again after some seconds; until then it is in flight. This isn't stored: after a crash it is
        delivered at once."""
        feed = self._feeds.get(flow_id)
        if feed is None or self._closed:
            return
        if after <= 0:
            feed.again(execution_id)
            return

        async def pause() -> None:
            await self._clock.sleep(after)
            # It is in flight, so its feed was not forgotten.
            feed.again(execution_id)

        task = asyncio.get_running_loop().create_task(pause(), name=f"redelivery of {execution_id}")
        self._pauses.add(task)
        task.add_done_callback(self._pauses.discard)

    def _feed(self, flow_id: str) -> Feed:
        feed = self._feeds.get(flow_id)
        if feed is None:
            feed = self._feeds[flow_id] = Feed(flow_id, self._budget)
        return feed

    def _forget(self, feed: Feed) -> None:
        if feed.idle and feed.flow_id not in self._consumers:
            self._feeds.pop(feed.flow_id, None)

    def open(self) -> None:
        """Begin to deliver, also after it was closed: then the table alone tells what this node has."""
        if self._closed:
            self._closed = False
            self.lost()
            for feed in tuple(self._feeds.values()):
                self._forget(feed)

    async def close(self) -> None:
        """End the iterations; the deliveries that were read ahead stay in the table."""
        self._closed = True
        for feed in self._feeds.values():
            feed.signal.set()
        pauses = list(self._pauses)
        for task in pauses:
            task.cancel()
        await asyncio.gather(*pauses, return_exceptions=True)


async def _changed(feed: Feed) -> None:
    """Return when there may be something to deliver."""
    feed.signal.clear()
    if not feed.full:
        await feed.signal.wait()
        return
    # Another node that ends an execution fills its room itself, unless it is stopping.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FULL):
            await feed.signal.wait()
            return
    feed.look()


def _tell(commit: Commit, stored: Stored, done: "asyncio.Future[None]") -> None:
    """Give the result of the one message of a commit."""
    error = done.exception()
    if error is not None:
        stored(error)
        return
    (result,) = commit.results
    assert isinstance(result, Accepted | Duplicate)  # noqa: S101 - an Accept gives no other
    stored(result)
