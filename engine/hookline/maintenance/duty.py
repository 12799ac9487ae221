"""Work that one node does for all, as long as it has the duty."""

import asyncio
from collections.abc import Awaitable, Callable

from hookline.kernel.clocks import Clock
from hookline.storage.cluster import Membership, has_duty


class Duty:
    """A duty for which this node competes with other nodes."""

    def __init__(self, membership: Membership, name: str, clock: Clock) -> None:
        self._membership = membership
        self._name = name
        self._clock = clock
        self._work: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """True while this node does the work."""
        return self._work is not None

    async def run(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do the work whenever this node has the duty, until cancelled. Raises what the work raises."""
        while True:
            await has_duty(self._membership, self._name, self._clock)
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
        """End the work, since this node has lost its lease; it begins again once this node has the duty again."""
        task = self._work
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))


async def _await(work: Callable[[], Awaitable[object]]) -> None:
    await work()
