"""What the blocks have in common while they run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from hookline.executions.context import Ending, ExecutionContext, Frame, StepFailed
from hookline.flows.blocks.block import Node
from hookline.flows.elements.expressions import Condition, Template
from hookline.kernel.errors import ExpressionError, StepError
from hookline.plugin_host.offload import reads_large_values

RunSteps: TypeAlias = Callable[[ExecutionContext, Sequence[Node], Frame], Awaitable[Ending]]
"""Runs a list of steps: a block runs those inside it by this."""

Run: TypeAlias = Callable[[ExecutionContext, Any, Frame, RunSteps], Awaitable[Ending]]
"""A block: it takes the run, its node and the frame it stands in, moves the frame on, and says how it ended."""


def evaluate(
    run: ExecutionContext, expression: Template | Condition, scope: Mapping[str, Any], key: str, path: str
) -> Any:
    """What the expression under a step's key gives; `path` is the step's. Raises StepFailed.

    For what may go through a large message there is `evaluate_aside`.
    """
    try:
        return expression.evaluate(scope)
    except ExpressionError as error:
        failure = StepError(f"{key}: {error.message}", code=error.code)
        raise StepFailed(run.error_info(failure, path)) from error


async def evaluate_in_frame(
    run: ExecutionContext, expression: Template | Condition, frame: Frame, key: str, path: str
) -> Any:
    """The same for a frame; what other executions do goes on meanwhile where messages are large."""
    scope = run.scope(frame)
    work = partial(evaluate, run, expression, scope, key, path)
    return await run.services.offloader.run(work, large=run.large and reads_large_values(expression.references, scope))
