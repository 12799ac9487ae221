"""The interfaces of the database that this room needs."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from hookline_sqlstore.writing.prepared_commit import Commit

T = TypeVar("T")


class TablesAccess(Protocol):
    """Writes under the lease of this node, and reads."""

    def write(self, commit: Commit) -> "asyncio.Future[None]":
        """Begin to write a commit. See `Database.write`."""
        ...

    async def read(self, question: Callable[[Connection], T], *, long: bool = False) -> T:
        """Run a query. See `Database.read`."""
        ...


class ReadyListener(Protocol):
    """Told of executions that any node may claim."""

    def ready(self, flow_ids: Iterable[str]) -> None:
        """These flows have executions that any node may claim."""
        ...
