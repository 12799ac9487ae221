"""Steps that have ended, or that can't begin: the execution continues with what is in the journal."""

from functools import partial

import msgspec

from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.kernel.json import is_heavy
from hookline.model.execution import INTERRUPTED, ErrorInfo, StepRecord, StepState
from hookline.model.foreach_progress_and_streams import STREAM, Stream
from hookline.model.message import Attachment, Message


async def continue_if_ended(
    run: ExecutionContext, step: CompiledCall | CompiledWait | CompiledBatch, frame: Frame, entry: StepRecord | None
) -> Ending | None:
    """Continue with the result of a step that has ended; None if it hasn't.

    Raises StepFailed if it failed for good, and Interrupted if it was interrupted at its end, and still is.
    """
    if entry is not None and entry.state is StepState.SUCCEEDED:
        if entry.signal == INTERRUPTED:
            frame.interruption.check()
        return await continue_from_entry(run, frame, step.id, entry)
    if entry is None or entry.state is not StepState.FAILED:
        return None
    if step.on_error == "continue":
        return frame.continue_after(entry.error, step.id, entry.finished_at)
    if entry.error is not None and run.failure_is_final(frame, entry):
        raise StepFailed(entry.error, entry.finished_at)
    return None


def fail_before_start(
    run: ExecutionContext,
    step: CompiledWait | CompiledBatch,
    frame: Frame,
    path: str,
    use: str,
    attempt: int,
    error: ErrorInfo,
) -> Ending:
    """Record that an attempt of a step couldn't begin. Raises StepFailed, unless the flow continues after it."""
    now = run.services.clock.now()
    entry = run.journal.record(path, use, StepState.FAILED, attempt, now, error=error)
    return frame.end_failed_step(step, error, entry.finished_at)


async def continue_from_entry(run: ExecutionContext, frame: Frame, step_id: str, entry: StepRecord) -> Ending:
    """Continue as if the step had just finished with the result in its journal entry."""
    frame.now = entry.finished_at
    if entry.output is not None and entry.signal in (None, STREAM, INTERRUPTED):
        read = partial(run.flow.numbers.read_object, entry.output)
        view = await run.services.offloader.run(read, large=is_heavy(entry.output))
        if entry.signal == STREAM:
            view["body"] = Stream(view["body"]["stream"], view["body"]["count"])
            run.progress.note_stream()
        attachments = msgspec.convert(view.get("attachments", []), tuple[Attachment, ...])
        frame.message = Message(view.get("body"), view.get("headers", {}), attachments)
        frame.steps[step_id] = view
    else:
        frame.steps[step_id] = {"body": frame.message.body}
    return Ending.after(entry.signal)
