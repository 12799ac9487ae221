"""The foreach block: run steps for each item of a list or stream, and collect the results."""

import asyncio
from datetime import datetime
from time import monotonic
from typing import Any, Final

from hookline.executions.blocks.block_expressions import RunSteps, evaluate_in_frame
from hookline.executions.blocks.concurrent_parts import (
    block_failed,
    end_early,
    known_failure,
    known_stop,
    run_concurrently,
)
from hookline.executions.blocks.foreach_items import ItemSource, source_of
from hookline.executions.blocks.foreach_results import CheckpointedItems, ItemResults, KeptItems
from hookline.executions.execution_context import Blocked, Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.interruption import SUPERSEDED, Interrupted, Interruption
from hookline.executions.services import StubFunction
from hookline.executions.steps.recorded_result import continue_from_entry
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.model.execution import StepState
from hookline.model.foreach_progress_and_streams import STREAM, Stream
from hookline.model.message import Message
from hookline.plugin_host.result_conversion import normalize_result
from hookline.sdk.action import STOPPED, Reply, Signal


async def run_stub(
    run: ExecutionContext, step: CompiledForeach, frame: Frame, items: list[Any] | Stream, stub: StubFunction
) -> Ending:
    """Take the result that a simulation stubs for all items. Raises StepFailed."""
    path = frame.prefix + step.id
    last_entry = run.journal.last_entry(path)
    if last_entry is not None and last_entry.state is StepState.SUCCEEDED:
        return await continue_from_entry(run, frame, step.id, last_entry)
    if (failure := known_failure(run, frame, step.id)) is not None:
        raise failure
    try:
        with frame.interruption.interruptible():
            result = normalize_result(await stub(), exact=run.flow.exact)
    except StepFailed as failed:
        at = run.services.clock.now()
        raise block_failed(run, frame, step.id, "foreach", StepFailed(failed.error, at)) from None
    signal = result.name if isinstance(result, Signal) else None
    view: dict[str, Any] | None = None
    if isinstance(result, Reply):
        frame.message, view = next_message(frame.message, result)
        signal = STREAM if type(result.body) is Stream else None
        if signal is not None:
            run.progress.note_stream()
    record = run.journal.record(
        path,
        "foreach",
        StepState.SUCCEEDED,
        1,
        run.services.clock.now(),
        input=encode({"items": items.count if isinstance(items, Stream) else len(items)}),
        output=None if view is None else encode(view),
        signal=signal,
    )
    return await continue_from_entry(run, frame, step.id, record)


#: Seconds after which the event loop gets control, if no item awaits anything: a request needs it a dozen times.
_TURN: Final = 0.001
#: After so many turns, other threads get the interpreter for so many seconds: a commit of others passes through them.
_REST_AFTER: Final = 5
_REST: Final = 0.001


