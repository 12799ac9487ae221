"""The switch block."""

from hookline.executions.blocks.block_expressions import RunSteps, evaluate_in_frame
from hookline.executions.execution_context import Ending, ExecutionContext, Frame
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.model.execution import StepState


async def run_switch(run: ExecutionContext, step: CompiledSwitch, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run the first case whose condition holds and continue with its message; or, with `all`, run each such case.

    With `all`, each case gets the message that reached the switch, one after the other, and that message continues
    after the block.
    """
    chosen = await _choose(run, step, frame)
    run.journal.record_computed(frame.prefix + step.id, "switch", StepState.SUCCEEDED, input={"cases": chosen})
    for number in chosen:
        branch = frame.branch(step.id)
        ending = await run_steps(run, step.cases[number].steps, branch)
        if ending in (Ending.STOPPED, Ending.JOINED, Ending.WAITING):
            return ending
        # A filter ends only its case.
        if step.match == "first":
            frame.adopt(branch)
        else:
            frame.now = max(frame.now, branch.now)
    frame.steps[step.id] = {"body": frame.message.body}
    return Ending.DONE


async def _choose(run: ExecutionContext, step: CompiledSwitch, frame: Frame) -> list[int]:
    path = frame.prefix + step.id
    chosen: list[int] = []
    otherwise: int | None = None
    for number, case in enumerate(step.cases):
        if case.when is None:
            otherwise = number
        elif await evaluate_in_frame(run, case.when, frame, f"switch[{number}].when", path):
            chosen.append(number)
            if step.match == "first":
                break
    if not chosen and otherwise is not None:
        chosen.append(otherwise)
    return chosen
