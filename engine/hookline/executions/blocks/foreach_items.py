"""The items of a foreach, from a list or from a stream."""

from collections.abc import Iterator
from typing import Any, Protocol

from hookline.executions.execution_context import ExecutionContext, StepFailed
from hookline.executions.steps.stream_of_items import StreamReader
from hookline.kernel.errors import BlobGone, StepError
from hookline.model.foreach_progress_and_streams import Done, Stream


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
            run.services.blobs, stream, _places(done, stream.count), numbers=run.flow.numbers, redactor=run.redactor
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


def source_of(run: ExecutionContext, items: list[Any] | Stream, done: Done, path: str) -> ItemSource:
    """The source of the items that aren't done. `path`: the path of the block."""
    return StreamItems(run, items, done, path) if isinstance(items, Stream) else ListItems(items, done)


def _places(done: Done, total: int) -> Iterator[int]:
    for places in done.left(total):
        yield from places