async def run_foreach(run: ExecutionContext, step: CompiledForeach, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run steps for each item, up to `concurrency` at the same time; the body becomes the list of results, in order.

    An item's message has the item as its body. A filtered item gives no result. The first failure ends the block,
    unless the block has `"on_error": "continue"`: then failed items give no result. While items wait, others run; the
    block waits when all remaining items wait.

    For many items, and for a stream, the journal keeps only the entries of running items and the progress of the block.
    """
    items = await _items(run, step, frame)
    path, total = frame.prefix + step.id, items.count if isinstance(items, Stream) else len(items)
    many = isinstance(items, Stream) or total > frame.room
    if not run.gate.may_enter_foreach(path, total, many=many):
        return Ending.WAITING
    stub = run.services.effects.stub_items(run.id, path, step, items)
    if stub is not None:
        return await run_stub(run, step, frame, items, stub)
    latest = frame.now
    results: ItemResults
    if many:
        entry = run.journal.last_entry(path)
        if entry is not None and entry.state is StepState.SUCCEEDED and entry.signal != STOPPED.name:
            return await continue_from_entry(run, frame, step.id, entry)
        progress = await run.journal.begin_foreach(path, total, latest)
        latest = progress.latest
        results = CheckpointedItems(run, step, frame, progress, listed=isinstance(items, list))
    else:
        results = KeptItems(run, step, frame, total)
    source = source_of(run, items, results.done, path)
    with frame.interruption.child() as together:
        return await _Items(run, step, frame, run_steps, together, source, results, total, latest).run()


class _Items:
    """Runs the items of a foreach, several at the same time."""

    def __init__(
        self,
        run: ExecutionContext,
        step: CompiledForeach,
        frame: Frame,
        run_steps: RunSteps,
        together: Interruption,
        source: ItemSource,
        results: ItemResults,
        total: int,
        latest: datetime,
    ) -> None:
        """`together` interrupts all items. `latest`: the time of the last commit of an item so far."""
        self._run = run
        self._step = step
        self._frame = frame
        self._run_steps = run_steps
        self._together = together
        self._source = source
        self._results = results
        self._total = total
        self._latest = latest
        self._waiting: dict[int, Any] = {}
        self._last = -1
        """The last item that was taken; items are taken in order."""
        self._stopped = False

    async def run(self) -> Ending:
        frame, step = self._frame, self._step
        failure, self._stopped = known_failure(self._run, frame, step.id), known_stop(self._run, frame, step.id)
        if failure is not None or self._stopped:
            self._together.interrupt(SUPERSEDED)
        try:
            left = await self._all()
            if isinstance(left, StepFailed):
                failure = failure or left
            # An interruption that came last was noticed by no item.
            interrupted = left is not None or self._together.cause is not None
            ending = failure is not None or self._stopped or interrupted
            failed_later = await self._end_waiting() if ending else None
        finally:
            await self._source.close()
        frame.now = self._latest
        early = end_early(
            self._run,
            frame,
            step.id,
            "foreach",
            failure=failure or failed_later,
            stopped=self._stopped,
            ending=ending,
            waits=bool(self._waiting),
        )
        return await self._results.conclude() if early is None else early

    async def _all(self) -> StepFailed | Interrupted | None:
        workers = min(self._step.concurrency, self._total)
        if workers > 1:
            return await run_concurrently([self._work] * workers, self._together)
        try:
            await self._work()
        except (StepFailed, Interrupted) as left:
            return left
        return None

    async def _work(self) -> None:
        turn_ends, turns = monotonic() + _TURN, 0
        while len(self._waiting) < self._results.most_waiting:
            # Steps that only compute don't check this themselves, and there may be a million of them.
            self._together.check()
            taken = await self._source.take()
            if taken is None:
                return
            index, item = taken
            self._last = max(self._last, index)
            await self._item(index, item)
            if self._stopped:
                return
            # The work of an item must not depend on when another item commits.
            await self._run.journal.commit_unrecomputable()
            if monotonic() > turn_ends:
                turns += 1
                await asyncio.sleep(0 if turns % _REST_AFTER else _REST)
                turn_ends = monotonic() + _TURN

    async def _item(self, index: int, item: Any) -> None:
        frame, step = self._frame, self._step
        prefix = f"{frame.prefix}{step.id}[{index}]/"
        self._results.begin(prefix)
        inner = Frame(
            message=Message(item, {}, frame.message.attachments),
            steps=dict(frame.steps),
            now=frame.now,
            prefix=prefix,
            names={**frame.names, step.as_name: item, "index": index},
            lenient=frame.lenient or step.on_error == "continue",
            interruption=self._together,
            items={**frame.items, step.pointer: prefix},
            room=self._results.room,
        )
        failed: StepFailed | None = None
        try:
            ending = await self._run_steps(self._run, step.steps, inner)
            if ending is Ending.DONE:
                self._results.check(inner)
        except StepFailed as error:
            if step.on_error == "fail":
                raise
            failed, ending = error, Ending.FILTERED
        except Blocked as cause:
            self._run.progress.block(str(cause))
            ending = Ending.WAITING
        self._latest = max(self._latest, inner.now)
        if ending is Ending.STOPPED:
            self._stopped = True
            self._together.interrupt(SUPERSEDED, cut=False)
        elif ending is Ending.WAITING:
            self._waiting[index] = item
        else:
            self._results.end(index, inner, ending, failed)

    async def _end_waiting(self) -> StepFailed | None:
        """Let the waiting items run their `finally` steps; return the first failure."""
        self._together.interrupt(SUPERSEDED)
        waiting, self._waiting = self._waiting | await self._begun(), {}
        failure: StepFailed | None = None
        for index, item in waiting.items():
            try:
                await self._item(index, item)
            except StepFailed as failed:
                failure = failure or failed
            except Interrupted:
                continue
        return failure

    async def _begun(self) -> dict[int, Any]:
        """The items that had started before the execution was resumed, and that this run has not reached."""
        entered = self._run.journal.items.indexes(self._frame.prefix + self._step.id)
        left = {index for index in entered if index > self._last}
        begun: dict[int, Any] = {}
        while left and (taken := await self._source.take()) is not None:
            index, item = taken
            if index in left:
                left.remove(index)
                begun[index] = item
        return begun


async def _items(run: ExecutionContext, step: CompiledForeach, frame: Frame) -> list[Any] | Stream:
    path = frame.prefix + step.id
    items = await evaluate_in_frame(run, step.items, frame, "foreach", path)
    if items is None:
        return []
    if isinstance(items, list | Stream):
        return items
    kind = {dict: "an object", str: "a text", bool: "true or false"}.get(type(items), "a number")
    failure = StepError(
        f"foreach needs a list, and this is {kind}; a path such as $.body.lines gives one",
        code="foreach.not_a_list",
    )
    raise StepFailed(run.error_info(failure, path))
