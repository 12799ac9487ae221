"""The place of this node among those of its database: its lease, and what happens when that is lost."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hookline.api import StoreError
from hookline.api_storage import NodeDescription
from hookline_sqlstore.cluster.lease import Lease, LeaseLost


class PostgresMembership:
    """Has at most one lease at a time. A new one is taken only when nothing runs any more under the one before."""

    def __init__(self) -> None:
        self.node = NodeDescription()
        self.on_lost: Callable[[], Awaitable[None]] | None = None
        self.on_cancel: Callable[[Sequence[str]], None] | None = None
        self._lease: Lease | None = None
        self._dropping: asyncio.Future[None] | None = None

    @property
    def lease(self) -> Lease:
        """The present lease. Raises LeaseLost if there is none."""
        if self._lease is None:
            raise LeaseLost
        return self._lease

    @property
    def held(self) -> bool:
        """True while no other node can have taken over what this one runs."""
        return self._lease is not None and self._lease.held

    async def joined(self, driver: Any) -> int:
        """Let a new session continue the lease, or register; return the database's time. Raises StoreError."""
        if self._lease is not None:
            return await self._lease.take_session(driver)
        if self._dropping is not None and not self._dropping.done():
            raise StoreError("this node has lost its lease, and still drops what it ran")
        lease = Lease(self.node)
        now = await lease.register(driver)
        self._lease = lease
        return now

    def lose(self) -> None:
        """Note that the lease is lost, and let everything be dropped that ran under it."""
        if self._lease is None:
            return
        self._lease.lost()
        self._lease = None
        if self.on_lost is not None:
            self._dropping = asyncio.ensure_future(self._drop(self.on_lost))

    async def _drop(self, on_lost: Callable[[], Awaitable[None]]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await on_lost()
