"""Where a body waits while its signature is judged: nothing is parsed before the signature holds."""

from collections.abc import AsyncIterator, Callable
from typing import Final

from hookline.service.uploads.upload import Uploads
from hookline.storage.blobs import Blob, BlobWriter

IN_MEMORY: Final = 256 * 1024
"""Bytes that are held in memory; beyond that anybody could fill it with bodies that don't hold."""


class Staged:
    """A body that came whole. Iterate once, after its signature held."""

    def __init__(self, uploads: Uploads, held: list[bytes], writer: BlobWriter | None) -> None:
        self._uploads = uploads
        self._held = held
        self._writer = writer

    async def blob(self) -> Blob | None:
        """The body as a blob that is durable; None where it is in memory. Takes the place of iterating."""
        return await self._uploads.commit(self._writer) if self._writer else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._held:
            yield chunk
        if self._writer is not None:
            blob = await self._uploads.commit(self._writer)
            async for chunk in self._uploads.blobs.open(blob.id):
                yield chunk
            await self._uploads.drop(blob)


async def stage(chunks: AsyncIterator[bytes], feed: Callable[[bytes], None], uploads: Uploads) -> Staged:
    """Read a body to its end, feeding each chunk to `feed` on the way."""
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
            writer = await uploads.create()
            await writer.write(b"".join(held))
            held = []
    return Staged(uploads, held, writer)
