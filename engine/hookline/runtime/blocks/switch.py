"""The content-based router."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from hookline.errors import ExpressionError, StepError
from hookline.flows.compiled import Case, Node, SwitchNode
from hookline.model.execution import StepState
from hookline.runtime.execution_run import Ending, ExecutionRun, Frame, StepFailed, error_info

RunSteps: TypeAlias = Callable[[ExecutionRun, Sequence[Node], Frame], Awaitable[Ending]]


async def run_switch(run: ExecutionRun, node: SwitchNode, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run the first case that holds, and go on with its message; or each that holds.

    With `all`, each case gets the message that reached the switch, and that message goes on after it: the cases
    are recipients, one after the other.
    """
    chosen = _choose(run, node, frame)
    run.pure(frame, node.id, "switch", StepState.SUCCEEDED, input={"cases": chosen})
    for number in chosen:
        branch = frame.branch(node.id)
        ending = await run_steps(run, node.cases[number].steps, branch)
        if ending in (Ending.STOPPED, Ending.WAITING):
            return ending
        # A filter ends its case and no more.
        if node.match == "first":
            frame.adopt(branch)
        else:
            frame.now = max(frame.now, branch.now)
    return Ending.DONE


def _choose(run: ExecutionRun, node: SwitchNode, frame: Frame) -> list[int]:
    scope = run.scope(frame)
    chosen: list[int] = []
    otherwise: int | None = None
    for number, case in enumerate(node.cases):
        if case.when is None:
            otherwise = number
        elif _holds(case, scope, f"{frame.prefix}{node.id}", number):
            chosen.append(number)
            if node.match == "first":
                break
    if not chosen and otherwise is not None:
        chosen.append(otherwise)
    return chosen


def _holds(case: Case, scope: dict[str, object], path: str, number: int) -> bool:
    if case.when is None:
        return False
    try:
        return case.when.evaluate(scope)
    except ExpressionError as error:
        failure = StepError(f"switch[{number}].when: {error.message}", code=error.code)
        raise StepFailed(error_info(failure, path)) from error
