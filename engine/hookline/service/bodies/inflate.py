"""Compressed bodies, inflated under a limit as they arrive."""

import zlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from hookline.errors import Malformed, TooLarge, UnsupportedMedia

_PIECE: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
#: With `deflate` some senders mean zlib, as the RFC says, and others the bare stream.
_ZLIB: Final = zlib.MAX_WBITS
_BARE: Final = -zlib.MAX_WBITS


def content_coding(header: str | None) -> str | None:
    """`gzip` or `deflate`, or None where a body isn't compressed. Raises UnsupportedMedia."""
    if header is None:
        return None
    codings = [name for part in header.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if not codings:
        return None
    if len(codings) == 1 and codings[0] in ("gzip", "x-gzip", "deflate"):
        return codings[0].removeprefix("x-")
    raise UnsupportedMedia(
        f"Content-Encoding {header[:60]!r} is not taken; send gzip, deflate, or the plain body",
        headers=[("accept-encoding", "gzip, deflate")],
    )


def _begin(coding: str, first: bytes) -> "zlib._Decompress":
    if coding == "gzip":
        return zlib.decompressobj(_GZIP)
    # A zlib header: method 8 in the low bits, and a multiple of 31 with the byte that follows.
    zlib_header = first[0] & 0x0F == 8 and (len(first) < 2 or int.from_bytes(first[:2]) % 31 == 0)
    return zlib.decompressobj(_ZLIB if zlib_header else _BARE)


async def inflate(chunks: AsyncIterable[bytes], coding: str, limit: int) -> AsyncIterator[bytes]:
    """Inflate. Raises TooLarge above `limit` bytes, and Malformed for what isn't compressed, or is cut off."""
    stream: zlib._Decompress | None = None
    size = 0
    try:
        async for chunk in chunks:
            data = chunk
            while data:
                # gzip files may be several, one after the other.
                if stream is None or stream.eof:
                    stream = _begin(coding, data)
                piece = stream.decompress(data, _PIECE)
                data = stream.unconsumed_tail or stream.unused_data
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes once inflated")
                if piece:
                    yield piece
            # What the window still holds comes out before the next chunk goes in.
            while stream is not None and not stream.eof and (piece := stream.decompress(b"", _PIECE)):
                size += len(piece)
                if size > limit:
                    raise TooLarge(f"the body is larger than {limit} bytes once inflated")
                yield piece
    except zlib.error as error:
        raise Malformed(f"the body is not {coding}: {error}") from None
    if stream is not None and not stream.eof:
        raise Malformed(f"the body's {coding} ends too early")
