"""Deliveries of a broker on their way to a commit."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from hookline.sdk.merge_consume import Delivery


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A delivery that isn't acknowledged yet."""

    delivery: Delivery
    came_at: datetime

    @property
    def comes_again(self) -> bool:
        """Whether the broker delivers it once more where it is not acknowledged."""
        return self.delivery.accepted is not None


class Inbox:
    """Holds at most so many, in the order in which they came: who brings more waits. One brings, and one takes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: deque[Held] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self.closed = False
        """Nothing comes any more."""

    async def put(self, held: Held) -> None:
        """Bring one, as soon as there is room."""
        while len(self._held) >= self._most:
            self._room.clear()
            await self._room.wait()
        if not self.closed or not held.comes_again:
            self._held.append(held)
            self._some.set()

    async def some(self) -> list[Held]:
        """All that are there, once there are any; none where none come any more. They stay until they are `done`."""
        while not self._held and not self.closed:
            self._some.clear()
            await self._some.wait()
        return list(self._held)

    def done(self, held: Collection[Held]) -> None:
        """The first of them are durable, or refused."""
        done = set(held)
        while self._held and self._held[0] in done:
            self._held.popleft()
        self._room.set()

    def close(self) -> None:
        """Nothing comes any more, and nothing can be acknowledged: what will come again by itself is let go."""
        self.closed = True
        self._held = deque(held for held in self._held if not held.comes_again)
        self._some.set()
        self._room.set()
