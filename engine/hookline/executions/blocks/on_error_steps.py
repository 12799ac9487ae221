"""The `on_error` steps of a flow."""

import msgspec

from hookline.executions.blocks.block_expressions import RunSteps
from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import Interrupted, Interruption
from hookline.flows.compiler.compile import ON_ERROR_PREFIX


async def run_on_error(
    run: ExecutionContext, frame: Frame, failed: StepFailed | Interrupted, run_steps: RunSteps
) -> Ending:
    """Run the `on_error` steps with the first message and `error` in scope, before the execution ends.

    Returns WAITING if they wait. A failure of these steps is logged and doesn't change how the execution ends.
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
        interruption=Interruption(),
    )
    try:
        ending = await run_steps(run, run.flow.on_error_steps, handled)
    except (StepFailed, Interrupted) as again:
        cause = again.error.message if isinstance(again, StepFailed) else str(again)
        run.services.log.error("on_error failed", execution_id=run.id, flow_id=run.flow.id, error=cause)
        return Ending.DONE
    return Ending.WAITING if ending is Ending.WAITING else Ending.DONE
