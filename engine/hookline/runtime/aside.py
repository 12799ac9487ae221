"""Work in Python that goes through a whole message: done in a thread where the message is large."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from hookline.runtime.uninterrupted import uninterrupted

T = TypeVar("T")


class Aside:
    """Does such work beside the event loop, so that other messages go on meanwhile.

    One at a time: to do it side by side would take no less time, since Python runs in one thread at once, and more
    memory.
    """

    def __init__(self) -> None:
        self._turn: Final = asyncio.Semaphore(1)

    async def run(self, work: Callable[[], T], *, large: bool) -> T:
        """What the work gives; what isn't large is done at once. It must read nothing that changes meanwhile."""
        if not large:
            return work()
        async with self._turn:
            # A thread can't be cancelled: the turn is over once it has ended.
            return await uninterrupted(asyncio.to_thread(work))
