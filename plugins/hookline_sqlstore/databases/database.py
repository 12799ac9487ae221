"""What both databases give: grouped writes, and reads beside them."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from hookline_sqlstore.writing.operations import Batch
from hookline_sqlstore.writing.order_places import Lines

T = TypeVar("T")

GROUP: Final = 256
"""Batches that share a transaction at most: a bound on how long the first of them waits for the last."""
PATIENCE: Final = 0.02
"""Seconds that batches which are patient wait at most for one that isn't."""
PATIENT: Final = 16
"""So many of them don't wait any longer: what they free is needed for others."""


class Database(Protocol):
    """A database that one process has."""

    lines: Lines

    async def open(self) -> None:
        """Take it for this process and bring it up to date. Raises StoreError."""
        ...

    async def write(self, batch: Batch) -> None:
        """Return when it is durable. Raises StoreError, IllegalStateChange, ExecutionNotFound."""
        ...

    async def read(self, question: Callable[[Connection], T]) -> T:
        """What a question finds. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Finish what is being written, and give the database free."""
        ...


Committed = Callable[[Batch], None]
"""Called on the event loop for each batch that is durable, before its caller goes on, and also where that was
cancelled meanwhile."""
