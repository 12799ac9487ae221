"""The `try` block."""

from typing import Any

import msgspec

from hookline.executions.blocks.block import RunSteps
from hookline.executions.context import Ending, ExecutionContext, Frame, Interrupted, Interruption, StepFailed
from hookline.flows.blocks.try_block import TryNode
from hookline.model.execution import ErrorInfo, StepState


async def run_try(run: ExecutionContext, node: TryNode, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run `try`; if a step of it fails, run `catch` with the message that reached the block; run `finally` at the end.

    The message continues as `try` or `catch` left it. `finally` doesn't change the message, but its failure counts.
    """
    caught: ErrorInfo | None = None
    left: StepFailed | Interrupted | None = None
    done = frame.branch(node.id, lenient=frame.lenient or node.handler is not None)
    ending = Ending.DONE
    try:
        ending = await run_steps(run, node.steps, done)
    except Interrupted as interrupted:
        left = interrupted
    except StepFailed as failed:
        if node.handler is None:
            left = failed
        else:
            caught = failed.error
            done = frame.branch(
                node.id,
                now=max(done.now, failed.at or done.now),
                names={**frame.names, "error": msgspec.to_builtins(caught)},
            )
            try:
                ending = await run_steps(run, node.handler, done)
            except (StepFailed, Interrupted) as again:
                left = again
    if ending is Ending.WAITING:
        if run.dry is not None:
            run.dry.expect_later(f"{frame.prefix}{node.id}/", node.last)
        return ending
    if node.last:
        # These steps run whatever ends the execution.
        last = frame.branch(node.id, message=done.message, now=done.now, interruption=Interruption())
        if isinstance(left, StepFailed) and left.at is not None:
            last.now = max(last.now, left.at)
        last_ending = await run_steps(run, node.last, last)
        done.now = max(done.now, last.now)
        if last_ending in (Ending.WAITING, Ending.STOPPED):
            return last_ending
    if left is not None:
        raise left
    frame.adopt(done)
    if ending is Ending.DONE:
        view: dict[str, Any] = {"body": frame.message.body}
        if caught is not None:
            view["error"] = msgspec.to_builtins(caught)
        frame.steps[node.id] = view
        run.note_pure(frame, node.id, "try", StepState.SUCCEEDED, output=view)
    return ending
