"""Large envelopes: they are kept in the blob store while their messages are in the stream."""

from collections.abc import Mapping
from contextlib import suppress

from hookline.api import StoreError
from hookline.api_storage import BlobGone, Blobs, Envelope
from hookline_nats import stream_message_encoding


class Unreadable(Exception):
    """A message can't be decoded, or its blob is gone."""


class LargeEnvelopes:
    """Writes and reads the envelopes of messages."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def write(self, envelope: Envelope) -> tuple[bytes, str | None]:
        """Return the data of a message, and its blob if it is large. Raises StoreError."""
        data = stream_message_encoding.encode(envelope)
        if len(data) <= stream_message_encoding.LARGEST:
            return data, None
        writer = await self._blobs.create()
        try:
            await writer.write(data)
            blob = await writer.commit()
        except BaseException:
            await writer.abort()
            raise
        return b"", blob.id

    async def read(self, data: bytes, headers: Mapping[str, str]) -> Envelope:
        """Return the envelope of a message. Raises Unreadable, and StoreError if the blob can't be read now."""
        blob_id = headers.get(stream_message_encoding.BLOB)
        try:
            if blob_id is not None:
                data = b"".join([chunk async for chunk in self._blobs.open(blob_id)])
            return stream_message_encoding.decode(data)
        except BlobGone as error:
            raise Unreadable(f"the blob {blob_id} with its payload is gone") from error
        except (ValueError, TypeError) as error:
            raise Unreadable(f"it can't be decoded: {error}") from error

    async def forget(self, blob_id: str | None) -> None:
        """Remove the blob of a message that has left the stream. The sweeper removes it if that fails."""
        if blob_id is not None:
            with suppress(StoreError):
                await self._blobs.delete(blob_id)
