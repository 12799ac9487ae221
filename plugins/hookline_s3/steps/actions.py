"""The actions `s3.…`. The library is imported when one of them runs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Attachment, Context, Duration, Either, Encoding, JsonValue, Reply, StepError
from hookline_s3.connector import Bucket, Key, Replace, S3Credential, connector

#: Gives what stands for "not given", and is no default that a schema would have to show.
_NOT_GIVEN: Any = Field(default_factory=lambda: ..., description="A text, or a JSON value, which is written as JSON.")
_LONGEST_LINK = timedelta(days=7)


@connector.action(idempotent=True)
async def read(
    ctx: Context[S3Credential],
    key: Key,
    format: Annotated[
        Literal["attachment", "text", "json", "lines", "json_lines"],
        Field(
            description="What it becomes: an attachment beside the message's own, a text, or a JSON value; as `lines` "
            "and `json_lines`, a stream of texts or of JSON values, one for each line, which `foreach` goes through."
        ),
    ] = "attachment",
    encoding: Annotated[Encoding, Field(description="How a text is read.")] = "utf-8",
    max_bytes: Annotated[
        int | None,
        Field(
            gt=0, description="The largest object; by default 1 GB as an attachment or a stream, and 10 MB otherwise."
        ),
    ] = None,
    bucket: Bucket = None,
) -> Reply:
    """Read an object.

    `key`, `size` and `etag` stand beside the result's body, which is null where the object becomes an attachment.
    """
    from hookline_s3.steps import object_reader, open_buckets

    return await object_reader.read_object(ctx, open_buckets.bucket_of(ctx, bucket), key, format, encoding, max_bytes)


@connector.action(idempotent=True)
async def write(
    ctx: Context[S3Credential],
    key: Key,
    content: Annotated[Any, Either("file")] = _NOT_GIVEN,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Field(description="Instead of `content`: one of the message's attachments, or its name."),
    ] = None,
    mode: Annotated[
        Literal["replace", "create"],
        Field(description="What happens where there is an object: it is replaced, or it stays and the step fails."),
    ] = "replace",
    content_type: Annotated[
        str | None,
        Field(
            pattern=r"^[\x21-\x7e]+/[\x20-\x7e]+$",
            description="The media type that the object has; by default the file's, or what the key's ending says.",
        ),
    ] = None,
    encoding: Annotated[Encoding, Field(description="How a text is written.")] = "utf-8",
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Write an object.

    The result is `key`, `size`, `sha256` and `etag`. An object is there whole or not at all. Above 8 MB it goes up in
    parts; of two that `create` one of such a size at one time, the last stays. An object that `create` finds with the
    very content is taken for its own, from an attempt that was interrupted.
    """
    if (content is not ...) == (file is not None):
        raise StepError("give either `content` or `file`", code="s3.content")
    from hookline_s3.steps import object_changes, open_buckets

    data = object_changes.encoded(content, encoding) if file is None else _attached(ctx, file)
    store = open_buckets.bucket_of(ctx, bucket)
    return await object_changes.write_object(ctx, store, key, data, content_type, replace=mode == "replace")


def _attached(ctx: Context[Any], wanted: str | dict[str, JsonValue]) -> Attachment:
    # Looked up among the message's own: an id that a message brings along opens no other execution's file.
    found = ctx.message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(one.name) for one in ctx.message.attachments) or "none"
    what = f"`file` names {wanted!r}" if isinstance(wanted, str) else "`file` gives what isn't there"
    raise StepError(f"{what}: the message has {named}; choose as `$.attachments[0]` does", code="s3.attachment")


@connector.action(name="list", idempotent=True)
async def list_objects(
    ctx: Context[S3Credential],
    prefix: Annotated[
        str, Field(description="What the keys begin with, up to a slash; by default all keys count.")
    ] = "",
    pattern: Annotated[
        str,
        Field(
            min_length=1, description="The names that count, such as `*.csv`; a name is what follows the last slash."
        ),
    ] = "*",
    max_objects: Annotated[int, Field(ge=1, le=100_000, description="More are an error, but for a stream.")] = 10_000,
    stream: Annotated[
        bool, Field(description="The result is a stream, which `foreach` goes through however many there are.")
    ] = False,
    bucket: Bucket = None,
) -> list[dict[str, JsonValue]] | AsyncIterator[dict[str, JsonValue]]:
    """List objects.

    The result is a list, by key, of `key`, `name`, `size`, `modified_at` and `etag`.
    """
    from hookline_s3.steps import listing, open_buckets

    store = open_buckets.bucket_of(ctx, bucket)
    if stream:
        return listing.objects(store, prefix, pattern)
    return await listing.some_objects(store, prefix, pattern, max_objects)


@connector.action(idempotent=True)
async def exists(ctx: Context[S3Credential], key: Key, bucket: Bucket = None) -> dict[str, JsonValue]:
    """Say whether there is an object.

    The result is `{"exists": …}`, and for one that is there its `size`, `modified_at` and `etag`.
    """
    from hookline_s3.steps import listing, open_buckets

    found = await listing.head(open_buckets.bucket_of(ctx, bucket), key)
    if found is None:
        return {"exists": False}
    return {"exists": True, **{name: found[name] for name in ("size", "modified_at", "etag")}}


@connector.action(idempotent=True)
async def delete(ctx: Context[S3Credential], key: Key, bucket: Bucket = None) -> dict[str, JsonValue]:
    """Delete an object.

    The result is `key`, and `deleted`: false where there was none.
    """
    from hookline_s3.steps import object_changes, open_buckets

    return {"key": key, "deleted": await object_changes.delete_object(open_buckets.bucket_of(ctx, bucket), key)}


@connector.action(idempotent=True)
async def copy(
    ctx: Context[S3Credential],
    key: Key,
    to: Annotated[str, Field(description="The key of the copy, in the same bucket.")],
    replace: Replace = False,
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Copy an object, of at most 5 GB.

    The result is `key`, that of the copy, and `size`. An equal object that is there is taken for the copy, from an
    attempt that was interrupted.
    """
    from hookline_s3.steps import object_changes, open_buckets

    return await object_changes.copy_object(open_buckets.bucket_of(ctx, bucket), key, to, replace=replace, move=False)


@connector.action(idempotent=True)
async def move(
    ctx: Context[S3Credential],
    key: Key,
    to: Annotated[str, Field(description="The new key, in the same bucket.")],
    replace: Replace = False,
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Move or rename an object, of at most 5 GB.

    The result is `key`, the new one, and `size`. It is copied and then deleted. Where none is at `key` and one is at
    `to`, an attempt that was interrupted has moved it.
    """
    from hookline_s3.steps import object_changes, open_buckets

    return await object_changes.copy_object(open_buckets.bucket_of(ctx, bucket), key, to, replace=replace, move=True)


@connector.action(idempotent=True)
async def link(
    ctx: Context[S3Credential],
    key: Key,
    expires: Annotated[
        Duration, Field(gt=timedelta(0), le=_LONGEST_LINK, description="For how long it works, at most a week.")
    ] = timedelta(hours=1),
    method: Annotated[
        Literal["GET", "PUT"], Field(description="What it allows: to read the object, or to write it.")
    ] = "GET",
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Make a URL with which anybody can read or write an object for some time.

    The result is `{"url": …}`. It isn't looked whether the object is there. Who has the URL needs nothing else, so that
    it is as secret as what it gives.
    """
    from hookline_s3.steps import listing, open_buckets

    return {"url": await listing.link(open_buckets.bucket_of(ctx, bucket), key, method, expires)}
