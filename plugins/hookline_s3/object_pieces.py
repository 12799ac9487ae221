"""Reading an object at the speed of the reader."""

from collections.abc import AsyncIterator
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store


async def pieces(bucket: S3Store, path: str, size: int, *, etag: str | None = None) -> AsyncIterator[memoryview]:
    """Yield an object's content in pieces of at least `size` bytes. Raises the library's errors.

    If the server disconnects a slow reader, the rest is requested, as long as data arrives. `etag`: the expected
    version of the content, which may be replaced meanwhile.
    """
    at, whole, cut_at = 0, -1, -1
    options: Any = {} if etag is None else {"if_match": etag}
    while at != whole:
        asked: Any = {**options, "range": {"offset": at}} if at else options
        found = await obstore.get_async(bucket, path, options=asked)
        whole = found.meta["size"]
        coming = aiter(found.stream(min_chunk_size=size))
        while True:
            try:
                piece = await anext(coming, None)
            except (BaseError, OSError):
                if at == cut_at:  # and no data has arrived since
                    raise
                cut_at = at
                break
            if piece is None:
                break
            view = memoryview(piece)
            at += len(view)
            yield view
