"""Finding out whether a step took effect whose outcome isn't known: what the action's probe says."""

from dataclasses import replace
from datetime import timedelta
from typing import Final, Union

from hookline.action import NOT_DONE, NOT_KNOWN, Count, Pause, Reply, Signal
from hookline.errors import StepError
from hookline.flows.blocks.action import ActionNode, RetryPolicy
from hookline.model.execution import OUTCOME_UNKNOWN
from hookline.model.reply import CallerReply
from hookline.runtime.action_call import Call, call_action
from hookline.runtime.execution_run import ExecutionRun

#: How often a probe is asked whose service isn't there, and the seconds between.
_TRIES: Final = 3
_BETWEEN: Final = 1.0
_LONGEST: Final = timedelta(seconds=30)
"""For a probe, where the step has no timeout."""

AGAIN: Final = RetryPolicy()
"""How what has certainly not taken effect is tried again."""


class DidNotHappen(StepError):
    """An attempt ended without an answer, and took no effect."""


def can_ask(run: ExecutionRun, node: ActionNode) -> bool:
    """Whether anybody can say how an attempt ended whose outcome isn't known."""
    return node.once and node.action.probe is not None and run.services.trial is None


def not_known(node: ActionNode, why: str) -> StepError:
    """The error of a step of which isn't known whether it took effect."""
    return StepError(f"it isn't known whether {node.action.name} took effect: {why}", code=OUTCOME_UNKNOWN)


async def ask(
    run: ExecutionRun, node: ActionNode, call: Call, path: str, attempt: int, doubt: StepError
) -> Signal | Reply | CallerReply:
    """What the action gave, as its probe found out.

    `doubt`: how the attempt ended. Raises DidNotHappen where it took no effect, and StepError with the code
    `outcome_unknown` where that can't be found out.
    """
    action = node.action
    if action.probe is None:
        raise not_known(node, doubt.message)
    arguments = {name: call.arguments[name] for name in action.probe.parameters}
    if action.probe.takes_context:
        arguments["ctx"] = call.context
    asking = replace(
        node,
        # What it finds is the action's result, or a word on that.
        action=replace(action, run=action.probe.run, returns=Union[action.returns, Signal]),  # noqa: UP007 - not a class
        timeout=node.timeout or _LONGEST,
    )
    for tried in range(1, _TRIES + 1):
        try:
            found = await call_action(run, asking, replace(call, arguments=arguments), path, attempt)
        except StepError as error:
            if error.retryable and tried < _TRIES:
                await run.services.clock.sleep(_BETWEEN)
                continue
            raise not_known(node, f"{doubt.message}; asking for it failed: {error.message}") from error
        break
    if found is NOT_DONE:
        raise DidNotHappen(
            f"{doubt.message}; it took no effect",
            code="cut_off" if doubt.error_code == OUTCOME_UNKNOWN else doubt.error_code,
            retryable=True,
            retry_after=doubt.retry_after,
        )
    if found is NOT_KNOWN:
        raise not_known(node, f"{doubt.message}; its service can't say it either")
    if isinstance(found, Pause | Count):
        raise not_known(node, f"{doubt.message}; its probe gave a {type(found).__name__}, which is no result")
    return found
