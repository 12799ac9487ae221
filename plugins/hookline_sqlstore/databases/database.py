"""The interface of both databases: grouped writes and concurrent reads."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from hookline_sqlstore.writing.operations import Commit
from hookline_sqlstore.writing.order_places import OrderPlaces

T = TypeVar("T")

GROUP: Final = 256
"""The most commits in one transaction: this limits the time that the first of them waits for the last."""
PATIENCE: Final = 0.02
"""The most seconds that patient commits wait for one that isn't."""
PATIENT: Final = 16
"""The number of patient commits that don't wait any longer, since others need what they release."""


class Listener(Protocol):
    """Told of what becomes durable. Its methods are called on the event loop."""

    def committed(self, commit: Commit) -> None:
        """A commit is durable; called before its caller continues, and also if the caller has given up."""
        ...

    def recovered(self) -> None:
        """The database works again after commits have failed, of which some may have become durable."""
        ...


class Database(Protocol):
    """A database that one process uses."""

    lines: OrderPlaces

    async def open(self) -> None:
        """Lock it for this process and run the migrations. Raises StoreError."""
        ...

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        """Begin to write a commit; the future is done when it is durable. Raises StoreError if the database is closed.

        If it failed, the future has a StoreError, IllegalStateChange or ExecutionNotFound. After a StoreError it may
        become durable all the same; nothing is read before that is known.
        """
        ...

    async def read(self, question: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run a query; a `long` one reads many rows, and no request waits for it. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Finish the current writes, and unlock the database."""
        ...
