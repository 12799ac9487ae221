"""The results of a foreach: of items whose entries the journal keeps, and of many items, whose progress it keeps."""

import sys
from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any, Final, Protocol

from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.journal.foreach_progress import ForeachProgress
from hookline.executions.steps.stream_of_items import StreamWriter
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.kernel.errors import StepError
from hookline.kernel.json import OFF_THE_LOOP, encode
from hookline.model.execution import ErrorInfo, StepState
from hookline.model.foreach_progress_and_streams import REMEDY, STREAM, Done, Stream, stream_in
from hookline.model.message import Message
from hookline.sdk.action import Reply

#: The number of items that may wait at the same time in a foreach that doesn't keep the entries of its items.
MOST_WAITING: Final = 1000
#: The `room` of a foreach inside such an item.
ROOM_INSIDE: Final = 100

_NOTHING: Final = object()


class ItemResults(Protocol):
    """Takes the items of a foreach as they end, and makes the result of the block."""

    @property
    def done(self) -> Done:
        """The items that ended before the execution was resumed, and that don't run again."""
        ...

    @property
    def room(self) -> int:
        """The `room` in the frames of the items."""
        ...

    @property
    def most_waiting(self) -> int:
        """The number of items that may wait at the same time; no further item begins then."""
        ...

    def begin(self, prefix: str) -> None:
        """Begin or continue an item. `prefix` begins the paths of its steps."""
        ...

    def check(self, inner: Frame) -> None:
        """Raise StepFailed if the result of an item can't be kept."""
        ...

    def end(self, index: int, inner: Frame, ending: Ending, failed: StepFailed | None) -> None:
        """Take an item that has ended in its frame; `failed`: its failure, if the block continues after it."""
        ...

    async def conclude(self) -> Ending:
        """Continue with the result of the block after all items have ended. Raises StoreError."""
        ...


class KeptItems:
    """Items whose entries the journal keeps. Their results stay in memory; a resume computes them again."""

    def __init__(self, run: ExecutionContext, step: CompiledForeach, frame: Frame, total: int) -> None:
        self._run = run
        self._step = step
        self._frame = frame
        self._total = total
        self._results: list[Any] = [_NOTHING] * total
        self._failed = 0
        self.done = Done()
        self.room = frame.room // max(total, 1)
        self.most_waiting = sys.maxsize

    def begin(self, prefix: str) -> None:
        """See `ItemResults`."""

    def check(self, inner: Frame) -> None:
        """Accept any result: a stream stays one, since the journal keeps the entry of the step that gave it."""

    def end(self, index: int, inner: Frame, ending: Ending, failed: StepFailed | None) -> None:
        """See `ItemResults`."""
        if ending is Ending.DONE:
            self._results[index] = inner.message.body
        self._failed += failed is not None

    async def conclude(self) -> Ending:
        """See `ItemResults`."""
        frame, step = self._frame, self._step
        body: Any = (
            {"count": self._total, "failed": self._failed}
            if step.collect == "count"
            else [result for result in self._results if result is not _NOTHING]
        )
        frame.message = Message(body, {}, frame.message.attachments)
        frame.steps[step.id] = {"body": body}
        path, counted, output = frame.prefix + step.id, {"items": self._total}, {"body": body}
        self._run.journal.record_computed(path, "foreach", StepState.SUCCEEDED, input=counted, output=output)
        return Ending.DONE


