"""The trigger `s3.new`."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import PollContext, PollResult, ResetsCursor
from hookline_s3.connector import S3Credential, connector


@connector.poll(every="1m")
async def new(
    ctx: PollContext[S3Credential],
    cursor: Any,
    prefix: Annotated[
        str, ResetsCursor(), Field(description="What the keys begin with, up to a slash; by default all keys count.")
    ] = "",
    pattern: Annotated[
        str,
        ResetsCursor(),
        Field(
            min_length=1, description="The names that count, such as `*.csv`; a name is what follows the last slash."
        ),
    ] = "*",
    bucket: Annotated[str | None, ResetsCursor(), Field(description="The bucket; or the credential's.")] = None,
    ordered: Annotated[
        bool,
        ResetsCursor(),
        Field(
            description="Whether keys grow, as those do that begin with a date: then only those behind the last are "
            "looked at, and there may be any number. An object that changes, or comes with a smaller key, isn't seen."
        ),
    ] = False,
) -> PollResult:
    """Starts an execution for each new or changed object of a bucket.

    The message's body is `key` (as `s3.read` takes it), `name`, `size`, `modified_at` and `etag`. A bucket shows no
    object before it is whole. Each look lists all keys under the prefix, a request for each 1,000; at most 20,000 may
    match, unless they are `ordered`.
    """
    from hookline_s3.steps import changed_objects, open_buckets

    look = changed_objects.later_objects if ordered else changed_objects.new_objects
    return await look(open_buckets.bucket_of(ctx, bucket), prefix, pattern, cursor, baseline=ctx.baseline)
