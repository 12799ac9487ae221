"""The `try` block."""

from dataclasses import dataclass
from typing import Any

import msgspec

from hookline.executions.blocks.block_expressions import RunSteps
from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import Interrupted, Interruption
from hookline.flows.blocks.try_block import CompiledTry
from hookline.model.execution import ErrorInfo, StepState


@dataclass(slots=True)
class _Done:
    """The end of `try`, or of `catch` after it."""

    frame: Frame
    ending: Ending = Ending.DONE
    caught: ErrorInfo | None = None
    """The error that `catch` handles."""
    left: StepFailed | Interrupted | None = None
    """The reason why the block ends, once `finally` has run."""


async def run_try(run: ExecutionContext, step: CompiledTry, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run `try`; if a step of it fails, run `catch` with the message that reached the block; run `finally` at the end.

    The message continues as `try` or `catch` left it. `finally` doesn't change the message, but its failure counts.
    """
    done = await _run_handled(run, step, frame, run_steps)
    if done.ending is Ending.WAITING:
        run.gate.mark_reached_later(f"{frame.prefix}{step.id}/", step.finally_steps)
        return done.ending
    if step.finally_steps:
        finally_ending = await _run_finally(run, step, frame, done, run_steps)
        # A `stop` in `finally` doesn't hide why the block ends.
        if finally_ending is Ending.WAITING or (finally_ending is Ending.STOPPED and done.left is None):
            return finally_ending
    if done.left is not None:
        raise done.left
    frame.adopt(done.frame)
    if done.ending is Ending.DONE:
        view: dict[str, Any] = {"body": frame.message.body}
        if done.caught is not None:
            view["error"] = msgspec.to_builtins(done.caught)
        frame.steps[step.id] = view
        run.journal.record_computed(frame.prefix + step.id, "try", StepState.SUCCEEDED, output=view)
    return done.ending


async def _run_handled(run: ExecutionContext, step: CompiledTry, frame: Frame, run_steps: RunSteps) -> _Done:
    """Run `try`, and `catch` if a step fails."""
    done = _Done(frame.branch(step.id, lenient=frame.lenient or step.catch_steps is not None))
    try:
        done.ending = await run_steps(run, step.steps, done.frame)
    except Interrupted as interrupted:
        done.left = interrupted
    except StepFailed as failed:
        if step.catch_steps is None:
            done.left = failed
            return done
        done.caught = failed.error
        done.frame = frame.branch(
            step.id,
            now=max(done.frame.now, failed.at or done.frame.now),
            names={**frame.names, "error": msgspec.to_builtins(done.caught)},
        )
        try:
            done.ending = await run_steps(run, step.catch_steps, done.frame)
        except (StepFailed, Interrupted) as again:
            done.left = again
    return done


async def _run_finally(
    run: ExecutionContext, step: CompiledTry, frame: Frame, done: _Done, run_steps: RunSteps
) -> Ending:
    """Run `finally`, whatever ends the execution."""
    inner = frame.branch(step.id, message=done.frame.message, now=done.frame.now, interruption=Interruption())
    if isinstance(done.left, StepFailed) and done.left.at is not None:
        inner.now = max(inner.now, done.left.at)
    ending = await run_steps(run, step.finally_steps, inner)
    done.frame.now = max(done.frame.now, inner.now)
    return ending
