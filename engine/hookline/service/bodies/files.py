"""Bodies that are files: one attachment, streamed to the blob store as it arrives."""

from collections.abc import AsyncIterable
from pathlib import PureWindowsPath

from python_multipart.multipart import parse_options_header

from hookline.model.message import Attachment
from hookline.ports import Blob
from hookline.service.bodies.received import Received
from hookline.service.uploads import Uploads


def clean_filename(name: bytes | None) -> str | None:
    """The last part of a file's name, in whatever way its sender writes paths; None where nothing is left."""
    if not name:
        return None
    text = "".join(char for char in name.decode("utf-8", "replace") if char.isprintable())
    # Windows paths know both separators.
    return PureWindowsPath(text).name[:255] or None


async def store(chunks: AsyncIterable[bytes], uploads: Uploads, *, keep_empty: bool) -> Blob | None:
    """Keep the bytes as a durable blob; None where there are none, unless an empty file is one too."""
    writer = await uploads.create() if keep_empty else None
    async for chunk in chunks:
        writer = writer or await uploads.create()
        await writer.write(chunk)
    return await uploads.commit(writer) if writer else None


def one_attachment(blob: Blob, media_type: str, disposition: str | None) -> Received:
    """A body that is one file; its body proper is null."""
    _, options = parse_options_header(disposition)
    filename = clean_filename(options.get(b"filename"))
    return Received(None, attachments=(Attachment(blob.id, "body", filename, media_type, blob.size, blob.sha256),))
