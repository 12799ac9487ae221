"""The feed of a flow: the deliveries that are read ahead for its consumer, and those that the consumer has.

The table is the queue, and a feed is a window on it. If the window is at the end of the table, an accepted message is
passed on from memory; if it is behind, or full, messages stay in the table and are read in pages. So the memory doesn't
grow with the backlog, and the order is that of the table.

Several nodes may have a window on one table. What is in a window, or in flight, this node has claimed: its lease is the
owner of those rows, and no other node takes them.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from hookline.api_storage import Envelope

READ_AHEAD: Final = 64
"""The most deliveries that a feed holds for its consumer."""


class InlineBudget:
    """The bytes of payloads that all feeds of a queue may hold; beyond that, deliveries come without their payloads."""

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
    """An execution that is read ahead, with its message if there was room for it."""

    __slots__ = ("envelope", "execution_id", "fresh", "size")

    def __init__(self, execution_id: str, *, fresh: bool, envelope: Envelope | None = None, size: int = 0) -> None:
        self.execution_id = execution_id
        self.fresh = fresh
        self.envelope = envelope
        self.size = size


class Feed:
    """The executions of one flow that are ready or in flight. It belongs to the event loop; nothing here awaits.

    Each flow that is served has one, so that it is kept small.
    """

    __slots__ = (
        "_budget",
        "_buffer",
        "_claimed_again",
        "_in_flight",
        "_missed",
        "_places",
        "begun_only",
        "behind",
        "flow_id",
        "full",
        "limit",
        "looked",
        "reading",
        "returned",
        "signal",
    )

    def __init__(self, flow_id: str, budget: InlineBudget) -> None:
        self.flow_id = flow_id
        self.behind = True
        """The table may hold executions that are ready and not in flight."""
        self.reading = False
        self.returned: list[str] = []
        """Executions that are due for another delivery."""
        self.begun_only = False
        """Only executions that have started before are delivered."""
        self.limit: int | None = None
        """The most executions that all nodes together may have; None if each node counts its own."""
        self.full = False
        """The nodes together have as many, so that nothing is read until an execution ends."""
        self.looked = False
        """The table is to be read again for another reason than an accepted message."""
        self.signal = asyncio.Event()
        """Set when something changes that the consumer may wait for."""
        self._budget = budget
        # Not a deque: one takes 760 bytes also if it is empty, and this is never long.
        self._buffer: list[Offer] = []
        self._in_flight: set[str] = set()
        self._missed: set[str] = set()
        """Executions in flight that have become ready again: to be read when they leave flight."""
        self._claimed_again: set[str] = set()
        """Those of them that this node has claimed again already."""
        self._places = 0
        """The number of places that are kept for messages that are being accepted."""

    @property
    def idle(self) -> bool:
        """True if nothing is lost when this feed is forgotten."""
        return not (self._in_flight or self.returned or self._places)

    @property
    def room(self) -> int:
        return max(0, READ_AHEAD - len(self._buffer) - self._places)

    @property
    def in_flight(self) -> Collection[str]:
        """The ids of the deliveries that are read ahead, or that the consumer has."""
        return self._in_flight

    def take(self) -> Offer | None:
        """Return the next delivery."""
        if not self._buffer:
            return None
        offer = self._buffer.pop(0)
        self._budget.give(offer.size)
        return offer

    def keep_place(self) -> bool:
        """Keep a place for a message that is being accepted, if all earlier ones have been passed on."""
        if self.behind or self.reading or self.begun_only or self.limit is not None or not self.room:
            self.behind = True
            return False
        self._places += 1
        return True

    def give_place(self) -> None:
        """Give up the place that was kept for a message; without any room, nothing was read."""
        self._places -= 1
        self.signal.set()

    def accepted(self, envelope: Envelope, size: int, inline: int, *, kept: bool) -> None:
        """Note an accepted message; pass it on if a place was kept for it."""
        if kept:
            self.give_place()
        if envelope.execution_id in self._in_flight:
            return  # a page has had it first
        if kept:
            fits = size <= inline and self._budget.take(size)
            self._add(Offer(envelope.execution_id, fresh=True, envelope=envelope if fits else None, size=size * fits))
        else:
            self.behind = True
        if not self.full:
            self.signal.set()

    def begun(self, execution_id: str) -> None:
        """Note that an execution was started when it was accepted, and runs."""
        self._in_flight.add(execution_id)

    def page(self, offers: Iterable[Offer]) -> None:
        """Add executions that were read from the table."""
        for offer in offers:
            if offer.execution_id in self._in_flight:
                # It was parked, has become ready, and was claimed again, before its last delivery was acknowledged.
                self._claimed_again.add(offer.execution_id)
                continue
            if offer.envelope is not None and not self._budget.take(offer.size):
                offer.envelope, offer.size = None, 0
            elif offer.envelope is None:
                offer.size = 0
            self._add(offer)

    def _add(self, offer: Offer) -> None:
        self._in_flight.add(offer.execution_id)
        self._buffer.append(offer)

    def new(self, ids: Iterable[str]) -> list[str]:
        """Return the ids that are not in flight; remember the others, since they may stay ready."""
        new = []
        for execution_id in ids:
            if execution_id in self._in_flight:
                self._missed.add(execution_id)
            else:
                new.append(execution_id)
        return new

    def wake(self, execution_id: str) -> None:
        """Note that an execution has become ready."""
        if execution_id in self._in_flight:
            self._missed.add(execution_id)
        else:
            self.look()

    def look(self) -> None:
        """Read the table again."""
        self.behind = self.looked = True
        self.full = False
        self.signal.set()

    def done(self, execution_id: str) -> None:
        """Note that an execution isn't in flight any more."""
        self._in_flight.discard(execution_id)
        if self.limit is not None:
            self.look()  # there may be room for another one
        if execution_id in self._claimed_again:
            self._claimed_again.discard(execution_id)
            self._missed.discard(execution_id)
            self.returned.append(execution_id)
            self.signal.set()
        elif execution_id in self._missed:
            self._missed.discard(execution_id)
            self.look()

    def again(self, execution_id: str) -> None:
        """Deliver an execution again now."""
        if execution_id in self._in_flight:
            self._in_flight.discard(execution_id)
            self._missed.discard(execution_id)
            self._claimed_again.discard(execution_id)
            self.returned.append(execution_id)
            self.signal.set()

    def forget(self) -> None:
        """Forget everything: this node has lost what it had claimed."""
        while self.take() is not None:
            pass
        self._in_flight.clear()
        self._missed.clear()
        self._claimed_again.clear()
        self.returned.clear()
        self.look()

    def drop(self) -> None:
        """Drop the deliveries that were read ahead, since the flow has no consumer; the table still has them."""
        while (offer := self.take()) is not None:
            self._in_flight.discard(offer.execution_id)
            self.returned.append(offer.execution_id)
        self.behind = True
