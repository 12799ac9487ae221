"""Bytes that a broker delivers, read as those of a request are."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec

from hookline.bodies.forms import read_form
from hookline.bodies.json import read_json
from hookline.bodies.media import OCTET_STREAM, Media, read_media
from hookline.bodies.text import Received, decode_text
from hookline.bodies.xml import read_xml
from hookline.kernel.errors import Malformed, TooLarge
from hookline.model.message import Attachment
from hookline.plugin_host.offload import Offloader
from hookline.sdk.triggers import Payload
from hookline.storage.blobs import Blobs

Mode: TypeAlias = Literal["auto", "json", "text", "raw"]

_OFF_THE_LOOP: Final = 64 * 1024
"""Bytes above which a body is read in a thread."""


class PayloadReader(msgspec.Struct, frozen=True):
    """Reads what is delivered to one flow."""

    blobs: Blobs
    offloader: Offloader
    mode: Mode
    exact: bool
    """Fractions in JSON are Decimals."""
    max_body: int

    async def read(self, payload: Payload) -> Received:
        """What a payload becomes. Raises Malformed, TooLarge, and StoreError where its file can't be kept."""
        media = read_media(payload.content_type)
        inline = self._inline(media, payload.data)
        if inline is None:
            return await self._file(payload, media.type)
        size = len(payload.data)
        if size > self.max_body:
            raise TooLarge(f"the body is larger than {self.max_body} bytes")
        received = await self.offloader.run(inline, large=size > _OFF_THE_LOOP)
        return received if received is not None else await self._file(payload, OCTET_STREAM)

    def _inline(self, media: Media, data: bytes) -> Callable[[], Received | None] | None:
        """What reads a body; None where it is a file. It gives None where it finds that it is one."""
        charset, exact = media.charset, self.exact
        kind = media.kind if self.mode == "auto" else self.mode
        match kind:
            case "json":
                return lambda: read_json(data, charset, exact=exact)
            case "text":
                return lambda: Received(decode_text(data, charset), raw=data)
            case "xml":
                return lambda: read_xml(data, charset, ())
            case "properties":
                return lambda: read_form(data, charset)
            case "file" if self.mode == "auto" and not media.said and len(data) <= self.max_body:
                return lambda: _guessed(data, exact)
            case _:
                return None

    async def _file(self, payload: Payload, media_type: str) -> Received:
        writer = await self.blobs.create()
        try:
            await writer.write(payload.data)
            blob = await writer.commit()
        finally:
            await writer.abort()
        kept = Attachment(blob.id, "body", payload.filename, media_type, blob.size, blob.sha256)
        return Received(attachments=(kept,))


def _guessed(data: bytes, exact: bool) -> Received | None:
    """What bytes of no type are: JSON, or else text; None where they are neither."""
    try:
        return read_json(data, exact=exact)
    except (Malformed, TooLarge):
        pass
    # No text has a NUL.
    if b"\0" in data:
        return None
    try:
        return Received(decode_text(data, None), raw=data)
    except Malformed:
        return None
