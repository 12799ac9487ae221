"""Where files are kept."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that are kept."""

    id: str
    size: int
    sha256: str


class BlobWriter(Protocol):
    """A blob in the making. Leaving without `commit` leaves nothing."""

    size: int

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self) -> Blob:
        """Make it durable: the bytes are on disk when this returns."""
        ...

    async def abort(self) -> None:
        """Throw it away; harmless after `commit`."""
        ...


class Blobs(Protocol):
    """Where attachments' bytes are kept."""

    async def ping(self) -> None:
        """Whether files can be kept now. Raises StoreError."""
        ...

    async def create(self) -> BlobWriter: ...

    def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """Its bytes. Raises BlobGone where there is no such blob, and StoreError."""
        ...

    async def delete(self, blob_id: str) -> None:
        """Remove it; nothing happens where it isn't."""
        ...

    def older_than(self, at: datetime) -> AsyncIterator[str]:
        """Ids of the blobs that were committed before a time: for sweeping."""
        ...

    async def room(self) -> int:
        """Bytes that it takes of disks which can be full; 0 where it is a service that grows. Raises StoreError."""
        ...

    async def close(self) -> None: ...


class BlobStoreFactory(Protocol):
    """What `register_blob_stores` gives for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Blobs: ...
