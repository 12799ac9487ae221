"""multipart/form-data, streamed: files go to the blob store as they arrive, and fields become the body."""

import logging
import re
from collections.abc import AsyncIterable, Callable
from functools import partial
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from hookline.bodies.json import Room, read_json
from hookline.bodies.media_types import OCTET_STREAM, Media, read_media
from hookline.bodies.received_body import Received
from hookline.bodies.text import decode_text
from hookline.bodies.urlencoded import PLAIN, Naming, collect
from hookline.kernel.errors import Malformed, TooLarge
from hookline.kernel.json import OFF_THE_LOOP
from hookline.model.message import Attachment
from hookline.plugin_host.large_value_work import Offloader
from hookline.service.uploads.file_types import FileTypes
from hookline.service.uploads.incoming_files import IncomingFile, clean_filename, read_disposition
from hookline.service.uploads.request_blobs import RequestBlobs

MAX_PARTS: Final = 1000
_PADDING: Final = 256
"""The most bytes of the first boundary's line beside the boundary."""

# The parser warns of every malformed body; errors of senders don't belong in the log.
_silent = logging.getLogger("hookline.service.multipart.parser")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class _Events:
    """Collects the parser's callbacks in a list, so that their effects can be awaited."""

    def __init__(self, boundary: bytes) -> None:
        self.queue: list[tuple[str, bytes]] = []
        spans = ("header_field", "header_value", "part_data")
        marks = ("part_begin", "part_end", "header_end", "headers_finished", "end")
        callbacks: dict[str, Any] = {f"on_{name}": self._span(name) for name in spans}
        callbacks |= {f"on_{name}": self._mark(name) for name in marks}
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]  # keys are made above
        except FormParserError as error:
            raise Malformed(f"the multipart boundary is wrong: {error}") from None
        self._parser.logger = _silent
        self._opening = re.compile(rb"(\r\n)?--" + re.escape(boundary) + rb"(--|[ \t]*\r\n)")
        self._delimiter = b"--" + boundary
        self._kept = len(boundary) + _PADDING
        self._before: bytes | None = b"\r\n"
        """The end of the preamble so far; None once the first boundary has come."""
        self._has_preamble = False

    def _span(self, name: str) -> Callable[[bytes, int, int], None]:
        return lambda data, start, end: self.queue.append((name, data[start:end]))

    def _mark(self, name: str) -> Callable[[], None]:
        return lambda: self.queue.append((name, b""))

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        """Return the events of a chunk. Raises Malformed."""
        self.queue = []
        if self._before is not None:
            chunk = self._after_preamble(self._before + chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Malformed(f"the body is not multipart: {error}") from None
        return self.queue

    def _after_preamble(self, data: bytes) -> bytes:
        """Drop what stands before the first boundary, and the blanks after it (RFC 2046, 5.1.1)."""
        opening = self._opening.search(data)
        start = len(data) - self._kept if opening is None else opening.start()
        self._has_preamble = self._has_preamble or bool(data[: max(0, start)].strip(b"\r\n"))
        if opening is None:
            self._before = data[-self._kept :]
            return b""
        # Parts before it would be lost.
        if opening[1] is None:
            raise Malformed("the first boundary of the multipart body doesn't begin a line")
        if opening[2] == b"--" and self._has_preamble:
            raise Malformed("the multipart body has text, and no part that begins with its boundary")
        self._before = None
        return self._delimiter + opening[2].lstrip(b" \t") + data[opening.end() :]


class _Part:
    """One part as it arrives."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.name = ""
        self.filename: bytes | None = None
        self.media: Media | None = None
        self.data: list[bytes] = []
        self.size = 0
        self.file: IncomingFile | None = None

    def begin(self) -> None:
        """Read the headers once all are there. Raises Malformed."""
        kind, options = read_disposition(self.headers.get(b"content-disposition", b"").decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise Malformed("a part of the multipart body has no `Content-Disposition: form-data` with a name")
        if self.headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
            raise Malformed("a part of the multipart body has a Content-Transfer-Encoding; send its plain bytes")
        self.name = decode_text(options[b"name"], None, "a part's name")
        self.filename = options.get(b"filename")
        if (content_type := self.headers.get(b"content-type")) is not None:
            self.media = read_media(content_type.decode("latin-1"))

    @property
    def is_file(self) -> bool:
        """True for a part with a file name, or of a type that has no text."""
        return self.filename is not None or (
            self.media is not None and self.media.said and self.media.kind in ("file", "multipart")
        )

    def value(self, charset: str | None, room: Room, *, exact: bool) -> Any:
        """The value of a field: JSON if it is declared so, otherwise text. Raises Malformed and TooLarge."""
        data, what = b"".join(self.data), f"the field {self.name[:80]!r}"
        if self.media is None:
            return decode_text(data, charset, what)
        if self.media.kind == "json":
            return read_json(data, self.media.charset, what, exact=exact, room=room).body
        return decode_text(data, self.media.charset or charset, what)


class MultipartReader:
    """Reads one body."""

    def __init__(
        self,
        blobs: RequestBlobs,
        max_body: int,
        max_file: int,
        offloader: Offloader,
        *,
        types: FileTypes | None = None,
        naming: Naming = PLAIN,
    ) -> None:
        """`max_body`: bytes in all fields together; `max_file`: bytes in each file; `types`: the accepted types of
        files. The offloader reads large fields in a thread."""
        self._blobs = blobs
        self._offloader = offloader
        self._max_body = max_body
        self._max_file = max_file
        self._types = types
        self._naming = naming
        self._fields: list[tuple[str, Any]] = []
        self._fields_size = 0
        self._room = Room(blobs.hold_values)
        self._charset: str | None = None
        self._attachments: list[Attachment] = []
        self._parts = 0
        self._ended = False
        self.brings_files = False
        """True once a file has begun."""
        self._part = _Part()
        self._header = [b"", b""]

    async def read(self, chunks: AsyncIterable[bytes], boundary: bytes | None) -> Received:
        """Read the fields as the body, and the files as attachments. Raises Malformed, TooLarge, UnsupportedMedia."""
        if not boundary:
            raise Malformed("the Content-Type multipart/form-data names no boundary")
        events = _Events(boundary)
        async for chunk in chunks:
            for name, data in events.feed(chunk):
                await self._take(name, data)
        if not self._ended:
            raise Malformed("the multipart body ends before its last boundary")
        large = self._fields_size > OFF_THE_LOOP
        body = await self._offloader.run(partial(collect, self._fields, self._naming, self._room), large=large)
        return Received(body, attachments=tuple(self._attachments))

    async def _take(self, event: str, data: bytes) -> None:
        match event:
            case "part_data":
                await self._data(data)
            case "part_begin":
                self._parts += 1
                if self._parts > MAX_PARTS:
                    raise Malformed(f"the multipart body has more than {MAX_PARTS} parts")
                self._part = _Part()
            case "header_field":
                self._header[0] += data
            case "header_value":
                self._header[1] += data
            case "header_end":
                name = self._header[0].lower()
                if name in self._part.headers:
                    raise Malformed(f"a part of the multipart body has several {name[:40].decode()} headers; send one")
                self._part.headers[name] = self._header[1]
                self._header = [b"", b""]
            case "headers_finished":
                self._part.begin()
            case "part_end":
                await self._end()
            case "end":
                self._ended = True

    async def _data(self, data: bytes) -> None:
        part = self._part
        part.size += len(data)
        if part.is_file:
            if part.size > self._max_file:
                raise TooLarge(f"the file {part.name[:80]!r} is larger than {self._max_file} bytes")
            await self._file(part).write(data)
            return
        self._fields_size += len(data)
        if self._fields_size > self._max_body:
            raise TooLarge(f"the fields of the multipart body are larger than {self._max_body} bytes")
        self._blobs.hold(self._fields_size)
        part.data.append(data)

    def _file(self, part: _Part) -> IncomingFile:
        if part.file is None:
            self.brings_files = True
            media_type = part.media.type if part.media is not None else OCTET_STREAM
            part.file = IncomingFile(self._blobs, media_type, self._types, f"the file {part.name[:80]!r}")
        return part.file

    async def _end(self) -> None:
        part = self._part
        if not part.is_file:
            read = partial(part.value, self._charset, self._room, exact=self._naming.exact)
            value = await self._offloader.run(read, large=part.size > OFF_THE_LOOP)
            # RFC 7578, 4.6: a form may name the charset of the fields that name none.
            if part.name == "_charset_" and isinstance(value, str):
                self._charset = value
            self._fields.append((part.name, value))
            return
        # Browsers send a file without a name if none was chosen.
        if part.filename == b"" and not part.size:
            return
        file = self._file(part)
        blob = await file.commit()
        self._attachments.append(
            Attachment(blob.id, part.name, clean_filename(part.filename), file.media_type, blob.size, blob.sha256)
        )
