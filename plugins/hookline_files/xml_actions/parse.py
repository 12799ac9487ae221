"""The action `xml.parse`."""

import asyncio
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from hookline.api import (
    Context,
    Either,
    Encoding,
    JsonValue,
    Malformed,
    Reach,
    StepError,
    TooLarge,
    decode_xml,
    message_attachment,
)
from hookline_files.connectors import xml as xml_connector

_BYTES: Final = 10_000_000
_IN_A_THREAD: Final = 10_000


@xml_connector.action(pure=True)
async def parse(
    ctx: Context[None],
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Either("text", required=False),
        Field(
            description="An attachment of the message, or its name; by default the only one, or if there is none, the "
            "message's body, which must be a text."
        ),
    ] = None,
    text: Annotated[str | None, Field(description="Instead of `file`: the XML as text.")] = None,
    force_list: Annotated[
        list[str],
        Field(
            description="The names of elements that become lists even if there is only one of them.", max_length=1000
        ),
    ] = [],  # noqa: B006 - it is read only
    encoding: Annotated[
        Encoding | None, Field(description="The encoding of the file, instead of the one in its declaration.")
    ] = None,
    max_bytes: Annotated[
        int, Field(gt=0, le=100_000_000, description="The maximum size in bytes; a larger one is an error.")
    ] = _BYTES,
) -> JsonValue:
    """Read XML.

    The result is the same as for an XML body: an object with the root element's name as its key. Attributes are
    `@name`, a text beside attributes or elements is `#text`, several elements of one name are a list, and an empty
    element is null. Values are texts. XML with a DOCTYPE is an error, and so are more than 500,000 elements and
    attributes, or 128 levels.
    """
    if file is not None and text is not None:
        raise StepError("give either `file` or `text`", code="xml.input")
    if file is None and text is None and not ctx.message.attachments and isinstance(ctx.message.body, str):
        text = ctx.message.body
    data = await _content(ctx, file, max_bytes) if text is None else text.encode()
    charset = encoding if text is None else "utf-8"
    if len(data) > max_bytes:
        raise StepError(f"the XML has {len(data):,} bytes; `max_bytes` allows {max_bytes:,}", code="xml.too_large")
    read = partial(decode_xml, data, charset=charset, force_list=force_list)
    try:
        value: JsonValue = await asyncio.to_thread(read) if len(data) > _IN_A_THREAD else read()
    except Malformed as error:
        raise StepError(error.message, code="xml.syntax") from error
    except TooLarge as error:
        raise StepError(error.message, code="xml.too_large") from error
    return value


async def _content(ctx: Context[None], file: str | dict[str, JsonValue] | None, most: int) -> bytes:
    """Return the bytes of an attachment, at most one more than allowed."""
    attachment = message_attachment(ctx.message, file, setting="file", code="file.attachment")
    chunks, size = [], 0
    async for chunk in ctx.blobs.open(attachment.id):
        chunks.append(chunk)
        size += len(chunk)
        if size > most:
            raise StepError(
                f"{attachment.name!r} has {attachment.size:,} bytes; `max_bytes` allows {most:,}", code="xml.too_large"
            )
    return b"".join(chunks)
