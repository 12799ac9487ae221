"""The blobs and the bytes of one request, which are discarded together unless it is accepted."""

from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from hookline.kernel.errors import StoreError
from hookline.service.uploads.byte_budget import ByteBudget
from hookline.storage.blobs import Blob, Blobs, BlobWriter

_log: Final = structlog.get_logger("hookline.service")
SMALL: Final = 64 * 1024
"""Bytes of a body, and of its values, that aren't counted: for one connection they are not much."""
VALUE: Final = 60
"""Bytes of memory that count for each value that a body becomes."""


class RequestBlobs:
    """The blobs of one request, and its bytes in memory: creates blobs, tracks those that no message refers to yet, and
    counts both."""

    __slots__ = (
        "_blobs",
        "_committed",
        "_held",
        "_held_room",
        "_room",
        "_taken",
        "_values",
        "_values_held",
        "_writers",
    )

    def __init__(self, blobs: Blobs, room: ByteBudget, held_room: ByteBudget) -> None:
        """`room` is the limit for files, and `held_room` that for bodies in memory."""
        self._blobs = blobs
        self._room = room
        self._taken = 0
        self._held_room = held_room
        self._held = 0
        self._values = 0
        self._values_held = 0
        self._writers: list[BlobWriter] = []
        self._committed: list[str] = []

    async def create(self) -> BlobWriter:
        """Create an empty blob. Writing to it raises ServiceUnavailable and TooLarge above the limit."""
        writer = _Counted(await self._blobs.create(), self.take)
        self._writers.append(writer)
        return writer

    async def commit(self, writer: BlobWriter) -> Blob:
        """Make a blob durable."""
        blob = await writer.commit()
        self._writers.remove(writer)
        self._committed.append(blob.id)
        return blob

    def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob. Raises BlobGone and StoreError."""
        return self._blobs.open(blob_id, chunk_size)

    async def drop(self, blob: Blob) -> None:
        """Delete a blob that was only needed temporarily."""
        self._committed.remove(blob.id)
        await self._delete(blob.id)
        self._give(min(blob.size, self._taken))

    def take(self, size: int) -> None:
        """Take bytes of the limit for files. Raises ServiceUnavailable and TooLarge."""
        self._room.take(size, self._taken)
        self._taken += size

    def hold(self, size: int) -> None:
        """Take bytes of the limit for bodies, up to this size of the body: as it came, or as it is read, whichever is
        larger. Raises ServiceUnavailable and TooLarge."""
        if size > SMALL and size > self._held:
            more = size - self._held
            self._held_room.take(more, self._held)
            self._held += more

    def hold_values(self, count: int) -> None:
        """Take bytes of the limit for bodies, for values that are made next. Raises ServiceUnavailable and TooLarge."""
        self._values += count * VALUE
        if self._values > SMALL:
            more = self._values - self._values_held
            self._held_room.take(more, self._held + self._values_held)
            self._values_held = self._values

    def release(self) -> None:
        """Give back the bytes of a request whose message is stored: its blobs are kept."""
        if self._taken:
            self._give(self._taken)
        if held := self._held + self._values_held:
            self._held_room.give(held)
            self._held = self._values = self._values_held = 0

    def _give(self, size: int) -> None:
        self._taken -= size
        self._room.give(size)

    async def discard(self) -> None:
        """Discard everything. Files that can't be deleted now are swept later."""
        while self._writers:
            try:
                await self._writers.pop().abort()
            except (StoreError, OSError) as error:
                _log.warning("an unfinished file can't be discarded", error=str(error))
        while self._committed:
            await self._delete(self._committed.pop())
        self.release()

    async def _delete(self, blob_id: str) -> None:
        try:
            await self._blobs.delete(blob_id)
        except (StoreError, OSError) as error:
            _log.warning("a file can't be deleted", blob=blob_id, error=str(error))


class _Counted:
    """A blob that is being written, whose bytes count."""

    __slots__ = ("_take", "_writer", "size")

    def __init__(self, writer: BlobWriter, take: Callable[[int], None]) -> None:
        self._writer = writer
        self._take = take
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        self._take(len(chunk))
        self.size += len(chunk)
        await self._writer.write(chunk)

    async def commit(self) -> Blob:
        return await self._writer.commit()

    async def abort(self) -> None:
        await self._writer.abort()
