"""Writing, copying, moving and deleting objects."""

import hashlib
import mimetypes
from collections.abc import AsyncIterator
from typing import Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from hookline.api import Attachment, Context, JsonValue, StepError, encode_json
from hookline_s3.failures import translated
from hookline_s3.object_pieces import pieces
from hookline_s3.steps.object_keys import checked

PART: Final = 8 * 1024 * 1024
"""The size of a part in bytes; an object that is no larger is uploaded in one request."""
_AT_ONCE: Final = 2
"""The number of parts that are sent concurrently, and are in memory meanwhile."""


def encoded(content: Any, encoding: str) -> bytes:
    """Encode a text, or another value as JSON. Raises StepError (`s3.encoding`)."""
    if not isinstance(content, str):
        return encode_json(content)
    try:
        return content.encode(encoding)
    except UnicodeEncodeError as error:
        raise StepError(
            f"the text has {content[error.start]!r}, which {encoding} can't write; use utf-8", code="s3.encoding"
        ) from error


async def write_object(
    ctx: Context[Any],
    bucket: S3Store,
    key: str,
    data: bytes | Attachment,
    content_type: str | None,
    *,
    replace: bool,
) -> dict[str, JsonValue]:
    """Write bytes or a file to an object. Raises StepError."""
    checked(key)
    if content_type is None:
        of_file = data.type if isinstance(data, Attachment) else None
        content_type = of_file or mimetypes.guess_type(key)[0] or "application/octet-stream"
    if isinstance(data, Attachment) and data.size <= PART:
        data = b"".join([chunk async for chunk in ctx.blobs.open(data.id, PART)])
    attributes = {"Content-Type": content_type}
    with translated(repr(key)):
        if isinstance(data, bytes):
            digest, size = hashlib.sha256(data).hexdigest(), len(data)
            try:
                # The bucket checks in the same request if the object exists.
                mode: Any = "overwrite" if replace else "create"
                made = await obstore.put_async(bucket, key, data, use_multipart=False, mode=mode, attributes=attributes)
            except AlreadyExistsError:
                return await _same(bucket, key, size, digest)
        else:
            hashing = _Hashing(ctx.blobs.open(data.id, PART))
            if not replace and await _head(bucket, key) is not None:
                return await _same(bucket, key, data.size, data.sha256)
            made = await obstore.put_async(
                bucket,
                key,
                hashing.chunks(),
                use_multipart=True,
                chunk_size=PART,
                max_concurrency=_AT_ONCE,
                attributes=attributes,
            )
            digest, size = hashing.digest.hexdigest(), hashing.size
    return _written(key, size, digest, made["e_tag"])


class _Hashing:
    """Passes on a file's bytes, and computes their digest."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.digest = hashlib.sha256()
        self.size = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.digest.update(chunk)
            self.size += len(chunk)
            yield chunk


async def _same(bucket: S3Store, key: str, size: int, digest: str) -> dict[str, JsonValue]:
    """Return the existing object if it has the same content, written by an interrupted attempt."""
    found = await _head(bucket, key)
    if found is not None and found["size"] == size:
        there = hashlib.sha256()
        async for piece in pieces(bucket, key, PART, etag=found["e_tag"]):
            there.update(piece)
        if there.hexdigest() == digest:
            return _written(key, size, digest, found["e_tag"])
    raise StepError(f"{key!r} exists already, with other content", code="s3.exists")


def _written(key: str, size: int, digest: str, etag: str | None) -> dict[str, JsonValue]:
    return {"key": key, "size": size, "sha256": digest, "etag": (etag or "").strip('"')}


async def copy_object(bucket: S3Store, key: str, to: str, *, replace: bool, move: bool) -> dict[str, JsonValue]:
    """Copy an object, and delete the original if it is moved. Raises StepError."""
    checked(key)
    checked(to)
    with translated(repr(key)):
        found, there = await _head(bucket, key), await _head(bucket, to)
        if found is None and move and there is not None:
            return {"key": to, "size": there["size"]}
        if found is None:
            raise StepError(f"{key!r}: there is no such object", code="s3.not_found")
        if key == to:
            return {"key": to, "size": found["size"]}
        if there is None or replace:
            await obstore.copy_async(bucket, key, to)
        elif (there["size"], there["e_tag"]) != (found["size"], found["e_tag"]):
            raise StepError(f"{to!r} exists already; set `replace` to replace it", code="s3.exists")
        if move:
            await obstore.delete_async(bucket, key)
    return {"key": to, "size": found["size"]}


async def delete_object(bucket: S3Store, key: str) -> bool:
    """Delete an object; return true if there was one. Raises StepError."""
    with translated(repr(key)):
        if await _head(bucket, checked(key)) is None:
            return False
        await obstore.delete_async(bucket, key)
    return True


async def _head(bucket: S3Store, key: str) -> Any:
    try:
        return await obstore.head_async(bucket, key)
    except FileNotFoundError:
        return None
