"""The interface of both databases: grouped writes and concurrent reads."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection

from hookline.api_storage import Membership, NodeDescription, PartitionUpkeep
from hookline_sqlstore.writing.prepared_commit import Commit

T = TypeVar("T")

GROUP: Final = 256
"""The most commits in one transaction: this limits the time that the first of them waits for the last."""
PATIENCE: Final = 0.02
"""The most seconds that patient commits wait for one that isn't."""
PATIENT: Final = 16
"""The number of patient commits that don't wait any longer, since others need what they release."""


class Listener(Protocol):
    """Told of what becomes durable, and of what other nodes do. Its methods are called on the event loop."""

    def committed(self, commit: Commit) -> None:
        """A commit is durable; called before its caller continues, and also if the caller has given up."""
        ...

    def failed(self, commit: Commit) -> None:
        """A commit has failed, is in doubt, or was withdrawn before its transaction began."""
        ...

    def lost(self) -> None:
        """The lease of this node is lost, and with it all executions that it had."""
        ...

    def ready(self, flow_ids: Iterable[str]) -> None:
        """These flows have executions that any node may claim."""
        ...

    def recovered(self) -> None:
        """The database works again after commits have failed, of which some may have become durable."""
        ...


class Database(Protocol):
    """A database, as one node uses it."""

    @property
    def membership(self) -> Membership:
        """The place of this node among those of the database."""
        ...

    @property
    def identities(self) -> Collection[str]:
        """The identities of the open database: see `Backend`."""
        ...

    async def open(self, node: NodeDescription) -> None:
        """Join as a node, or lock it for this process; run the migrations. Raises StoreError."""
        ...

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        """Begin to write a commit; the future is done when it is durable. Raises StoreError if the database is closed.

        If it failed, the future has a StoreError, IllegalStateChange or ExecutionNotFound. After a StoreError it may
        become durable all the same; nothing is read before that is known.
        """
        ...

    def tell(self, flow_ids: Iterable[str]) -> None:
        """Tell the other nodes of flows with executions that any node may claim."""
        ...

    async def read(self, question: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run a query; a `long` one reads many rows, and no request waits for it. Raises StoreError.

        The function may be called twice: once more if its session has ended.
        """
        ...

    async def keep_partitions(self, longest: timedelta, before: datetime) -> PartitionUpkeep:
        """Keep the partitions of the history, if there are any. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Finish the current writes, and unlock the database."""
        ...
