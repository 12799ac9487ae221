"""The action `file.read`."""

import asyncio
import mimetypes
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Attachment, Context, Encoding, Reach, Reply, StepError, decode_json
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.line_reader import lines_of
from hookline_files.file_actions.root import inside, rejected

_CHUNK = 1024 * 1024


@file_connector.action(idempotent=True)
async def read(
    ctx: Context[None],
    path: Annotated[str, Reach("file"), Field(description="The path of the file, under the server's HOOKLINE_FILES.")],
    format: Annotated[
        Literal["attachment", "text", "json", "lines", "json_lines"],
        Field(
            description="The form of the result: another attachment of the message, a text, or a JSON value; for "
            "`lines` and `json_lines`, a stream of texts or of JSON values, one for each line, which "
            "`foreach` reads."
        ),
    ] = "attachment",
    encoding: Annotated[Encoding, Field(description="The encoding of a text.")] = "utf-8",
    max_bytes: Annotated[
        int | None,
        Field(
            gt=0,
            description="The maximum size of the file in bytes; by default 1 GB for an attachment or a stream, and 10 "
            "MB otherwise.",
        ),
    ] = None,
) -> Reply:
    """Read a file.

    Besides the body, the result has `path` and `size`. The body is null if the file becomes an attachment.
    """
    place = inside(ctx, path)
    most = max_bytes or (10_000_000 if format in ("text", "json") else 1_000_000_000)
    try:
        size = await asyncio.to_thread(_size, place)
        if size > most:
            raise StepError(f"{path!r} has {size} bytes; `max_bytes` allows {most}", code="file.too_large")
        if format == "attachment":
            kept = await _keep(ctx, place, most)
            return Reply(None, extra={"path": path, "size": kept.size}, attachments=(*ctx.message.attachments, kept))
        if format in ("lines", "json_lines"):
            items = lines_of(place, path, encoding, as_json=format == "json_lines", exact=ctx.exact)
            return Reply(items, extra={"path": path, "size": size})
        data = await asyncio.to_thread(_content, place, most)
    except OSError as error:
        raise rejected(path, error) from error
    body = _text(data, path, encoding) if format == "text" else _value(data, path, exact=ctx.exact)
    return Reply(body, extra={"path": path, "size": len(data)})


def _size(place: Path) -> int:
    if place.is_symlink() or not place.is_file():
        # A link may point anywhere; a device or a pipe may never end.
        raise FileNotFoundError(2, "there is no such file")
    return place.stat().st_size


def _content(place: Path, most: int) -> bytes:
    with place.open("rb") as file:
        return file.read(most)


async def _keep(ctx: Context[Any], place: Path, most: int) -> Attachment:
    writer = await ctx.blobs.create()
    try:
        with place.open("rb") as file:
            while writer.size < most and (chunk := await asyncio.to_thread(file.read, _CHUNK)):
                await writer.write(chunk)
        blob = await writer.commit()
    finally:
        await writer.abort()
    media_type = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    return Attachment(blob.id, place.name, place.name, media_type, blob.size, blob.sha256)


def _text(data: bytes, path: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise StepError(f"{path!r}: byte {error.start + 1} is not {encoding}", code="file.encoding") from error


def _value(data: bytes, path: str, *, exact: bool) -> Any:
    try:
        return decode_json(data, exact=exact)
    except (ValueError, RecursionError) as error:
        raise StepError(f"{path!r} is not JSON: {error}", code="file.content") from error
