"""The splitter and aggregator."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from hookline.errors import StepError
from hookline.flows.blocks.foreach import ForeachNode
from hookline.model.execution import StepState
from hookline.model.message import Message
from hookline.runtime.blocks.block import RunSteps, evaluate
from hookline.runtime.execution_run import Blocked, Ending, ExecutionRun, Frame, StepFailed, error_info

#: How many items run before the event loop gets its turn, where no item has anything to wait for.
_TURN: Final = 100

_NOTHING: Final = object()


async def run_foreach(run: ExecutionRun, node: ForeachNode, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run steps for each item, up to `concurrency` side by side; the body becomes the list of results, in order.

    An item's message has the item as its body. A filtered item gives no result. The first failure ends the block,
    unless it says `"on_error": "continue"`: then failed items give no result. Items that wait let others go on; the
    block waits when only they are left.
    """
    items = _items(run, node, frame)
    results: list[Any] = [_NOTHING] * len(items)
    endings: set[Ending] = set()
    cursor = iter(enumerate(items))
    latest = frame.now

    async def work(cursor: Iterator[tuple[int, Any]]) -> None:
        nonlocal latest
        for index, item in cursor:
            inner = Frame(
                Message(item, {}, frame.message.attachments),
                dict(frame.steps),
                frame.now,
                f"{frame.prefix}{node.id}[{index}]/",
                {**frame.names, node.as_name: item, "index": index},
                frame.lenient or node.on_error == "continue",
            )
            try:
                ending = await run_steps(run, node.steps, inner)
            except StepFailed:
                if node.on_error == "fail":
                    raise
                ending = Ending.FILTERED
            except Blocked as cause:
                run.blocked = str(cause)
                ending = Ending.WAITING
            if ending is Ending.STOPPED:
                endings.add(ending)
                return
            if Ending.STOPPED in endings:
                return
            if ending is Ending.WAITING:
                endings.add(ending)
            elif ending is Ending.DONE:
                results[index] = inner.message.body
            latest = max(latest, inner.now)
            # What an item has done must not hang on when another item commits next.
            await run.journal.settle()
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)

    if node.concurrency == 1 or len(items) < 2:
        await work(cursor)
    else:
        await _side_by_side(work, cursor, min(node.concurrency, len(items)))
    frame.now = latest
    for ending in (Ending.STOPPED, Ending.WAITING):
        if ending in endings:
            return ending
    body = [result for result in results if result is not _NOTHING]
    frame.message = Message(body, {}, frame.message.attachments)
    frame.steps[node.id] = {"body": body}
    run.pure(frame, node.id, "foreach", StepState.SUCCEEDED, input={"items": len(items)}, output={"body": body})
    return Ending.DONE


def _items(run: ExecutionRun, node: ForeachNode, frame: Frame) -> list[Any]:
    path = frame.prefix + node.id
    items = evaluate(node.items, run.scope(frame), "foreach", path)
    if items is None:
        return []
    if not isinstance(items, list):
        kind = {dict: "an object", str: "a text", bool: "true or false"}.get(type(items), "a number")
        failure = StepError(
            f"foreach needs a list, and this is {kind}; a path such as $.body.lines gives one",
            code="foreach.not_a_list",
        )
        raise StepFailed(error_info(failure, path))
    return items


async def _side_by_side(work: Any, cursor: Iterator[tuple[int, Any]], workers: int) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work(cursor))
    except ExceptionGroup as failed:
        # Whoever runs the block knows single errors. A step's comes last: it comes again after any other.
        raise min(failed.exceptions, key=lambda error: isinstance(error, StepFailed)) from failed
