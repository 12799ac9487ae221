"""Compressed bodies, inflated under a limit and a ratio as they arrive."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from typing import Final

from hookline.kernel.errors import Malformed, TooLarge
from hookline.service.uploads.codings import ERRORS, Unpacker, unpacker

ANY_RATIO: Final = 1_000_000
"""Bytes that may come out whatever the ratio: little data that repeats itself packs well without any ill will."""
_BREATH: Final = 1_000_000
"""Bytes after which other requests get their turn."""
_SLICE: Final = 8192
"""Bytes that are unpacked at a time: what is left of them is copied for each of many small gzip files in a row."""


class _Stage:
    """One coding, and what has come out of it."""

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self.unpacker: Unpacker = unpacker(coding)
        self.size = 0


class _Inflation:
    """All codings of a body, the last that was applied first."""

    def __init__(self, codings: Sequence[str], limit: int, max_ratio: int) -> None:
        self._stages = [_Stage(coding) for coding in reversed(codings)]
        self._limit = limit
        self._max_ratio = max_ratio
        self._wire = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What comes out, in pieces; an empty one for work that gave nothing."""
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
            # What is between two codings is bounded too: it may be large where both ends are small.
            if stage.size > self._limit:
                raise TooLarge(f"the body is larger than {self._limit} bytes once inflated")
            if stage.size > ANY_RATIO and stage.size > self._wire * self._max_ratio:
                raise TooLarge(f"the body is more than {self._max_ratio} times as large once inflated")
            yield piece

    def end(self) -> None:
        for stage in self._stages:
            if not stage.unpacker.at_end():
                raise Malformed(f"the body's {stage.coding} ends too early")


async def inflate(
    chunks: AsyncIterable[bytes], codings: Sequence[str], limit: int, max_ratio: int
) -> AsyncIterator[bytes]:
    """Inflate. `codings` in the order in which they were applied.

    Raises TooLarge above `limit` bytes, or `max_ratio` times what came, and Malformed for what isn't compressed, or
    is cut off.
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
