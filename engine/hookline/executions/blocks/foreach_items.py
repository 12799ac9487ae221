"""Where a foreach gets its items from: a list, or a stream."""

from collections.abc import Iterator
from typing import Any, Protocol

from hookline.executions.context import ExecutionRun
from hookline.executions.frame import StepFailed
from hookline.executions.steps.spool import StreamReader
from hookline.kernel.errors import BlobGone, StepError
from hookline.model.items import Done
from hookline.model.merge_model_stream import Stream


class ItemSource(Protocol):
    """Gives items, each once, to several who ask."""

    async def take(self) -> tuple[int, Any] | None:
        """An item with its place; None where all were taken. Raises StepFailed and StoreError."""
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
    """The items of a stream, read as they are asked for."""

    def __init__(self, run: ExecutionRun, stream: Stream, done: Done, path: str) -> None:
        """`path`: the block's."""
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
        if taken is not None and self._run.redactor is not None:
            self._run.redactor.learn_item(taken[1])
        return taken

    async def close(self) -> None:
        await self._reader.close()


def _places(done: Done, total: int) -> Iterator[int]:
    for places in done.left(total):
        yield from places
