"""The action `file.write`."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, Either, Encoding, JsonValue, Reach, StepError, encode_json, message_attachment
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.root import inside, rejected, sync_folder

_CHUNK = 1024 * 1024

#: Makes the mark for "not given"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(
    default_factory=lambda: ..., description="The content: a text, or another JSON value, which is written as JSON."
)


def _idempotent(settings: Mapping[str, Any]) -> bool | None:
    """Return false if the file is appended to: a repeated write would add the content twice."""
    return False if settings.get("mode") == "append" else None


@file_connector.action(idempotent=_idempotent)
async def write(
    ctx: Context[None],
    path: Annotated[
        str,
        Reach("file"),
        Field(description="The path of the file, under the server's HOOKLINE_FILES; missing folders are created."),
    ],
    content: Annotated[Any, Either("file")] = _NOT_GIVEN,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="Instead of `content`: an attachment of the message, or its name."),
    ] = None,
    mode: Annotated[
        Literal["replace", "create", "append"],
        Field(description="If the file exists: replace it, fail and keep it, or append to it."),
    ] = "replace",
    encoding: Annotated[Encoding, Field(description="The encoding of a text.")] = "utf-8",
) -> dict[str, JsonValue]:
    """Write a file.

    The file appears only when it is complete, and is on the disk when the step has succeeded. Only `append` writes in
    place: if the engine dies meanwhile, the content may be there twice. If `create` finds a file with the same content,
    it counts as written by an interrupted attempt.
    """
    if (content is not ...) == (file is not None):
        raise StepError("give either `content` or `file`", code="file.content")
    place = inside(ctx, path)
    data = _encoded(content, encoding) if file is None else b""
    if file is None:
        chunks = _once(data)
    else:
        kept = message_attachment(ctx.message, file, setting="file", code="file.attachment")
        chunks = ctx.blobs.open(kept.id, _CHUNK)
    try:
        await asyncio.to_thread(place.parent.mkdir, parents=True, exist_ok=True)
        # A folder that was created or changed meanwhile must not lead out of it either.
        inside(ctx, path)
        if mode == "append":
            size, digest = await _append(place, chunks)
        else:
            size, digest = await _put(place, chunks, ctx.idempotency_key, replace=mode == "replace")
    except OSError as error:
        raise rejected(path, error) from error
    return {"path": path, "size": size, "sha256": digest}


def _encoded(content: Any, encoding: str) -> bytes:
    if not isinstance(content, str):
        return encode_json(content)
    try:
        return content.encode(encoding)
    except UnicodeEncodeError as error:
        raise StepError(
            f"the text has {content[error.start]!r}, which {encoding} can't write; use utf-8", code="file.encoding"
        ) from error


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _pour(descriptor: int, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with os.fdopen(descriptor, "wb", buffering=0) as out:
        async for chunk in chunks:
            await asyncio.to_thread(_all, out.fileno(), chunk)
            digest.update(chunk)
            size += len(chunk)
        await asyncio.to_thread(os.fsync, out.fileno())
    return size, digest.hexdigest()


def _all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


async def _append(place: Path, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
    # A link is rejected, because it may point anywhere.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return await _pour(os.open(place, flags, 0o666), chunks)


async def _put(place: Path, chunks: AsyncIterator[bytes], key: str, *, replace: bool) -> tuple[int, str]:
    # The step's temporary file; one that an interrupted attempt left is overwritten.
    draft = place.with_name(f".hookline-{key}")
    draft.unlink(missing_ok=True)
    try:
        size, digest = await _pour(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), chunks)
        if replace:
            draft.replace(place)
        else:
            try:
                # A link, unlike a rename, never replaces.
                await asyncio.to_thread(place.hardlink_to, draft)
            except FileExistsError:
                if await asyncio.to_thread(_digest, place) != digest:
                    raise StepError(f"{place.name!r} exists already, with other content", code="file.exists") from None
    finally:
        draft.unlink(missing_ok=True)
    await asyncio.to_thread(sync_folder, place.parent)
    return size, digest


def _digest(place: Path) -> str:
    if place.is_symlink() or not place.is_file():
        return ""
    with place.open("rb") as there:
        return hashlib.file_digest(there, "sha256").hexdigest()
