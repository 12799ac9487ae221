"""Intake queues: they make messages durable in front of the store, and hand them over to it later.

A message is in the intake queue, in the store, or in both. It leaves the queue only after the commit that stores it.
Its execution id is made once and stays the same, so a message that is handed over twice is stored once.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from hookline.model.message import Envelope
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Accepted, Duplicate

Insert: TypeAlias = Callable[[Sequence[Envelope]], Awaitable[None]]
"""Returns when messages are durable in the store; it tries again by itself."""
InsertInOrder: TypeAlias = Callable[[Sequence[Envelope], bytes], Awaitable[None]]
"""The same for messages in order, with the position of the last of them as JSON, which is committed with them or after
them."""


class IntakeQueue(Protocol):
    """A durable queue of messages that the store doesn't have yet. Its methods raise StoreError if it can't be used."""

    @property
    def name(self) -> str:
        """The same in all processes that share the messages, whichever servers each of them connects to."""
        ...

    async def open(self) -> None:
        """Connect, and create what is missing. Raises StoreError if what exists was created with other settings."""
        ...

    async def publish(self, envelope: Envelope, *, new: bool = False) -> Accepted | Duplicate | None:
        """Return when the message is durable, or is known to be a duplicate.

        None: the queue has recently had a message with the dedupe key, which has left it for the store, so that only
        the store knows its execution. With `new`, the store has been asked: it has none with an open window.

        Raises StoreError if the message isn't durable, or nobody knows.
        """
        ...

    async def run(self, insert: Insert) -> None:
        """Hand over messages without an order key, in groups, forever. Any number of processes may do so at once.

        A message that can't be decoded, or whose large payload is lost, is kept apart, and logged.
        """
        ...

    async def run_in_order(self, after: bytes | None, insert: InsertInOrder) -> None:
        """Hand over messages with an order key, in the order in which they were published, forever.

        `after`: the last position that was committed; None if there is none. Only one process at a time may do so.
        """
        ...

    async def oldest(self) -> datetime | None:
        """Return the time of the oldest message that hasn't left the queue; None if there is none."""
        ...

    async def close(self) -> None:
        """Disconnect. Messages that were not handed over stay."""
        ...


class IntakeQueueFactory(Protocol):
    """The factory that `register_intake_queues` returns for a URL scheme. Large payloads go to `blobs`."""

    def __call__(self, url: str, *, clock: Any, blobs: Blobs) -> IntakeQueue: ...
