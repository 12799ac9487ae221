"""The `on_error` steps of a flow."""

import msgspec

from hookline.executions.blocks.block_expressions import RunSteps
from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import Interrupted, with_deadline
from hookline.flows.compiler.compile import ON_ERROR_PREFIX


async def run_on_error(
    run: ExecutionContext, frame: Frame, failed: StepFailed | Interrupted, run_steps: RunSteps
) -> Ending:
    """Run the `on_error` steps with the first message and `error` in scope, before the execution ends.

    Returns WAITING if they wait. They have the time limit of the flow for themselves, and end if the execution is
    cancelled. A failure of these steps is logged and doesn't change how the execution ends.
    """
    if isinstance(failed, Interrupted):
        error, at = failed.cause.error, None
    else:
        error, at = failed.error, failed.at
    if error is None or not run.flow.on_error_steps:
        return Ending.DONE
    handled = Frame(
        run.envelope.message,
        frame.steps,
        max(frame.now, at or frame.now),
        ON_ERROR_PREFIX,
        {"error": msgspec.to_builtins(error)},
        interruption=run.on_error_interruption,
    )
    try:
        ending = await _run_in_time(run, handled, run_steps)
    except (StepFailed, Interrupted) as again:
        reason = again.cause.error if isinstance(again, Interrupted) else again.error
        cause = "the execution was cancelled" if reason is None else reason.message
        run.services.log.error("on_error failed", execution_id=run.id, flow_id=run.flow.id, error=cause)
        return Ending.DONE
    return Ending.WAITING if ending is Ending.WAITING else Ending.DONE


async def _run_in_time(run: ExecutionContext, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run the steps until the time limit that began with the first of them, also if they wait or are resumed."""
    clock, steps = run.services.clock, run.flow.on_error_steps
    began = run.journal.began(ON_ERROR_PREFIX, run.reopened_after)
    deadline = run.flow.deadline(began or clock.now())
    if deadline is None:
        return await run_steps(run, steps, frame)
    async with with_deadline(frame.interruption, clock, deadline, "`on_error`"):
        ending = await run_steps(run, steps, frame)
    if ending is Ending.WAITING and frame.interruption.cause is None:
        run.progress.wake_by(deadline)
    return ending
