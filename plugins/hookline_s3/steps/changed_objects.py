"""The objects of a bucket that are new or changed since the last poll."""

from typing import Any, Final

from obstore.store import S3Store

from hookline.api import PollItem, PollResult, StepError, changed_items
from hookline_s3.steps.bucket_requests import objects

TRACKED: Final = 20_000
"""The most objects that are tracked: each is in the cursor."""
_MOST_ITEMS: Final = 1000


async def new_objects(bucket: S3Store, prefix: str, pattern: str, cursor: Any, *, baseline: bool) -> PollResult:
    """Return the objects that are new or changed since the last poll. Raises StepError (`s3.too_many`)."""
    found: list[PollItem] = []
    async for one in objects(bucket, prefix, pattern):
        if len(found) == TRACKED:
            raise StepError(
                f"more than {TRACKED} objects under {prefix!r} match {pattern!r}; move processed objects away, "
                'narrow the prefix or the pattern, or set "ordered": true if new keys always come last',
                code="s3.too_many",
            )
        found.append(PollItem(str(one["key"]), one))
    found.sort(key=lambda item: (str(item.body["modified_at"]), item.id))
    return changed_items(found, cursor, baseline=baseline)


async def later_objects(bucket: S3Store, prefix: str, pattern: str, cursor: Any, *, baseline: bool) -> PollResult:
    """Return the objects whose keys come after all earlier ones. Raises StepError."""
    if cursor is None and baseline:
        last: str | None = None
        async for one in objects(bucket, prefix, pattern):
            last = str(one["key"])
        return PollResult((), {"after": last})
    after = cursor["after"] if cursor is not None else None
    found: list[PollItem] = []
    async for one in objects(bucket, prefix, pattern, after=after):
        if len(found) == _MOST_ITEMS:
            return PollResult(found, {"after": found[-1].id}, more=True)
        found.append(PollItem(str(one["key"]), one))
    return PollResult(found, {"after": found[-1].id if found else after})
