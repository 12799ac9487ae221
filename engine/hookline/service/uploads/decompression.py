"""Decompressing bodies as they arrive, within a size and a ratio."""

import asyncio
import sys
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]  # it ships no types

from hookline.kernel.errors import Malformed, TooLarge, UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE: Final = 64 * 1024
MAX_CODINGS: Final = 3
"""Codings in one header: each stage costs work and a window of its own."""

_GZIP: Final = 16 + zlib.MAX_WBITS
#: With `deflate` some senders mean zlib, as the RFC says, and others the bare stream.
_ZLIB: Final = zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS
#: 8 MB, which is what RFC 9659 lets senders ask of a receiver.
_ZSTD_WINDOW_LOG: Final = 23

ERRORS: Final[tuple[type[Exception], ...]] = (zlib.error, brotli.error, zstd.ZstdError)
"""The exceptions of streams for bytes that aren't of their coding."""


class Decompressor(Protocol):
    """Decompresses one coding. Raises one of `ERRORS`."""

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield everything that these bytes give, in pieces of about `PIECE` bytes."""
        ...

    def at_end(self) -> bool:
        """True if the compressed data may end here."""
        ...


class _Zlib:
    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._stream: zlib._Decompress | None = None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data:
            # gzip data may consist of several files, one after the other.
            if self._stream is None or self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP if self._gzip else _deflate_window(data))
            if piece := self._stream.decompress(data, PIECE):
                yield piece
            data = self._stream.unconsumed_tail or self._stream.unused_data
        # The content of the window comes out before the next bytes go in.
        while self._stream is not None and not self._stream.eof and (piece := self._stream.decompress(b"", PIECE)):
            yield piece

    def at_end(self) -> bool:
        return self._stream is None or self._stream.eof


def _deflate_window(first: bytes) -> int:
    # A zlib header: method 8 in the low bits, and a multiple of 31 with the byte that follows.
    zlib_header = first[0] & 0x0F == 8 and (len(first) < 2 or int.from_bytes(first[:2]) % 31 == 0)
    return _ZLIB if zlib_header else _BARE


class _Brotli:
    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._begun = False

    def unpack(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        # The library also rejects bytes after the end of the stream. It doesn't tell whether it holds anything back:
        # all has come when nothing more comes.
        while piece := self._stream.process(data, output_buffer_limit=PIECE):
            yield piece
            data = b""
            if self._stream.is_finished():
                return

    def at_end(self) -> bool:
        return not self._begun or bool(self._stream.is_finished())


class _Zstd:
    def __init__(self) -> None:
        self._frame: zstd.ZstdDecompressor | None = None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data:
            # There may be several frames, one after the other, some of them to be skipped.
            if self._frame is None or self._frame.eof:
                self._frame = zstd.ZstdDecompressor(
                    options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
                )
            frame = self._frame
            if piece := frame.decompress(data, max_length=PIECE):
                yield piece
            while not frame.eof and not frame.needs_input:
                if piece := frame.decompress(b"", max_length=PIECE):
                    yield piece
            data = frame.unused_data if frame.eof else b""

    def at_end(self) -> bool:
        return self._frame is None or self._frame.eof


_UNPACKERS: Final[Mapping[str, Callable[[], Decompressor]]] = {
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}
ACCEPTED: Final = ", ".join(name for name in _UNPACKERS if not name.startswith("x-"))


def content_codings(header: str) -> tuple[str, ...]:
    """The codings of a Content-Encoding header in the order in which they were applied. Raises UnsupportedMedia."""
    codings = tuple(name for part in header.lower().split(",") if (name := part.strip()) not in ("", "identity"))
    if len(codings) <= MAX_CODINGS and all(name in _UNPACKERS for name in codings):
        return codings
    raise UnsupportedMedia(
        f"Content-Encoding {header[:60]!r} is not taken; send {ACCEPTED}, at most {MAX_CODINGS} of them, "
        "or the plain body",
        headers=[("accept-encoding", ACCEPTED)],
    )


def decompressor(coding: str) -> Decompressor:
    """Create the stream for a coding that `content_codings` returned."""
    return _UNPACKERS[coding]()


ANY_RATIO: Final = 1_000_000
"""Bytes that are allowed whatever the ratio: small repetitive data compresses well without any attack."""
_BREATH: Final = 1_000_000
"""Bytes after which other requests get their turn."""
_SLICE: Final = 8192
"""Bytes that are decompressed at a time: the rest of them is copied for each of many small gzip files in a row."""


class _Stage:
    """One coding, and the size of its result."""

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self.unpacker: Decompressor = decompressor(coding)
        self.size = 0


class _Inflation:
    """All codings of a body; the one that was applied last comes first."""

    def __init__(self, codings: Sequence[str], limit: int, max_ratio: int) -> None:
        self._stages = [_Stage(coding) for coding in reversed(codings)]
        self._limit = limit
        self._max_ratio = max_ratio
        self._wire = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the result in pieces; an empty one for work that gave nothing."""
        self._wire += len(chunk)
        return self._through(0, chunk)

    def _through(self, index: int, data: bytes) -> Iterator[bytes]:
        if index == len(self._stages):
            yield data
            return
        stage = self._stages[index]
        for at in range(0, len(data), _SLICE):
            for piece in self._unpacked(stage, data[at : at + _SLICE]):
                yield from self._through(index + 1, piece)
            # Work that gives nothing counts too.
            yield b""

    def _unpacked(self, stage: _Stage, data: bytes) -> Iterator[bytes]:
        pieces = stage.unpacker.unpack(data)
        while True:
            try:
                piece = next(pieces, None)
            except ERRORS as error:
                raise Malformed(f"the body is not {stage.coding}: {error}") from None
            if piece is None:
                return
            stage.size += len(piece)
            # The data between two codings is bounded too: it may be large while both ends are small.
            if stage.size > self._limit:
                raise TooLarge(f"the body is larger than {self._limit} bytes after decompression")
            if stage.size > ANY_RATIO and stage.size > self._wire * self._max_ratio:
                raise TooLarge(f"the body is more than {self._max_ratio} times as large after decompression")
            yield piece

    def end(self) -> None:
        for stage in self._stages:
            if not stage.unpacker.at_end():
                raise Malformed(f"the body's {stage.coding} ends too early")


async def decompress(
    chunks: AsyncIterable[bytes], codings: Sequence[str], limit: int, max_ratio: int
) -> AsyncIterator[bytes]:
    """Decompress a body. `codings` are in the order in which they were applied.

    Raises TooLarge above `limit` bytes, or above `max_ratio` times the received bytes, and Malformed if the data isn't
    compressed or is cut off.
    """
    inflation = _Inflation(codings, limit, max_ratio)
    since = 0
    async for chunk in chunks:
        for piece in inflation.feed(chunk):
            if piece:
                yield piece
            since += len(piece) or _SLICE
            if since > _BREATH:
                since = 0
                await asyncio.sleep(0)
    inflation.end()
