"""Bodies that are files: one attachment, streamed to the blob store as it arrives."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from email.message import Message as HeaderMessage
from pathlib import PureWindowsPath

from python_multipart.multipart import parse_options_header

from hookline.bodies.received_body import Received
from hookline.model.message import Attachment
from hookline.service.uploads.file_types import HEAD, FileTypes
from hookline.service.uploads.request_blobs import RequestBlobs
from hookline.storage.blobs import Blob, BlobWriter


def clean_filename(name: bytes | None) -> str | None:
    """The last part of a file's name, in whatever way its sender writes paths; None if nothing is left."""
    if not name:
        return None
    text = "".join(char for char in name.decode("utf-8", "replace") if char.isprintable())
    # Windows paths know both separators.
    return PureWindowsPath(text).name[:255] or None


def read_disposition(header: str | None) -> tuple[bytes, dict[bytes, bytes]]:
    """A Content-Disposition with its options.

    RFC 7578 has no `filename*=UTF-8''…`, but some libraries send names that aren't ASCII only in this form: it is used
    if there is no plain one. An unreadable name counts as no name.
    """
    kind, options = parse_options_header(header)
    if header is not None and b"filename" not in options and "filename*" in header.lower():
        message = HeaderMessage()
        message["content-disposition"] = header
        # The standard library fails on a mix of numbered and other parts, and on charsets that aren't for text.
        with suppress(TypeError, ValueError):
            if (name := message.get_filename()) is not None:
                options[b"filename"] = name.encode("utf-8", "replace")
    return kind, options


class IncomingFile:
    """A file as it arrives: nothing of it is stored before its first bytes are checked."""

    def __init__(self, blobs: RequestBlobs, media_type: str, types: FileTypes | None, what: str = "the file") -> None:
        """`types`: the accepted types; None accepts all. Raises UnsupportedMedia."""
        self.media_type = media_type
        self._blobs = blobs
        self._types = types
        self._what = what
        self._head = b""
        self._writer: BlobWriter | None = None
        if types is not None:
            types.check_declared(media_type, what)

    async def write(self, chunk: bytes) -> None:
        """Add bytes. Raises UnsupportedMedia."""
        if self._types is not None:
            self._head += chunk
            if len(self._head) < HEAD:
                return
            chunk = self._judged(self._types)
        await self._write(chunk)

    async def commit(self) -> Blob:
        """Make it durable, empty or not. Raises UnsupportedMedia."""
        if self._types is not None:
            await self._write(self._judged(self._types))
        return await self._blobs.commit(self._writer or await self._blobs.create())

    def _judged(self, types: FileTypes) -> bytes:
        head, self._head, self._types = self._head, b"", None
        self.media_type = types.judge(self.media_type, head[:HEAD], self._what)
        return head

    async def _write(self, chunk: bytes) -> None:
        self._writer = self._writer or await self._blobs.create()
        await self._writer.write(chunk)


async def store_file(chunks: AsyncIterable[bytes], file: IncomingFile, *, keep_empty: bool) -> Blob | None:
    """Store the bytes as a durable blob. Return None if there are none, unless `keep_empty`."""
    empty = True
    async for chunk in chunks:
        empty = False
        await file.write(chunk)
    return await file.commit() if keep_empty or not empty else None


async def check_stored_type(blob: Blob, blobs: RequestBlobs, media_type: str, types: FileTypes) -> str:
    """Return the type of a file that is stored already. Raises UnsupportedMedia."""
    head = b""
    chunks = blobs.open(blob.id, HEAD)
    while len(head) < HEAD and (chunk := await anext(chunks, b"")):
        head += chunk
    # A blob that is read in part has to be closed, if that is possible.
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()
    return types.judge(media_type, head[:HEAD], "the body")


def file_message(blob: Blob, media_type: str, disposition: str | None) -> Received:
    """The message body of a request that is one file: null, with the file as its attachment."""
    _, options = read_disposition(disposition)
    filename = clean_filename(options.get(b"filename"))
    return Received(None, attachments=(Attachment(blob.id, "body", filename, media_type, blob.size, blob.sha256),))
