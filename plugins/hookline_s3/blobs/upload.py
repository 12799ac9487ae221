"""The upload of a blob: a small one in one request, a large one in parts as it arrives."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from hookline.api import StoreError
from hookline.api_storage import Blob, Clock, fault
from hookline_s3.blobs.blob_ids import LONGEST, new_id

PART: Final = 8 * 1024 * 1024
"""The size of a part in bytes; Amazon accepts 10,000 parts of at least 5 MB."""
_AT_ONCE: Final = 2
"""The number of parts that are sent concurrently, and are in memory meanwhile."""


class _Aborted(Exception):
    """The upload was aborted."""


class Upload:
    """Collects data, and sends it in parts if it is more than one."""

    def __init__(self, bucket: S3Store, clock: Clock) -> None:
        self.size = 0
        self._bucket = bucket
        self._clock = clock
        self._hash = hashlib.sha256()
        self._held = bytearray()
        self._over = False
        self._parts: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._sending: asyncio.Task[None] | None = None
        self._id = ""
        self._began: datetime | None = None
        self._given_up = False

    async def write(self, chunk: bytes) -> None:
        if self._over:
            raise StoreError("this blob is not being written any more")
        self.size += len(chunk)
        self._hash.update(chunk)
        self._held += chunk
        while len(self._held) >= PART:
            part = bytes(memoryview(self._held)[:PART])
            del self._held[:PART]
            await self._send(part)

    async def commit(self) -> Blob:
        if self._over:
            raise StoreError("this blob is not being written any more")
        self._over = True
        if self._sending is None:
            self._id = new_id(self._clock.now(), in_parts=False)
            fault("blob.before_commit")
            await self._failing(obstore.put_async(self._bucket, self._id, bytes(self._held), use_multipart=False))
        else:
            if self._began is None or self._clock.now() - self._began >= LONGEST:
                await self.abort()
                raise StoreError(f"blob {self._id} took longer than a day")
            if self._held:
                await self._send(bytes(self._held))
            fault("blob.before_commit")
            await self._send(None)
            await self._failing(self._sending)
        fault("blob.after_commit")
        self._held.clear()
        return Blob(self._id, self.size, self._hash.hexdigest())

    async def abort(self) -> None:
        self._over = self._given_up = True
        self._held.clear()
        sending = self._sending
        if sending is not None and not sending.done():
            while not self._parts.empty():
                self._parts.get_nowait()
            self._parts.put_nowait(None)
            # The library makes the bucket delete the parts, and then raises the exception that has stopped it.
            await asyncio.wait((sending,))
        if sending is not None and not sending.cancelled():
            sending.exception()

    async def _send(self, part: bytes | None) -> None:
        """Hand over a part; wait while earlier ones aren't sent yet."""
        if self._sending is None:
            self._began = self._clock.now()
            self._id = new_id(self._began, in_parts=True)
            self._sending = asyncio.create_task(self._upload(), name=f"upload of {self._id}")
        handing = asyncio.ensure_future(self._parts.put(part))
        try:
            await asyncio.wait((handing, self._sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            handing.cancel()
        if self._sending.done() and part is not None:
            await self._failing(self._sending)
            raise StoreError(f"blob {self._id} can't be written: the upload ended early")

    async def _upload(self) -> None:
        await obstore.put_async(
            self._bucket, self._id, self._come(), use_multipart=True, chunk_size=PART, max_concurrency=_AT_ONCE
        )

    async def _come(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part
        if self._given_up:
            raise _Aborted

    async def _failing(self, work: Awaitable[object]) -> None:
        """Await the library's work, and raise its errors as StoreError."""
        try:
            await work
        except (BaseError, OSError) as error:
            self._over = True
            raise StoreError(f"the blob can't be written: {str(error).partition(chr(10))[0][:300]}") from error
