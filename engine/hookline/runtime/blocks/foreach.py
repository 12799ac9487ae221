"""The splitter and aggregator."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from hookline.errors import StepError
from hookline.flows.blocks.foreach import ForeachNode
from hookline.model.execution import StepState
from hookline.model.message import Message
from hookline.runtime.blocks.block import RunSteps, evaluate_aside
from hookline.runtime.blocks.side_by_side import block_failed, known_failure, side_by_side
from hookline.runtime.execution_run import ExecutionRun
from hookline.runtime.frame import Blocked, Ending, Frame, StepFailed, error_info
from hookline.runtime.interruption import SUPERSEDED, Interrupted, Interruption

#: How many items run before the event loop gets its turn, where no item has anything to wait for.
_TURN: Final = 100

_NOTHING: Final = object()


async def run_foreach(run: ExecutionRun, node: ForeachNode, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run steps for each item, up to `concurrency` side by side; the body becomes the list of results, in order.

    An item's message has the item as its body. A filtered item gives no result. The first failure ends the block,
    unless it says `"on_error": "continue"`: then failed items give no result. Items that wait let others go on; the
    block waits when only they are left.
    """
    items = await _items(run, node, frame)
    with frame.interruption.narrower() as together:
        return await _Items(run, node, frame, run_steps, items, together).run()


class _Items:
    def __init__(
        self,
        run: ExecutionRun,
        node: ForeachNode,
        frame: Frame,
        run_steps: RunSteps,
        items: list[Any],
        together: Interruption,
    ) -> None:
        self._run = run
        self._node = node
        self._frame = frame
        self._run_steps = run_steps
        self._items = items
        self._together = together
        self._results: list[Any] = [_NOTHING] * len(items)
        self._waiting: list[int] = []
        self._stopped = False
        self._latest = frame.now

    async def run(self) -> Ending:
        frame, node = self._frame, self._node
        failure = known_failure(self._run, frame, node.id)
        if failure is not None:
            self._together.interrupt(SUPERSEDED)
        left = await self._all()
        frame.now = self._latest
        if isinstance(left, StepFailed):
            failure = failure or left
        if (failure is not None or self._stopped or left is not None) and await self._end_waiting():
            return Ending.WAITING
        frame.interruption.check()
        if failure is not None:
            raise block_failed(self._run, frame, node.id, "foreach", failure)
        if self._stopped:
            return Ending.STOPPED
        return Ending.WAITING if self._waiting else self._finish()

    async def _all(self) -> StepFailed | Interrupted | None:
        cursor = iter(range(len(self._items)))
        workers = min(self._node.concurrency, len(self._items))
        if workers > 1:
            return await side_by_side([partial(self._work, cursor) for _ in range(workers)], self._together)
        try:
            await self._work(cursor)
        except (StepFailed, Interrupted) as left:
            return left
        return None

    async def _work(self, cursor: Iterator[int]) -> None:
        for index in cursor:
            await self._item(index)
            if self._stopped:
                return
            # What an item has done must not hang on when another item commits next.
            await self._run.journal.settle()
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)

    async def _item(self, index: int) -> None:
        frame, node, item = self._frame, self._node, self._items[index]
        part = f"{node.id}[{index}]"
        inner = frame.branch(
            part,
            message=Message(item, {}, frame.message.attachments),
            steps=dict(frame.steps),
            names={**frame.names, node.as_name: item, "index": index},
            lenient=frame.lenient or node.on_error == "continue",
            interruption=self._together,
            items={**frame.items, node.pointer: f"{frame.prefix}{part}/"},
        )
        try:
            ending = await self._run_steps(self._run, node.steps, inner)
        except StepFailed:
            if node.on_error == "fail":
                raise
            ending = Ending.FILTERED
        except Blocked as cause:
            self._run.blocked = str(cause)
            ending = Ending.WAITING
        self._latest = max(self._latest, inner.now)
        if ending is Ending.STOPPED:
            self._stopped = True
            self._together.interrupt(SUPERSEDED, cut=False)
        elif ending is Ending.WAITING:
            self._waiting.append(index)
        elif ending is Ending.DONE:
            self._results[index] = inner.message.body

    async def _end_waiting(self) -> bool:
        """Let the items that wait run what they have to run at their end; whether one of them still waits."""
        self._together.interrupt(SUPERSEDED)
        waiting, self._waiting = self._waiting, []
        for index in waiting:
            try:
                await self._item(index)
            except (StepFailed, Interrupted):
                continue
        return bool(self._waiting)

    def _finish(self) -> Ending:
        frame, node = self._frame, self._node
        body = [result for result in self._results if result is not _NOTHING]
        frame.message = Message(body, {}, frame.message.attachments)
        frame.steps[node.id] = {"body": body}
        given, gave = {"items": len(self._items)}, {"body": body}
        self._run.pure(frame, node.id, "foreach", StepState.SUCCEEDED, input=given, output=gave)
        return Ending.DONE


async def _items(run: ExecutionRun, node: ForeachNode, frame: Frame) -> list[Any]:
    path = frame.prefix + node.id
    items = await evaluate_aside(run, node.items, frame, "foreach", path)
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
