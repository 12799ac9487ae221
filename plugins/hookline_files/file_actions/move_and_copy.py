"""The actions `file.move` and `file.copy`."""

import asyncio
import errno
import hashlib
import os
import shutil
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reach, StepError
from hookline_files.connectors import file as file_connector
from hookline_files.file_actions.root import inside, rejected, sync_folder

From = Annotated[str, Reach("file"), Field(description="The path of the file, under the server's HOOKLINE_FILES.")]
To = Annotated[
    str, Reach("file"), Field(description="The new path, under the same folder; missing folders are created.")
]
Replace = Annotated[bool, Field(description="Replace a file that exists at the new path; otherwise the step fails.")]


@file_connector.action(idempotent=True)
async def move(ctx: Context[None], path: From, to: To, replace: Replace = False) -> dict[str, JsonValue]:
    """Move or rename a file.

    The result is `path`, the new one, and `size`. It exists at one of the two
    paths at any time. If there is no file at `path`, and
    one at `to`, it counts as moved by an interrupted attempt.
    """
    source, target = inside(ctx, path), inside(ctx, to)
    try:
        size = await asyncio.to_thread(_moved, ctx, source, target, (path, to), replace)
    except OSError as error:
        raise rejected(path, error) from error
    return {"path": to, "size": size}


@file_connector.action(idempotent=True)
async def copy(ctx: Context[None], path: From, to: To, replace: Replace = False) -> dict[str, JsonValue]:
    """Copy a file.

    The result is `path`, that of the copy, and `size`. The copy appears only when it is complete. If `to` has a file
    with the same content, it counts as the copy, made by an interrupted attempt.
    """
    source, target = inside(ctx, path), inside(ctx, to)
    try:
        size = await asyncio.to_thread(_copied, ctx, source, target, (path, to), replace)
    except OSError as error:
        raise rejected(path, error) from error
    return {"path": to, "size": size}


def _moved(ctx: Context[None], source: Path, target: Path, names: tuple[str, str], replace: bool) -> int:
    if not _is_file(source) and _is_file(target):
        return target.stat().st_size
    size = _ready(ctx, source, target, names)
    if source == target:
        return size
    try:
        if replace:
            source.replace(target)
        elif not _same(source, target):
            # A link, unlike a rename, never replaces.
            target.hardlink_to(source)
            source.unlink()
        else:
            # An interrupted attempt has linked it.
            source.unlink()
    except FileExistsError:
        raise _there(names[1]) from None
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP):
            raise
        # On another disk, or on one without links.
        _copy(ctx, source, target, names, replace)
        source.unlink()
    for folder in {source.parent, target.parent}:
        sync_folder(folder)
    return size


def _copied(ctx: Context[None], source: Path, target: Path, names: tuple[str, str], replace: bool) -> int:
    size = _ready(ctx, source, target, names)
    if not _same(source, target):
        _copy(ctx, source, target, names, replace)
        sync_folder(target.parent)
    return size


def _ready(ctx: Context[Any], source: Path, target: Path, names: tuple[str, str]) -> int:
    """Return the size of the source, after preparing the folder of the target."""
    if not _is_file(source):
        raise FileNotFoundError(2, "there is no such file")
    if target.is_dir() and not target.is_symlink():
        raise StepError(f"{names[1]!r} is a folder; name the file in it", code="file.path")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder that was created or changed meanwhile must not lead out of it either.
    inside(ctx, names[1])
    return source.stat().st_size


def _copy(ctx: Context[Any], source: Path, target: Path, names: tuple[str, str], replace: bool) -> None:
    draft = target.with_name(f".hookline-{ctx.idempotency_key}")
    draft.unlink(missing_ok=True)
    try:
        with source.open("rb") as read, draft.open("xb") as written:
            shutil.copyfileobj(read, written, 1024 * 1024)
            written.flush()
            os.fsync(written.fileno())
        if replace:
            draft.replace(target)
            return
        try:
            target.hardlink_to(draft)
        except FileExistsError:
            if not _is_file(target) or _digest(target) != _digest(draft):
                raise _there(names[1]) from None
    finally:
        draft.unlink(missing_ok=True)


def _there(path: str) -> StepError:
    return StepError(f"{path!r} exists already; set `replace` to replace it", code="file.exists")


def _is_file(place: Path) -> bool:
    try:
        return S_ISREG(place.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _same(one: Path, other: Path) -> bool:
    return _is_file(other) and one.samefile(other)


def _digest(place: Path) -> str:
    with place.open("rb") as there:
        return hashlib.file_digest(there, "sha256").hexdigest()
