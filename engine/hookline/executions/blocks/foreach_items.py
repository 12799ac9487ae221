"""The items of a foreach, from a list or from a stream, and the collection of their results."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from hookline.executions.context import ExecutionContext, StepFailed
from hookline.executions.steps.stream import StreamReader, StreamWriter
from hookline.kernel.errors import BlobGone, StepError
from hookline.kernel.json import decode
from hookline.model.items import Done, Stream


class ItemSource(Protocol):
    """Gives items, each once, to several callers."""

    async def take(self) -> tuple[int, Any] | None:
        """An item with its index; None if all were taken. Raises StepFailed and StoreError."""
        ...

    async def close(self) -> None: ...


class ListItems:
    """The items of a list."""

    def __init__(self, items: list[Any], done: Done) -> None:
        self._items = items
        self._places = _places(done, len(items))

    async def take(self) -> tuple[int, Any] | None:
        place = next(self._places, None)
        return None if place is None else (place, self._items[place])

    async def close(self) -> None:
        pass


class StreamItems:
    """The items of a stream, which is read on demand."""

    def __init__(self, run: ExecutionContext, stream: Stream, done: Done, path: str) -> None:
        """`path`: the path of the block."""
        self._run = run
        self._reader = StreamReader(
            run.services.blobs, stream, _places(done, stream.count), exact=run.flow.exact, redactor=run.redactor
        )
        self._path = path

    async def take(self) -> tuple[int, Any] | None:
        try:
            taken = await self._reader.take()
        except BlobGone as error:
            raise StepFailed(self._run.error_info(StepError(error.message, code=error.code), self._path)) from error
        if taken is not None:
            self._run.redactor.learn_item(taken[1])
        return taken

    async def close(self) -> None:
        await self._reader.close()


def _places(done: Done, total: int) -> Iterator[int]:
    for places in done.left(total):
        yield from places


#: The largest list of results, in bytes of JSON; larger ones become a stream.
LARGEST_LIST: Final = 10_000_000
_PAGE: Final = 250


async def collect_results(run: ExecutionContext, path: str, *, listed: bool) -> Any:
    """The results of a block, in order: a stream, or a list if the items were `listed` and it isn't too large.

    Raises StoreError.
    """
    await run.journal.flush()
    writer: StreamWriter | None = None if listed else StreamWriter(run.services.blobs)
    results: list[bytes] = []
    size, after = 0, -1
    try:
        while page := await run.services.store.item_results(run.id, path, after, _PAGE):
            after = page[-1][0]
            results += [result for _, result in page]
            size += sum(len(result) for _, result in page)
            if writer is None and size > LARGEST_LIST:
                writer = StreamWriter(run.services.blobs)
            if writer is not None:
                for result in results:
                    await writer.add(result)
                results.clear()
        if writer is not None:
            return await writer.finish()
    finally:
        if writer is not None:
            await writer.abort()
    results = [run.redactor.decrypt_line(result) for result in results]
    return [decode(result, exact=run.flow.exact) for result in results]
