"""The content codings that a body may be packed with, each as a stream that never gives much at once."""

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import brotli  # type: ignore[import-untyped]  # it ships no types

from hookline.kernel.errors import UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE: Final = 64 * 1024
MAX_CODINGS: Final = 3
"""Codings in one header: each stage costs its own work and window."""

_GZIP: Final = 16 + zlib.MAX_WBITS
#: With `deflate` some senders mean zlib, as the RFC says, and others the bare stream.
_ZLIB: Final = zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS
#: 8 MB, which is what RFC 9659 lets senders ask of a receiver.
_ZSTD_WINDOW_LOG: Final = 23

ERRORS: Final[tuple[type[Exception], ...]] = (zlib.error, brotli.error, zstd.ZstdError)
"""What a stream raises for bytes that aren't of its coding."""


class Unpacker(Protocol):
    """Unpacks one coding. Raises one of `ERRORS`."""

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """All that can be given once these bytes have come, in pieces of about `PIECE` bytes."""
        ...

    def at_end(self) -> bool:
        """Whether the packed data may end here."""
        ...


class _Zlib:
    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._stream: zlib._Decompress | None = None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data:
            # gzip files may be several, one after the other.
            if self._stream is None or self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP if self._gzip else _deflate_window(data))
            if piece := self._stream.decompress(data, PIECE):
                yield piece
            data = self._stream.unconsumed_tail or self._stream.unused_data
        # What the window still holds comes out before the next bytes go in.
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
        # Bytes after the end of the stream are an error of the library's too. It doesn't tell what it holds back: all
        # has come where nothing more does.
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
            # Frames may be several, one after the other, and some of them to be skipped.
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


_UNPACKERS: Final[Mapping[str, Callable[[], Unpacker]]] = {
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}
ACCEPTED: Final = ", ".join(name for name in _UNPACKERS if not name.startswith("x-"))


def content_codings(header: str | None) -> tuple[str, ...]:
    """The codings of a Content-Encoding header in the order in which they were applied. Raises UnsupportedMedia."""
    if header is None:
        return ()
    codings = tuple(name for part in header.lower().split(",") if (name := part.strip()) not in ("", "identity"))
    if len(codings) <= MAX_CODINGS and all(name in _UNPACKERS for name in codings):
        return codings
    raise UnsupportedMedia(
        f"Content-Encoding {header[:60]!r} is not taken; send {ACCEPTED}, at most {MAX_CODINGS} of them, "
        "or the plain body",
        headers=[("accept-encoding", ACCEPTED)],
    )


def unpacker(coding: str) -> Unpacker:
    """A stream for a coding that `content_codings` gave."""
    return _UNPACKERS[coding]()
