"""The list of steps: run its actions and blocks one after the other."""

from collections.abc import Sequence
from typing import Final

from hookline.executions.blocks.batch import run_batch
from hookline.executions.blocks.block_expressions import StepRunner, evaluate_in_frame
from hookline.executions.blocks.flow_call import run_call
from hookline.executions.blocks.foreach import run_foreach
from hookline.executions.blocks.parallel import run_parallel
from hookline.executions.blocks.switch import run_switch
from hookline.executions.blocks.try_block import run_try
from hookline.executions.blocks.webhook_wait import run_wait
from hookline.executions.execution_context import Ending, ExecutionContext, Frame
from hookline.executions.replay_edits import apply_edit
from hookline.executions.steps.step import run_action
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.model.execution import StepState

STEP_RUNNERS: Final[dict[type[CompiledStep], StepRunner]] = {
    CompiledAction: run_action,
    CompiledSwitch: run_switch,
    CompiledWait: run_wait,
    CompiledCall: run_call,
    CompiledBatch: run_batch,
    CompiledForeach: run_foreach,
    CompiledParallel: run_parallel,
    CompiledTry: run_try,
}
"""The function that runs each kind of step. Mappers and filters are actions, too: pure ones."""


async def run_steps(run: ExecutionContext, steps: Sequence[CompiledStep], frame: Frame) -> Ending:
    """Run steps from top to bottom until one of them ends the list. Raises StepFailed."""
    for step in steps:
        if run.edited and (edited := run.edited.get(frame.prefix + step.id)) is not None:
            frame.message = apply_edit(frame.message, edited, run.flow.numbers)
        if not await _holds(run, step, frame):
            continue
        if not run.gate.may_reach(frame.prefix + step.id, step):
            return Ending.WAITING
        ending = await STEP_RUNNERS[type(step)](run, step, frame, run_steps)
        if ending is not Ending.DONE:
            return ending
    return Ending.DONE


async def _holds(run: ExecutionContext, step: CompiledStep, frame: Frame) -> bool:
    if step.when is None:
        return True
    holds: bool = await evaluate_in_frame(run, step.when, frame, "when", frame.prefix + step.id)
    if not holds:
        run.journal.record_computed(frame.prefix + step.id, step.skipped_use, StepState.SKIPPED)
    return holds
