"""How long the lines of order keys are: asked of the store where it matters, and known for a second."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from hookline.kernel.time import Clock

KNOWN_FOR: Final = 1.0
"""Seconds. Counting a line costs as much as it is long."""
KNOWN: Final = 1000
"""Lines whose length is known at once: those that were asked for last."""

_Line: TypeAlias = tuple[str, str]
"""A flow's id, and a key."""


class Lines(Protocol):
    """What is asked of a store."""

    async def line_length(self, flow_id: str, order_key: str, limit: int) -> int: ...


@dataclass(slots=True)
class _Known:
    length: int
    until: float


class LineLengths:
    """The lines of one engine."""

    def __init__(self, store: Lines, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[_Line, _Known] = OrderedDict()
        self._joining: dict[_Line, int] = {}
        # Lines are counted one after the other: however many senders wait, the store counts each once.
        self._asking = asyncio.Lock()

    async def reaches(self, flow_id: str, order_key: str, length: int) -> bool:
        """Whether a line is so long, with what is being stored. Raises StoreError.

        What has left the line within the last second may be counted still.
        """
        line = (flow_id, order_key)
        known = self._current(line)
        if known is None:
            async with self._asking:
                known = self._current(line)
                if known is None:
                    known = await self._ask(line, length)
        return known.length >= length

    def join(self, flow_id: str, order_key: str) -> None:
        """An execution is being stored."""
        line = (flow_id, order_key)
        self._joining[line] = self._joining.get(line, 0) + 1
        self._change(line, 1)

    def joined(self, flow_id: str, order_key: str, *, stored: bool) -> None:
        """It is stored, or it isn't and won't be."""
        line = (flow_id, order_key)
        self._joining[line] -= 1
        if not self._joining[line]:
            del self._joining[line]
        if not stored:
            self._change(line, -1)

    async def _ask(self, line: _Line, limit: int) -> _Known:
        length = await self._store.line_length(*line, limit)
        # Some of those may be stored already, and are counted twice for a second: rather that than not at all.
        known = self._known[line] = _Known(length + self._joining.get(line, 0), self._clock.monotonic() + KNOWN_FOR)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return known

    def _current(self, line: _Line) -> _Known | None:
        known = self._known.get(line)
        if known is None or known.until > self._clock.monotonic():
            return known
        del self._known[line]
        return None

    def _change(self, line: _Line, by: int) -> None:
        known = self._known.get(line)
        if known is not None:
            known.length += by
