"""Small requests to a bucket: its objects in the order of their keys, one object, a signed URL, and a check."""

from collections.abc import AsyncIterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal

import obstore
from obstore.store import S3Store

from hookline.api import JsonValue, StepError
from hookline_s3.failures import translated
from hookline_s3.steps.object_keys import checked


async def objects(
    bucket: S3Store, prefix: str, pattern: str, *, after: str | None = None
) -> AsyncIterator[dict[str, JsonValue]]:
    """Yield the objects under a prefix whose names match. Raises StepError.

    `after`: only objects whose keys come after this one.
    """
    if prefix:
        checked(prefix.rstrip("/"))
    with translated("the objects" if not prefix else f"the objects under {prefix!r}"):
        async for page in obstore.list(bucket, prefix.rstrip("/") or None, offset=after, chunk_size=1000):
            for found in page:
                one = _described(found)
                if fnmatchcase(str(one["name"]), pattern):
                    yield one


async def some_objects(bucket: S3Store, prefix: str, pattern: str, most: int) -> list[dict[str, JsonValue]]:
    """Return the objects under a prefix as a list. Raises StepError (`s3.too_many`)."""
    found: list[dict[str, JsonValue]] = []
    async for one in objects(bucket, prefix, pattern):
        if len(found) == most:
            raise StepError(
                f"more than {most} objects under {prefix!r} match {pattern!r}; use a narrower prefix or pattern, move "
                "processed objects away, or list them as a stream",
                code="s3.too_many",
            )
        found.append(one)
    return found


async def head(bucket: S3Store, key: str) -> dict[str, JsonValue] | None:
    """Return the metadata of an object; None if it doesn't exist. Raises StepError."""
    with translated(repr(key)):
        try:
            return _described(await obstore.head_async(bucket, checked(key)))
        except FileNotFoundError:
            return None


async def link(bucket: S3Store, key: str, method: Literal["GET", "PUT"], expires: timedelta) -> str:
    """Return a URL by which anybody may read or write an object for some time. Raises StepError."""
    with translated(repr(key)):
        return await obstore.sign_async(bucket, method, checked(key), expires)


async def answers(bucket: S3Store) -> None:
    """Make a small request to the bucket. Raises StepError."""
    with translated("the bucket"):
        async for _ in obstore.list(bucket, chunk_size=1):
            return


def _described(found: Any) -> dict[str, JsonValue]:
    """Return an object as it is listed: `key, name, size, modified_at, etag`."""
    key: str = found["path"]
    return {
        "key": key,
        "name": key.rpartition("/")[2],
        "size": found["size"],
        "modified_at": found["last_modified"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "etag": (found["e_tag"] or "").strip('"'),
    }
