"""The actions `s3.…`. The library is imported when one of them runs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Attachment, Context, Duration, Either, Encoding, JsonValue, Reach, Reply, StepError
from hookline_s3.connector import Bucket, Key, Replace, S3Credential, connector

#: Makes the mark for "not given"; as a factory, it isn't shown in the schema.
_NOT_GIVEN: Any = Field(
    default_factory=lambda: ..., description="The content: a text, or another JSON value, which is written as JSON."
)
_LONGEST_LINK = timedelta(days=7)


@connector.action(idempotent=True)
async def read(
    ctx: Context[S3Credential],
    key: Key,
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
            description="The maximum size of the object in bytes; by default 1 GB for an attachment or a stream, and "
            "10 MB otherwise.",
        ),
    ] = None,
    bucket: Bucket = None,
) -> Reply:
    """Read an object.

    Besides the body, the result has `key`, `size` and `etag`. The body is null if the object becomes an attachment.
    """
    from hookline_s3.steps import object_reader, open_buckets

    return await object_reader.read_object(
        ctx, await open_buckets.bucket_of(ctx, bucket), key, format, encoding, max_bytes
    )


@connector.action(idempotent=True)
async def write(
    ctx: Context[S3Credential],
    key: Key,
    content: Annotated[Any, Either("file")] = _NOT_GIVEN,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="Instead of `content`: an attachment of the message, or its name."),
    ] = None,
    mode: Annotated[
        Literal["replace", "create"],
        Field(description="If the object exists: replace it, or fail and keep it."),
    ] = "replace",
    content_type: Annotated[
        str | None,
        Field(
            pattern=r"^[\x21-\x7e]+/[\x20-\x7e]+$",
            description="The media type of the object; by default that of the file, or according to the key's "
            "extension.",
        ),
    ] = None,
    encoding: Annotated[Encoding, Field(description="The encoding of a text.")] = "utf-8",
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Write an object.

    The result is `key`, `size`, `sha256` and `etag`. The object appears only when it is complete. Above 8 MB, it is
    uploaded in parts; if two steps `create` an object of such a size at the same time, the last one stays. If `create`
    finds an object with the same content, it counts as written by an interrupted attempt.
    """
    if (content is not ...) == (file is not None):
        raise StepError("give either `content` or `file`", code="s3.content")
    from hookline_s3.steps import object_writes, open_buckets

    data = object_writes.encoded(content, encoding) if file is None else _attached(ctx, file)
    store = await open_buckets.bucket_of(ctx, bucket)
    return await object_writes.write_object(ctx, store, key, data, content_type, replace=mode == "replace")


def _attached(ctx: Context[Any], wanted: str | dict[str, JsonValue]) -> Attachment:
    # Only the message's own attachments: an id in a message must not open a file of another execution.
    found = ctx.message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(one.name) for one in ctx.message.attachments) or "none"
    what = f"`file` gives {wanted!r}" if isinstance(wanted, str) else "`file` doesn't match an attachment"
    raise StepError(f"{what}: the message has {named}; choose one, such as `$.attachments[0]`", code="s3.attachment")


@connector.action(name="list", idempotent=True)
async def list_objects(
    ctx: Context[S3Credential],
    prefix: Annotated[
        str, Reach("object"), Field(description="The prefix of the keys, up to a slash; by default all keys.")
    ] = "",
    pattern: Annotated[
        str,
        Reach("pattern"),
        Field(
            min_length=1,
            description="The pattern of the names to list, such as `*.csv`; a name is the part after the last slash.",
        ),
    ] = "*",
    max_objects: Annotated[
        int,
        Field(ge=1, le=100_000, description="The maximum number of objects; more are an error, except for a stream."),
    ] = 10_000,
    stream: Annotated[
        bool,
        Field(description="True if the result is a stream, which `foreach` reads, however many objects there are."),
    ] = False,
    bucket: Bucket = None,
) -> list[dict[str, JsonValue]] | AsyncIterator[dict[str, JsonValue]]:
    """List objects.

    The result is a list, ordered by key, of `key`, `name`, `size`, `modified_at` and `etag`.
    """
    from hookline_s3.steps import bucket_requests, open_buckets

    store = await open_buckets.bucket_of(ctx, bucket)
    if stream:
        return bucket_requests.objects(store, prefix, pattern)
    return await bucket_requests.some_objects(store, prefix, pattern, max_objects)


@connector.action(idempotent=True)
async def exists(ctx: Context[S3Credential], key: Key, bucket: Bucket = None) -> dict[str, JsonValue]:
    """Check if an object exists.

    The result is `{"exists": …}`, and for an object that exists, its `size`, `modified_at` and `etag`.
    """
    from hookline_s3.steps import bucket_requests, open_buckets

    found = await bucket_requests.head(await open_buckets.bucket_of(ctx, bucket), key)
    if found is None:
        return {"exists": False}
    return {"exists": True, **{name: found[name] for name in ("size", "modified_at", "etag")}}


@connector.action(idempotent=True)
async def delete(ctx: Context[S3Credential], key: Key, bucket: Bucket = None) -> dict[str, JsonValue]:
    """Delete an object.

    The result is `key` and `deleted`, which is false if there was no object.
    """
    from hookline_s3.steps import object_writes, open_buckets

    return {"key": key, "deleted": await object_writes.delete_object(await open_buckets.bucket_of(ctx, bucket), key)}


@connector.action(idempotent=True)
async def copy(
    ctx: Context[S3Credential],
    key: Key,
    to: Annotated[str, Reach("object"), Field(description="The key of the copy, in the same bucket.")],
    replace: Replace = False,
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Copy an object, of at most 5 GB.

    The result is `key`, that of the copy, and `size`. If `to` has an equal object, it counts as the copy, made by an
    interrupted attempt.
    """
    from hookline_s3.steps import object_writes, open_buckets

    return await object_writes.copy_object(
        await open_buckets.bucket_of(ctx, bucket), key, to, replace=replace, move=False
    )


@connector.action(idempotent=True)
async def move(
    ctx: Context[S3Credential],
    key: Key,
    to: Annotated[str, Reach("object"), Field(description="The new key, in the same bucket.")],
    replace: Replace = False,
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Move or rename an object, of at most 5 GB.

    The result is `key`, the new one, and `size`. The object is copied and then deleted. If there is no object at `key`,
    and one at `to`, it counts as moved by an interrupted attempt.
    """
    from hookline_s3.steps import object_writes, open_buckets

    return await object_writes.copy_object(
        await open_buckets.bucket_of(ctx, bucket), key, to, replace=replace, move=True
    )


@connector.action(idempotent=True)
async def link(
    ctx: Context[S3Credential],
    key: Key,
    expires: Annotated[
        Duration,
        Field(gt=timedelta(0), le=_LONGEST_LINK, description="The time for which the URL works, at most a week."),
    ] = timedelta(hours=1),
    method: Annotated[
        Literal["GET", "PUT"], Field(description="The operation that the URL allows: reading or writing the object.")
    ] = "GET",
    bucket: Bucket = None,
) -> dict[str, JsonValue]:
    """Make a URL by which anybody can read or write an object for some time.

    The result is `{"url": …}`. It isn't checked if the object exists. The URL alone is enough to use the object, so
    keep it as secret as the object.
    """
    from hookline_s3.steps import bucket_requests, open_buckets

    return {"url": await bucket_requests.link(await open_buckets.bucket_of(ctx, bucket), key, method, expires)}
