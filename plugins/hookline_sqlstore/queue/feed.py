"""A flow's feed: what is read ahead for its consumer, and what the consumer has.

The table is the queue; a feed is a window on it. Where the window is at the table's end, an accepted message is handed
on from memory; where it is behind, or full, messages stay in the table and are read in pages. So memory doesn't grow
with the backlog, and the order is the table's.

Several nodes will need leases here: `in_flight` is what this process has taken, and it alone serves the database.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from hookline.api_storage import Envelope

READ_AHEAD: Final = 64
"""Deliveries that a feed holds for its consumer."""


class InlineBudget:
    """Bytes of payloads that the feeds of a queue may hold together; beyond it, deliveries come without theirs."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        self.left += size


class Offer:
    """An execution that is read ahead; with its message where there was room for it."""

    __slots__ = ("envelope", "execution_id", "fresh", "size")

    def __init__(self, execution_id: str, *, fresh: bool, envelope: Envelope | None = None, size: int = 0) -> None:
        self.execution_id = execution_id
        self.fresh = fresh
        self.envelope = envelope
        self.size = size


class Feed:
    """What is known of one flow's executions that wait to be run. Belongs to the event loop; nothing here awaits."""

    def __init__(self, flow_id: str, budget: InlineBudget) -> None:
        self.flow_id = flow_id
        self.behind = True
        """The table may have executions that are ready and not in flight."""
        self.reading = False
        self.returned: list[str] = []
        """Executions to deliver again, whose time has come."""
        self.begun_only = False
        """Only what has started before is handed out."""
        self.signal = asyncio.Event()
        """Something has changed that the consumer may wait for."""
        self._budget = budget
        self._buffer: deque[Offer] = deque()
        self._in_flight: set[str] = set()
        self._missed: set[str] = set()
        """In flight, and ready again all the same: to be looked for once they are not."""

    @property
    def idle(self) -> bool:
        """Nothing would be lost by forgetting this feed."""
        return not (self._in_flight or self.returned)

    @property
    def room(self) -> int:
        return READ_AHEAD - len(self._buffer)

    @property
    def holding(self) -> int:
        """How many ids a page of the table may show that are in flight."""
        return len(self._in_flight)

    def take(self) -> Offer | None:
        """The next to deliver."""
        if not self._buffer:
            return None
        offer = self._buffer.popleft()
        self._budget.give(offer.size)
        return offer

    def accepted(self, envelope: Envelope, size: int, inline: int) -> None:
        """A message is in the table now: hand it on, if all that came before it has been."""
        if envelope.execution_id in self._in_flight:
            return  # a page has had it first
        if self.behind or self.reading or not self.room:
            self.behind = True
        else:
            fits = size <= inline and self._budget.take(size)
            self._add(Offer(envelope.execution_id, fresh=True, envelope=envelope if fits else None, size=size * fits))
        self.signal.set()

    def page(self, offers: Iterable[Offer]) -> None:
        """Put in what was read."""
        for offer in offers:
            if offer.envelope is not None and not self._budget.take(offer.size):
                offer.envelope, offer.size = None, 0
            elif offer.envelope is None:
                offer.size = 0
            self._add(offer)

    def _add(self, offer: Offer) -> None:
        self._in_flight.add(offer.execution_id)
        self._buffer.append(offer)

    def new(self, ids: Iterable[str]) -> list[str]:
        """Those that are not in flight; the others are remembered, since they may stay ready."""
        new = []
        for execution_id in ids:
            if execution_id in self._in_flight:
                self._missed.add(execution_id)
            else:
                new.append(execution_id)
        return new

    def wake(self, execution_id: str) -> None:
        """An execution has become ready."""
        if execution_id in self._in_flight:
            self._missed.add(execution_id)
        else:
            self.look()

    def look(self) -> None:
        """Read the table again."""
        self.behind = True
        self.signal.set()

    def done(self, execution_id: str) -> None:
        """It is not in flight any more."""
        self._in_flight.discard(execution_id)
        if execution_id in self._missed:
            self._missed.discard(execution_id)
            self.look()

    def again(self, execution_id: str) -> None:
        """Deliver it again now."""
        if execution_id in self._in_flight:
            self._in_flight.discard(execution_id)
            self._missed.discard(execution_id)
            self.returned.append(execution_id)
            self.signal.set()

    def drop(self) -> None:
        """Nobody consumes it now: what was read ahead is in the table, and can be read again."""
        while (offer := self.take()) is not None:
            self._in_flight.discard(offer.execution_id)
            if not offer.fresh:
                self.returned.append(offer.execution_id)
        self.behind = True
