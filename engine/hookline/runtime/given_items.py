"""Streams that are given to an action, which takes their items one by one."""

from collections.abc import AsyncIterator
from typing import Any

from hookline.connector import Action
from hookline.model.items import Items
from hookline.model.stream import Stream
from hookline.runtime.execution_run import ExecutionRun
from hookline.runtime.spool import StreamReader


def with_items(run: ExecutionRun, action: Action, raw: Any) -> Any:
    """An action's settings with `Items` where it takes them and an expression gave a stream; others are left."""
    if not action.takes_items or type(raw) is not dict:
        return raw
    found = {name: _items(run, raw[name]) for name in action.takes_items if type(raw.get(name)) is Stream}
    return {**raw, **found} if found else raw


def _items(run: ExecutionRun, stream: Stream) -> Items[Any]:
    async def each() -> AsyncIterator[Any]:
        reader = StreamReader(
            run.services.blobs, stream, iter(range(stream.count)), exact=run.flow.exact, redactor=run.redactor
        )
        try:
            while (found := await reader.take()) is not None:
                _, item = found
                if run.redactor is not None:
                    run.redactor.learn_item(item)
                yield item
        finally:
            await reader.close()

    return Items(each, stream.count)
