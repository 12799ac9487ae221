"""A bucket of blobs: an object for each, under the prefix, named by its id."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hookline.api import StoreError
from hookline.api_storage import BlobGone, Clock
from hookline_s3.blobs.blob_ids import began_before, committed_before, is_id
from hookline_s3.blobs.upload import Upload
from hookline_s3.object_pieces import pieces

READ: Final = 1024 * 1024
"""The least number of bytes that are read at once."""
_PAGE: Final = 1000


class BucketBlobs:
    """Blobs in a bucket of S3."""

    def __init__(self, bucket: S3Store, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock

    async def ping(self) -> None:
        with failing("the bucket can't be used"):
            # No id of a blob comes after this, so the response is short.
            await obstore.list(self._bucket, offset="g", chunk_size=1).collect_async()

    async def create(self) -> Upload:
        return Upload(self._bucket, self._clock)

    async def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        if chunk_size < 1:
            raise ValueError(f"chunks of {chunk_size} bytes can't be read")
        if not is_id(blob_id):
            raise BlobGone(blob_id)
        held = bytearray()
        async for piece in self._pieces(blob_id, max(chunk_size, READ)):
            held += piece
            whole = len(held) // chunk_size * chunk_size
            for start in range(0, whole, chunk_size):
                yield bytes(held[start : start + chunk_size])
            del held[:whole]
        if held:
            yield bytes(held)

    async def _pieces(self, blob_id: str, size: int) -> AsyncIterator[memoryview]:
        with failing(f"blob {blob_id} can't be read"):
            try:
                async for piece in pieces(self._bucket, blob_id, size):
                    yield piece
            except FileNotFoundError:
                raise BlobGone(blob_id) from None

    async def delete(self, blob_id: str) -> None:
        if is_id(blob_id):
            with failing(f"blob {blob_id} can't be deleted"), suppress(FileNotFoundError):
                await obstore.delete_async(self._bucket, blob_id)

    async def older_than(self, at: datetime) -> AsyncIterator[str]:
        """Yield the blobs committed before a time; those uploaded in parts come a day later."""
        with failing("blobs can't be listed"):
            async for page in obstore.list(self._bucket, chunk_size=_PAGE):
                for found in page:
                    blob_id = found["path"]
                    if not is_id(blob_id):
                        continue  # not a blob of Hookline
                    if not began_before(blob_id, at):
                        return
                    if committed_before(blob_id, at):
                        yield blob_id

    async def disk_usage(self) -> int:
        """Return 0: a bucket is never full."""
        return 0

    async def sizes(self, blob_ids: Collection[str]) -> Mapping[str, int]:
        """Return nothing: a bucket grows."""
        return {}

    async def close(self) -> None:
        """Do nothing: the library closes its connections itself."""


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise the library's errors as StoreError."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise _failed(what, error) from error


def _failed(what: str, error: Exception) -> StoreError:
    # After its first line, it has the whole request and response.
    return StoreError(f"{what}: {str(error).partition(chr(10))[0][:300]}")
