"""The body's bytes as they arrive: counted and timed, whatever the framework above or the server below does."""

import asyncio
import types
from collections.abc import AsyncIterator, Generator
from functools import partial
from typing import Any, Final, cast

from hookline.clock import Clock
from hookline.errors import RequestTimeout, TooLarge

MIN_RATE: Final = 1024.0
"""Bytes a second that a sender has to reach once `read_timeout` has passed; otherwise a trickle holds a connection."""


@types.coroutine
def _rest(step: Generator[Any, Any, bytes], waiting: Any) -> Generator[Any, Any, bytes]:
    """Await what is left of a coroutine that has begun, and waits for something."""
    while True:
        try:
            given = yield waiting
        except BaseException as error:  # noqa: BLE001 - cancellation too is the coroutine's to take
            resume = partial(step.throw, error)
        else:
            resume = partial(step.send, given)
        try:
            waiting = resume()
        except StopIteration as done:
            return cast(bytes, done.value)


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
        # Most bodies have come by now. A timer for each chunk costs a tenth of accepting a message, so a chunk is
        # asked for first, and timed only where it has to be waited for.
        step = self._source.__anext__().__await__()
        try:
            waiting = next(step)
        except StopIteration as done:
            chunk: bytes = done.value
        else:
            try:
                async with asyncio.timeout(left):
                    chunk = await _rest(step, waiting)
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