class CheckpointedItems:
    """Many items. The journal keeps the entries of running items; the progress of the block replaces the others."""

    def __init__(
        self, run: ExecutionContext, step: CompiledForeach, frame: Frame, progress: ForeachProgress, *, listed: bool
    ) -> None:
        """`listed`: the items are those of a list, not of a stream."""
        self._run = run
        self._step = step
        self._frame = frame
        self._progress = progress
        self._listed = listed
        self._counts = step.collect == "count" or (step.collect is None and not listed)
        self.done = progress.done
        self.room = ROOM_INSIDE
        self.most_waiting = MOST_WAITING

    def begin(self, prefix: str) -> None:
        """See `ItemResults`."""
        self._run.journal.items.begin_item(prefix)

    def check(self, inner: Frame) -> None:
        """Reject a stream, since the entry that refers to its file is dropped with the item. See `ItemResults`."""
        collected = not self._counts and self._run.progress.streams
        stream = stream_in(inner.message.body) if collected else None
        if stream is not None:
            message = f"the result of an item: a stream of {stream.count:,} items is no value; {REMEDY}"
            failure = StepError(message, code="step.stream")
            raise StepFailed(self._run.error_info(failure, inner.prefix[:-1]))

    def end(self, index: int, inner: Frame, ending: Ending, failed: StepFailed | None) -> None:
        """Drop the entries of an item. See `ItemResults`."""
        result: bytes | None = None
        if ending is Ending.DONE and not self._counts:
            result = self._run.redactor.encrypt_line(encode(inner.message.body))
        failed_step = None if failed is None else self._failed_step(inner, failed.error)
        self._run.journal.items.end_item(
            self._progress, inner.prefix, index, inner.now, result=result, failed=failed_step
        )

    def _failed_step(self, inner: Frame, error: ErrorInfo) -> str:
        """The path of the failed step of an item, which has an entry."""
        path = error.step or inner.prefix[:-1]
        if self._run.journal.last_entry(path) is not None:
            return path
        # An expression of a block has failed, which no entry shows.
        path = f"{inner.prefix}{self._step.id}"
        self._run.journal.record_computed(path, "foreach", StepState.FAILED, error=error, at=inner.now)
        return path

    async def conclude(self) -> Ending:
        """Replace the progress of the block by its entry, so that its result isn't computed again."""
        run, frame, step, progress = self._run, self._frame, self._step, self._progress
        if not run.gate.may_act(progress.path):
            return Ending.WAITING
        counts = {"count": progress.total, "failed": progress.failed}
        body: Any = counts
        if not self._counts:
            body = await _collect_results(run, progress.path, listed=self._listed)
            if type(body) is Stream:
                run.progress.note_stream()
        reply = Reply(body) if self._counts else Reply(body, extra=counts)
        frame.message, view = next_message(frame.message, reply)
        now = run.services.clock.now()
        await run.journal.add_large(
            lambda: (encode({"items": progress.total}), encode(view)),
            recomputable=False,
            id=step.id,
            path=progress.path,
            use="foreach",
            state=StepState.SUCCEEDED,
            attempt=1,
            started_at=progress.latest,
            finished_at=now,
            signal=STREAM if isinstance(body, Stream) else None,
        )
        run.journal.items.end_foreach(progress.path)
        frame.now = now
        frame.steps[step.id] = view
        return Ending.DONE


#: The largest list of results, in bytes of JSON; larger ones become a stream.
LARGEST_LIST: Final = 10_000_000
#: A page of results has about so many bytes, and at most so many runs. A run has from one result to a megabyte of them.
_PAGE: Final = 1_000_000
_MOST_RUNS: Final = 250


async def _collect_results(run: ExecutionContext, path: str, *, listed: bool) -> Any:
    """The results of a block, in order: a stream, or a list if the items were `listed` and it isn't too large.

    Raises StoreError.
    """
    await run.journal.flush()
    writer: StreamWriter | None = None if listed else StreamWriter(run.services.blobs)
    runs: list[bytes] = []
    size, after, limit = 0, -1, 1
    try:
        while page := await run.services.store.item_results(run.id, path, after, limit):
            after = page[-1][0]
            runs += [lines for _, lines in page]
            read = sum(len(lines) for _, lines in page)
            size += read
            # The next page should have `_PAGE` bytes, judging by the length of the runs in this one.
            limit = max(1, min(_MOST_RUNS, 2 * limit, limit * _PAGE // read))
            if writer is None and size > LARGEST_LIST:
                writer = StreamWriter(run.services.blobs)
            if writer is not None:
                for result in chain.from_iterable(map(bytes.splitlines, runs)):
                    await writer.add(result)
                runs.clear()
        if writer is not None:
            return await writer.finish()
    finally:
        if writer is not None:
            await writer.abort()
    return await run.services.offloader.run(partial(_decode, run, runs), large=size > OFF_THE_LOOP)


def _decode(run: ExecutionContext, runs: Iterable[bytes]) -> list[Any]:
    """Decode all lines, one run at a time: all other threads wait during each call of the decoder."""
    values: list[Any] = []
    for lines in runs:
        values += run.flow.numbers.decode(b"[%b]" % b",".join(map(run.redactor.decrypt_line, lines.splitlines())))
    return values
