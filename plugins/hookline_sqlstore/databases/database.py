"""The interface of both databases: grouped writes and concurrent reads."""

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


class Database(Protocol):
    """A database that one process uses."""

    lines: OrderPlaces

    async def open(self) -> None:
        """Lock it for this process and run the migrations. Raises StoreError."""
        ...

    async def write(self, commit: Commit) -> None:
        """Return when the commit is durable. Raises StoreError, IllegalStateChange, ExecutionNotFound."""
        ...

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Run a query. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Finish the current writes, and unlock the database."""
        ...


Committed = Callable[[Commit], None]
"""Called on the event loop for each durable commit, before its caller continues, and also if the caller was cancelled.
"""
