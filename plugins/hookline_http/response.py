"""Converting a response's body to a JSON value, a text or a file."""

from email.message import Message as Header
from functools import lru_cache

from hookline.api import Attachment, Context, JsonValue, Reply, StepError, StreamedResponse

#: The most characters of a header that are read, because a server may repeat a header any number of times.
_LONGEST = 4096
#: Types whose content is text although they don't begin with `text/`.
_TEXT = frozenset(
    {
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
        "application/yaml",
    }
)


async def reply(ctx: Context[object], response: StreamedResponse, max_file: int) -> Reply:
    """Return the result of a step. JSON and text are read into memory, up to the client's limit; the rest is a file.

    Raises StepError: `http.body` for invalid JSON, `http.too_large` for a file of more than `max_file` bytes.
    """
    extra: dict[str, JsonValue] = {"status": response.status}
    media_type = _media_type(response.headers.get("content-type", "application/octet-stream")[:_LONGEST])
    if media_type == "application/json" or media_type.endswith("+json"):
        whole = await response.read()
        return Reply(whole.json() if whole.content else None, response.headers, extra)
    if media_type.startswith("text/") or media_type.endswith("+xml") or media_type in _TEXT:
        return Reply((await response.read()).text, response.headers, extra)
    file = await _keep(ctx, response, media_type, max_file)
    attachments = None if file is None else (*ctx.message.attachments, file)
    return Reply(None, response.headers, extra, attachments)


@lru_cache(256)
def _media_type(content_type: str) -> str:
    header = Header()
    header["content-type"] = content_type
    return header.get_content_type()


async def _keep(ctx: Context[object], response: StreamedResponse, media_type: str, max_file: int) -> Attachment | None:
    """Store the content as it arrives; return None if there is none."""
    writer = await ctx.blobs.create()
    try:
        async for chunk in response.chunks():
            await writer.write(chunk)
            if writer.size > max_file:
                raise StepError(f"the response is larger than {max_file} bytes", code="http.too_large")
        if not writer.size:
            return None
        blob = await writer.commit()
    finally:
        await writer.abort()
    return Attachment(
        id=blob.id,
        name="response",
        filename=_filename(response.headers.get("content-disposition")),
        type=media_type,
        size=blob.size,
        sha256=blob.sha256,
    )


def _filename(disposition: str | None) -> str | None:
    """Return the name that the server gives the file, without folders."""
    if disposition is None:
        return None
    header = Header()
    header["content-disposition"] = disposition[:_LONGEST]
    try:
        name = header.get_filename()
    except (TypeError, ValueError):  # for a mix of numbered and other parts, and for unknown charsets
        return None
    return name.replace("\\", "/").rpartition("/")[2] or None if name else None
