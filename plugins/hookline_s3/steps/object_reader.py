"""Converting an object's content to the result of `s3.read`."""

import codecs
import mimetypes
from collections.abc import AsyncIterator
from typing import Any, Final

import obstore
from obstore.store import S3Store

from hookline.api import Attachment, Context, JsonValue, Reply, StepError, decode_json
from hookline_s3.failures import translated
from hookline_s3.object_pieces import pieces
from hookline_s3.steps.object_keys import checked

_PIECE: Final = 1024 * 1024
LONGEST: Final = 10_000_000
"""The most characters of a line; an object with longer ones is not a file of lines."""


async def read_object(
    ctx: Context[Any], bucket: S3Store, key: str, kind: str, encoding: str, max_bytes: int | None
) -> Reply:
    """See `s3.read`."""
    most = max_bytes or (10_000_000 if kind in ("text", "json") else 1_000_000_000)
    with translated(repr(key)):
        found = await obstore.head_async(bucket, checked(key))
    size, etag = found["size"], found["e_tag"]
    if size > most:
        raise StepError(f"{key!r} has {size} bytes; `max_bytes` allows {most}", code="s3.too_large")
    extra: dict[str, JsonValue] = {"key": key, "size": size, "etag": (etag or "").strip('"')}
    chunks = _chunks(bucket, key, etag)
    if kind == "attachment":
        kept = await _keep(ctx, key, chunks)
        return Reply(None, extra=extra, attachments=(*ctx.message.attachments, kept))
    if kind in ("lines", "json_lines"):
        return Reply(_lines(chunks, key, encoding, as_json=kind == "json_lines", exact=ctx.exact), extra=extra)
    data = b"".join([chunk async for chunk in chunks])
    return Reply(
        _text(data, key, encoding) if kind == "text" else _value(data, repr(key), exact=ctx.exact), extra=extra
    )


async def _chunks(bucket: S3Store, key: str, etag: str | None) -> AsyncIterator[bytes]:
    with translated(repr(key)):
        async for piece in pieces(bucket, key, _PIECE, etag=etag):
            yield bytes(piece)


async def _keep(ctx: Context[Any], key: str, chunks: AsyncIterator[bytes]) -> Attachment:
    writer = await ctx.blobs.create()
    try:
        async for chunk in chunks:
            await writer.write(chunk)
        blob = await writer.commit()
    finally:
        await writer.abort()
    name = key.rpartition("/")[2]
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Attachment(blob.id, name, name, media_type, blob.size, blob.sha256)


def _text(data: bytes, key: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise StepError(f"{key!r}: byte {error.start + 1} is not {encoding}", code="s3.encoding") from error


def _value(data: bytes, where: str, *, exact: bool) -> Any:
    try:
        return decode_json(data, exact=exact)
    except (ValueError, RecursionError) as error:
        raise StepError(f"{where} is not JSON: {error}", code="s3.content") from error


async def _lines(
    chunks: AsyncIterator[bytes], key: str, encoding: str, *, as_json: bool, exact: bool
) -> AsyncIterator[JsonValue]:
    """Yield the lines of an object as texts, without their ends, or as JSON values, without blank lines."""
    number = 0
    async for line in _texts(chunks, key, encoding):
        number += 1
        if not as_json:
            yield line
        elif line.strip():
            yield _value(line.encode(), f"{key!r}: line {number}", exact=exact)


async def _texts(chunks: AsyncIterator[bytes], key: str, encoding: str) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    rest, number = "", 0
    async for chunk in chunks:
        try:
            rest += decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise StepError(
                f"{key!r}: line {number + 1}, or one soon after it, is not {encoding}", code="s3.encoding"
            ) from error
        *lines, rest = rest.split("\n")
        for line in lines:
            number += 1
            yield line.removesuffix("\r")
        if len(rest) > LONGEST:
            raise StepError(f"{key!r}: line {number + 1} is longer than {LONGEST} characters", code="s3.too_large")
    try:
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise StepError(f"{key!r}: its end is not {encoding}", code="s3.encoding") from error
    if rest:
        yield rest.removesuffix("\r")
