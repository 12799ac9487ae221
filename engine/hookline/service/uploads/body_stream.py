"""The body of a request as it arrives, counted and timed, and held until its signature is checked."""

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from typing import Any, Final, cast

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import RequestTimeout, TooLarge
from hookline.service.uploads.request_blobs import RequestBlobs
from hookline.storage.blobs import Blob, BlobWriter

MIN_RATE: Final = 1024.0
"""Bytes a second below which a sender counts as silent; otherwise a trickle of bytes could keep a connection."""


@types.coroutine
def _rest(step: Generator[Any, Any, bytes], waiting: Any) -> Generator[Any, Any, bytes]:
    """Await the rest of a coroutine that has begun and waits for something."""
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


class BodyStream:
    """Iterates over the chunks of a body.

    Raises TooLarge above `limit` bytes, and RequestTimeout if the sender is slow. Only the time that is spent waiting
    for the sender counts, not the time in which its bytes are processed.
    """

    __slots__ = ("_clock", "_ends", "_lag", "_limit", "_longest", "_read_timeout", "_source", "received")

    def __init__(
        self, source: AsyncIterator[bytes], limit: int, clock: Clock, read_timeout: float, longest: float
    ) -> None:
        """`read_timeout`: seconds that the sender may be silent; `longest`: seconds until the request has to end."""
        self._source = source
        self._limit = limit
        self._clock = clock
        self._read_timeout = read_timeout
        self._longest = longest
        self._ends = clock.monotonic() + longest
        self._lag = 0.0
        """Seconds of waiting for the sender, minus those that its bytes may take at `MIN_RATE`."""
        self.received = 0

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        # Most bodies have arrived by now. A timer for each chunk costs a tenth of accepting a message, so a chunk is
        # requested first, and timed only if it has to be waited for.
        step = self._source.__anext__().__await__()
        try:
            waiting = next(step)
        except StopIteration as done:
            chunk: bytes = done.value
        else:
            chunk = await self._late(step, waiting)
        self.received += len(chunk)
        if self.received > self._limit:
            raise TooLarge(f"the body is larger than {self._limit} bytes")
        return chunk

    def check_time(self) -> None:
        """Raise RequestTimeout if the request has taken too long, for whatever reason."""
        if self._clock.monotonic() > self._ends:
            raise self._too_long()

    async def _late(self, step: Generator[Any, Any, bytes], waiting: Any) -> bytes:
        began = self._clock.monotonic()
        silence, left = self._read_timeout - self._lag, self._ends - began
        try:
            async with asyncio.timeout(max(0.0, min(silence, left))):
                chunk = await _rest(step, waiting)
        except TimeoutError:
            raise (self._too_slow() if silence < left else self._too_long()) from None
        waited = self._clock.monotonic() - began
        self._lag = max(0.0, self._lag + waited - len(chunk) / MIN_RATE)
        return chunk

    def _too_slow(self) -> RequestTimeout:
        return RequestTimeout(
            f"the body came too slowly: after {self.received} bytes, nothing within {self._read_timeout:g} s, "
            f"or less than {MIN_RATE:g} bytes/s for as long"
        )

    def _too_long(self) -> RequestTimeout:
        return RequestTimeout(f"the request took longer than {self._longest:g} s; send less at once, or faster")


IN_MEMORY: Final = 256 * 1024
"""Bytes that are held in memory; with more, anybody could fill the memory with bodies whose signature is wrong."""


class StagedBody:
    """A whole body that waits for the check of its signature. It can be iterated over once."""

    def __init__(self, blobs: RequestBlobs, held: list[bytes], writer: BlobWriter | None) -> None:
        self._blobs = blobs
        self._held = held
        self._writer = writer

    async def blob(self) -> Blob | None:
        """Return the body as a durable blob, or None if it is in memory. Replaces iterating."""
        return await self._blobs.commit(self._writer) if self._writer else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._held:
            yield chunk
        if self._writer is not None:
            blob = await self._blobs.commit(self._writer)
            async for chunk in self._blobs.open(blob.id):
                yield chunk
            await self._blobs.drop(blob)


async def stage_body(chunks: AsyncIterator[bytes], feed: Callable[[bytes], None], blobs: RequestBlobs) -> StagedBody:
    """Read a body to its end, and pass each chunk to `feed` meanwhile."""
    held: list[bytes] = []
    size = 0
    writer: BlobWriter | None = None
    async for chunk in chunks:
        feed(chunk)
        if writer is not None:
            await writer.write(chunk)
            continue
        held.append(chunk)
        size += len(chunk)
        if size > IN_MEMORY:
            writer = await blobs.create()
            await writer.write(b"".join(held))
            held = []
    return StagedBody(blobs, held, writer)
