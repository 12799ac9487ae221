"""The parts that all blocks share: the evaluation of expressions, and the types of the functions that run steps."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.elements.expressions import Condition, Template
from hookline.kernel.errors import ExpressionError, StepError
from hookline.plugin_host.large_value_work import reads_large_values

RunSteps: TypeAlias = Callable[[ExecutionContext, Sequence[CompiledStep], Frame], Awaitable[Ending]]
"""Runs a list of steps; blocks use it for the steps inside them."""

StepRunner: TypeAlias = Callable[[ExecutionContext, Any, Frame, RunSteps], Awaitable[Ending]]
"""Runs a step: takes the context, the compiled step and its frame, updates the frame and returns the ending."""


def evaluate(
    run: ExecutionContext, expression: Template | Condition, scope: Mapping[str, Any], key: str, path: str
) -> Any:
    """Evaluate the expression under a step's key; `path` is the step's. Raises StepFailed.

    Use `evaluate_in_frame` for expressions that may read a large message.
    """
    try:
        return expression.evaluate(scope)
    except ExpressionError as error:
        failure = StepError(f"{key}: {error.message}", code=error.code)
        raise StepFailed(run.error_info(failure, path)) from error


async def evaluate_in_frame(
    run: ExecutionContext, expression: Template | Condition, frame: Frame, key: str, path: str
) -> Any:
    """Evaluate an expression in the scope of a frame, in a thread if messages are large."""
    scope = run.scope(frame)
    work = partial(evaluate, run, expression, scope, key, path)
    return await run.services.offloader.run(
        work, large=run.progress.large and reads_large_values(expression.references, scope)
    )
