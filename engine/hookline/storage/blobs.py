"""The blob store: keeps the bytes of files."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file."""

    id: str
    size: int
    sha256: str


class BlobWriter(Protocol):
    """A blob that is being written. Nothing is stored without `commit`."""

    size: int

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self) -> Blob:
        """Make the blob durable: its bytes are on disk when this returns."""
        ...

    async def abort(self) -> None:
        """Discard the blob; does nothing after `commit`."""
        ...


class Blobs(Protocol):
    """The blob store."""

    async def ping(self) -> None:
        """Return if files can be stored now. Raises StoreError."""
        ...

    async def create(self) -> BlobWriter: ...

    def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """Yield the bytes of a blob. Raises BlobGone if there is no such blob, and StoreError."""
        ...

    async def delete(self, blob_id: str) -> None:
        """Remove a blob; does nothing if there is none."""
        ...

    def older_than(self, at: datetime) -> AsyncIterator[str]:
        """Yield the ids of blobs that were committed before a time."""
        ...

    async def disk_usage(self) -> int:
        """Return the bytes used on a disk that can become full; 0 for a service that grows. Raises StoreError."""
        ...

    async def sizes(self, blob_ids: Collection[str]) -> Mapping[str, int]:
        """Return the bytes that each of these blobs uses on a disk that can become full.

        Blobs of a service that grows, and ids of no blob, are left out. Raises StoreError.
        """
        ...

    async def close(self) -> None: ...


class BlobStoreFactory(Protocol):
    """The factory that `register_blob_stores` returns for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Blobs: ...
