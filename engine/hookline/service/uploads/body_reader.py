"""From bytes to the body of a message: the media type decides how they are read, and the limits how many."""

from collections.abc import AsyncIterable, AsyncIterator
from functools import partial

import msgspec

from hookline.bodies.json import Room, read_json
from hookline.bodies.media_types import Media, MediaKind
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text
from hookline.bodies.urlencoded import PLAIN, Naming, read_form, read_properties
from hookline.bodies.xml import read_xml
from hookline.kernel.errors import Malformed
from hookline.kernel.json import is_heavy
from hookline.model.webhook import RequestSettings
from hookline.plugin_host.large_value_work import Offloader
from hookline.service.uploads.body_stream import StagedBody
from hookline.service.uploads.decompression import decompress
from hookline.service.uploads.file_types import FileTypes
from hookline.service.uploads.incoming_files import IncomingFile, check_stored_type, file_message, store_file
from hookline.service.uploads.multipart import MultipartReader
from hookline.service.uploads.request_blobs import RequestBlobs


class BodyLimits(msgspec.Struct, frozen=True):
    """Bytes that a request may bring."""

    body: int
    file: int

    def wire(self, kind: MediaKind) -> int:
        """The bytes that may be received for a kind of body; decompressed, it may be as large."""
        if kind == "file":
            return self.file
        return self.file + self.body if kind == "multipart" else self.body


class BodyReader(msgspec.Struct, frozen=True):
    """Reads the body of one request."""

    media: Media
    codings: tuple[str, ...]
    limits: BodyLimits
    webhook: RequestSettings
    query: bytes
    disposition: str | None
    exact: bool
    """True if fractions in JSON become Decimals."""
    offloader: Offloader
    """Reads large bodies in a thread."""

    async def read(self, chunks: AsyncIterator[bytes], blobs: RequestBlobs) -> Received:
        """Read a body, from the connection or staged. Raises Malformed, TooLarge and UnsupportedMedia."""
        media = self.media
        kind = media.kind
        if kind == "file":
            file = IncomingFile(blobs, media.type, self._types(), "the body")
            # If the request or the flow says that it is a file, an empty one is one too.
            keep_empty = media.said or self.webhook.body == "raw"
            blob = await store_file(self._plain(chunks), file, keep_empty=keep_empty)
            return file_message(blob, file.media_type, self.disposition) if blob else Received()
        if kind == "multipart":
            reader = MultipartReader(
                blobs,
                self.limits.body,
                self.limits.file,
                self.offloader,
                types=self._types(),
                naming=self._naming(),
            )
            noted = _Form(chunks, reader, blobs, self.limits.body)
            received = await reader.read(self._plain(noted), media.boundary)
            return msgspec.structs.replace(received, raw=noted.raw)
        if not self.codings:
            return await self._inline(await _joined(chunks, blobs), blobs)
        wire: list[bytes] = []
        data = await _joined(self._plain(_noting(chunks, wire, blobs)), blobs)
        received = await self._inline(data, blobs)
        return msgspec.structs.replace(received, raw=b"".join(wire))

    async def read_staged(self, staged: StagedBody, blobs: RequestBlobs) -> Received:
        """Read a body that waited for its signature; a large file is in the blob store already."""
        media = self.media
        if media.kind == "file" and not self.codings and (blob := await staged.blob()) is not None:
            types = self._types()
            media_type = media.type if types is None else await check_stored_type(blob, blobs, media.type, types)
            return file_message(blob, media_type, self.disposition)
        return await self.read(aiter(staged), blobs)

    def _naming(self) -> Naming:
        webhook = self.webhook
        if not webhook.nested and not webhook.json_fields and not self.exact:
            return PLAIN
        return Naming(webhook.nested, frozenset(webhook.json_fields), self.exact)

    def _types(self) -> FileTypes | None:
        """The accepted types of files: those of the flow, or those of its bodies if the body is the file."""
        taken = self.webhook.file_types
        if taken is None and self.media.kind == "file":
            taken = self.webhook.media_types
        return None if taken is None else FileTypes(taken)

    def _plain(self, chunks: AsyncIterator[bytes]) -> AsyncIterable[bytes]:
        if not self.codings:
            return chunks
        return decompress(chunks, self.codings, self.limits.wire(self.media.kind), self.webhook.max_ratio)

    async def _inline(self, data: bytes, blobs: RequestBlobs) -> Received:
        if self.media.kind == "query":
            if data:
                raise Malformed("a GET request has no body here: its query is the body")
            data = self.query
        read = partial(self._value, data, Room(blobs.hold_values))
        return await self.offloader.run(read, large=True) if is_heavy(data) else read()

    def _value(self, data: bytes, room: Room) -> Received:
        charset = self.media.charset
        match self.media.kind:
            case "json":
                return read_json(data, charset, exact=self.exact, room=room)
            case "xml":
                return read_xml(data, charset, self.webhook.force_list, room)
            case "properties":
                return read_form(data, charset, self._naming(), room)
            case "query":
                return Received(read_properties(data, None, "the query", self._naming(), room))
            case _:
                return Received(decode_text(data, charset), raw=data)


async def _joined(chunks: AsyncIterable[bytes], blobs: RequestBlobs) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        blobs.hold(size)
        parts.append(chunk)
    return b"".join(parts)


async def _noting(chunks: AsyncIterator[bytes], into: list[bytes], blobs: RequestBlobs) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        blobs.hold(size)
        into.append(chunk)
        yield chunk


class _Form:
    """The chunks of a form, which are kept as long as it brings no file: files are stored once, as files."""

    def __init__(self, chunks: AsyncIterator[bytes], reader: MultipartReader, blobs: RequestBlobs, most: int) -> None:
        """`most`: bytes that are kept, since content outside of all parts is only bounded as files are."""
        self._chunks = chunks
        self._reader = reader
        self._blobs = blobs
        self._most = most
        self._size = 0
        self._noted: list[bytes] | None = []

    def __aiter__(self) -> "_Form":
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        if self._noted is not None:
            self._size += len(chunk)
            if self._size > self._most or self._reader.brings_files:
                self._noted = None
            else:
                self._blobs.hold(self._size)
                self._noted.append(chunk)
        return chunk

    @property
    def raw(self) -> bytes | None:
        """The whole form once it is read, or None if it brought a file."""
        return None if self._noted is None or self._reader.brings_files else b"".join(self._noted)
