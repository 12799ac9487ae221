"""The blobs of one request: thrown away together, unless its message is accepted."""

from typing import Final

import structlog

from hookline.errors import StoreError
from hookline.ports import Blob, Blobs, BlobWriter

_log: Final = structlog.get_logger("hookline.service")


class Uploads:
    """Makes blobs, and remembers those that nobody has claimed yet."""

    __slots__ = ("_committed", "_writers", "blobs")

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self._writers: list[BlobWriter] = []
        self._committed: list[str] = []

    async def create(self) -> BlobWriter:
        """A new blob, empty."""
        writer = await self.blobs.create()
        self._writers.append(writer)
        return writer

    async def commit(self, writer: BlobWriter) -> Blob:
        """Make a blob durable."""
        blob = await writer.commit()
        self._writers.remove(writer)
        self._committed.append(blob.id)
        return blob

    async def drop(self, blob: Blob) -> None:
        """Remove a blob that was only needed on the way."""
        self._committed.remove(blob.id)
        await self._delete(blob.id)

    async def discard(self) -> None:
        """Throw everything away. What can't be removed now is swept later."""
        while self._writers:
            try:
                await self._writers.pop().abort()
            except (StoreError, OSError) as error:
                _log.warning("blob.abort_failed", error=str(error))
        while self._committed:
            await self._delete(self._committed.pop())

    async def _delete(self, blob_id: str) -> None:
        try:
            await self.blobs.delete(blob_id)
        except (StoreError, OSError) as error:
            _log.warning("blob.delete_failed", blob=blob_id, error=str(error))
