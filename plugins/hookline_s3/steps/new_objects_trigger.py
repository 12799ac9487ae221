"""The trigger `s3.new`."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import PollContext, PollResult, Reach, ResetsCursor
from hookline_s3.connector import S3Credential, connector


@connector.poll(every="1m")
async def new(
    ctx: PollContext[S3Credential],
    cursor: Any,
    prefix: Annotated[
        str,
        Reach("object"),
        ResetsCursor(),
        Field(description="The prefix of the keys, up to a slash; by default all keys."),
    ] = "",
    pattern: Annotated[
        str,
        Reach("pattern"),
        ResetsCursor(),
        Field(
            min_length=1,
            description="The pattern of the names to watch, such as `*.csv`; a name is the part after the last slash.",
        ),
    ] = "*",
    bucket: Annotated[
        str | None, Reach("object"), ResetsCursor(), Field(description="The bucket; by default the credential's.")
    ] = None,
    ordered: Annotated[
        bool,
        ResetsCursor(),
        Field(
            description="True if new keys always come last, such as those that begin with a date: then only keys "
            "after the last one are listed, and there may be any number. Changed objects, and new ones "
            "with smaller keys, are missed."
        ),
    ] = False,
) -> PollResult:
    """Starts an execution for each new or changed object of a bucket.

    The message's body is `key` (for `s3.read`), `name`, `size`, `modified_at` and `etag`. An object appears in a bucket
    only when it is complete. Each poll lists all keys under the prefix, with a request for each 1,000; at most 20,000
    may match, unless they are `ordered`.
    """
    from hookline_s3.steps import changed_objects, open_buckets

    look = changed_objects.later_objects if ordered else changed_objects.new_objects
    return await look(await open_buckets.bucket_of(ctx, bucket), prefix, pattern, cursor, baseline=ctx.baseline)
