"""The blocks of the flow language: one file for each, and the table that finds them.

A block takes the run, its node and the frame it stands in, moves the frame on, and says how it ended. To add one:
a document in `model.flow`, a node in `flows.compiled`, and its function here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from hookline.errors import ExpressionError, StepError
from hookline.flows.compiled import ActionNode, ForeachNode, Node, SwitchNode
from hookline.model.execution import StepState
from hookline.runtime.blocks.foreach import run_foreach
from hookline.runtime.blocks.switch import run_switch
from hookline.runtime.execution_run import Ending, ExecutionRun, Frame, StepFailed, error_info
from hookline.runtime.step import run_action

_BLOCKS: Final[dict[type, Callable[..., Awaitable[Ending]]]] = {
    ActionNode: run_action,
}

_NESTING: Final[dict[type, Callable[..., Awaitable[Ending]]]] = {
    SwitchNode: run_switch,
    ForeachNode: run_foreach,
}


async def run_steps(run: ExecutionRun, nodes: Sequence[Node], frame: Frame) -> Ending:
    """Run steps from top to bottom, until one of them ends the branch. Raises StepFailed."""
    for node in nodes:
        if node.when is not None and not _holds(run, node, frame):
            continue
        block = _BLOCKS.get(type(node))
        if block is not None:
            ending = await block(run, node, frame)
        else:
            ending = await _NESTING[type(node)](run, node, frame, run_steps)
        if ending is not Ending.DONE:
            return ending
    return Ending.DONE


def _holds(run: ExecutionRun, node: Any, frame: Frame) -> bool:
    try:
        holds: bool = node.when.evaluate(run.scope(frame))
    except ExpressionError as error:
        failure = StepError(f"when: {error.message}", code=error.code)
        raise StepFailed(error_info(failure, frame.prefix + node.id)) from error
    if not holds:
        use = node.action.name if isinstance(node, ActionNode) else "block"
        run.pure(frame, node.id, use, StepState.SKIPPED)
    return holds
