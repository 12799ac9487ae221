"""The body's bytes as they arrive: counted and timed, whatever the framework above or the server below does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from hookline.clock import Clock
from hookline.errors import RequestTimeout, TooLarge

MIN_RATE: Final = 1024.0
"""Bytes a second that a sender has to reach once `read_timeout` has passed; otherwise a trickle holds a connection."""


class Wire:
    """Iterates over a body's chunks. Raises TooLarge above `limit` bytes, and RequestTimeout for a slow sender."""

    __slots__ = ("_clock", "_limit", "_read_timeout", "_source", "_started", "received")

    def __init__(self, source: AsyncIterator[bytes], limit: int, clock: Clock, read_timeout: float) -> None:
        """`read_timeout`: seconds that the sender may be silent."""
        self._source = source
        self._limit = limit
        self._clock = clock
        self._read_timeout = read_timeout
        self._started = clock.monotonic()
        self.received = 0

    def __aiter__(self) -> "Wire":
        return self

    async def __anext__(self) -> bytes:
        left = self._read_timeout
        if self.received:
            used = self._clock.monotonic() - self._started
            left = min(left, left + self.received / MIN_RATE - used)
            # A timeout of nothing doesn't stop what is at hand already.
            if left <= 0:
                raise self._too_slow()
        try:
            async with asyncio.timeout(left):
                chunk = await anext(self._source)
        except TimeoutError:
            raise self._too_slow() from None
        self.received += len(chunk)
        if self.received > self._limit:
            raise TooLarge(f"the body is larger than {self._limit} bytes")
        return chunk

    def _too_slow(self) -> RequestTimeout:
        return RequestTimeout(
            f"the body came too slowly: after {self.received} bytes, nothing within {self._read_timeout:g} s "
            f"or less than {MIN_RATE:g} bytes/s"
        )
