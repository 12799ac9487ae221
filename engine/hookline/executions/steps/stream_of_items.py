"""Streams: items that are too many for memory, stored as lines of JSON in a blob."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from hookline.kernel.errors import StoreError
from hookline.kernel.json import Numbers, encode
from hookline.model.foreach_progress_and_streams import Stream
from hookline.plugin_host.result_conversion import to_json
from hookline.secrets.redaction import NO_REDACTOR, NoRedactor, Redactor
from hookline.storage.blobs import Blobs, BlobWriter

_CHUNK: Final = 128 * 1024


class StreamWriter:
    """A stream that is being written. Without `finish` nothing is stored."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._writer: BlobWriter | None = None
        self._buffer = bytearray()
        self._count = 0

    async def add(self, item: bytes) -> None:
        """Add an item as a line. Raises StoreError."""
        self._buffer += item
        self._buffer += b"\n"
        self._count += 1
        if len(self._buffer) >= _CHUNK:
            await self._write()

    async def finish(self) -> Stream:
        """Store the stream. Raises StoreError."""
        await self._write()
        writer = await self._open()
        return Stream((await writer.commit()).id, self._count)

    async def abort(self) -> None:
        """Discard the stream; harmless after `finish`."""
        if self._writer is not None:
            await self._writer.abort()

    async def _open(self) -> BlobWriter:
        if self._writer is None:
            self._writer = await self._blobs.create()
        return self._writer

    async def _write(self) -> None:
        writer = await self._open()
        await writer.write(bytes(self._buffer))
        self._buffer.clear()
        # The items may come without awaiting anything.
        await asyncio.sleep(0)


async def write_stream(
    blobs: Blobs, items: AsyncIterator[Any], *, numbers: Numbers, redactor: Redactor | NoRedactor = NO_REDACTOR
) -> Stream:
    """Write all items that an action gives, encrypted if the flow redacts anything.

    Raises NotJson, which names the item, StoreError, and the errors of the action.
    """
    stream = StreamWriter(blobs)
    number = 0
    try:
        async for item in items:
            line = encode(to_json(item, f"result[{number}]", exact=numbers.exact))
            await stream.add(redactor.encrypt_line(line))
            number += 1
        return await stream.finish()
    finally:
        await stream.abort()
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


class StreamReader:
    """Read some items of a stream, in order, for several callers."""

    def __init__(
        self,
        blobs: Blobs,
        stream: Stream,
        wanted: Iterator[int],
        *,
        numbers: Numbers,
        redactor: Redactor | NoRedactor = NO_REDACTOR,
    ) -> None:
        """`wanted`: the indexes of the items to read, in order. `redactor` decrypts encrypted items."""
        self._redactor = redactor
        self._stream = stream
        self._numbers = numbers
        self._chunks = blobs.open(stream.blob_id, _CHUNK)
        self._wanted = wanted
        self._next = next(wanted, None)
        self._lines: deque[bytes] = deque()
        self._at = 0
        """The index of the first line."""
        self._rest = b""
        self._reading = asyncio.Lock()

    async def take(self) -> tuple[int, Any] | None:
        """An item with its index; None if all were taken. Raises StoreError, and BlobGone."""
        while self._next is not None:
            place = self._next
            if place < self._at + len(self._lines):
                self._skip(place - self._at)
                line = self._lines.popleft()
                self._at += 1
                self._next = next(self._wanted, None)
                return place, self._numbers.decode(self._redactor.decrypt_line(line))
            async with self._reading:
                # After waiting for the lock, there may be lines already.
                if self._next is not None and self._next >= self._at + len(self._lines):
                    await self._read()
        return None

    async def close(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()

    def _skip(self, lines: int) -> None:
        if lines >= len(self._lines):
            self._at += len(self._lines)
            self._lines.clear()
            return
        for _ in range(lines):
            self._lines.popleft()
        self._at += lines

    async def _read(self) -> None:
        self._skip(len(self._lines))
        chunk = await anext(self._chunks, None)
        if chunk is None:
            raise StoreError(f"blob {self._stream.blob_id} ends before item {self._next} of {self._stream.count}")
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(lines)


async def read_stream(
    blobs: Blobs, stream: Stream, *, numbers: Numbers, redactor: Redactor | NoRedactor = NO_REDACTOR
) -> AsyncIterator[Any]:
    """All items of a stream, in order. Raises StoreError, and BlobGone."""
    reader = StreamReader(blobs, stream, iter(range(stream.count)), numbers=numbers, redactor=redactor)
    try:
        while (taken := await reader.take()) is not None:
            yield taken[1]
    finally:
        await reader.close()
