"""Work that a node does only while it has its lease, and work that one node does for all, while it has the duty."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.storage.cluster import Membership, has_duty

_AGAIN: Final = 1.0
"""Seconds until a node without a lease looks whether it has one."""


class LeasedWork:
    """Work that ends when this node loses its lease, and begins again under the next one."""

    def __init__(self, membership: Membership, clock: Clock) -> None:
        self._membership = membership
        self._clock = clock
        self._work: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """True while this node does the work."""
        return self._work is not None

    async def run(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work whenever this node may, until cancelled. Raises what the work raises."""
        while True:
            await self._may_begin()
            task = self._work = asyncio.ensure_future(_await(work))
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                await self.drop()
                raise
            finally:
                self._work = None
            if not task.cancelled():
                task.result()
                return

    async def drop(self) -> None:
        """End the work, since this node has lost its lease; it begins again as soon as this node may do it."""
        task = self._work
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))

    async def _may_begin(self) -> None:
        while not self._membership.held:
            await self._clock.sleep(_AGAIN)


class Duty(LeasedWork):
    """A duty for which this node competes with other nodes."""

    def __init__(self, membership: Membership, name: str, clock: Clock) -> None:
        super().__init__(membership, clock)
        self._name = name

    async def _may_begin(self) -> None:
        await has_duty(self._membership, self._name, self._clock)


async def _await(work: Callable[[], Awaitable[object]]) -> None:
    await work()
