"""The turns of steps whose runs, or whose calls of a service, have a rate limit."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from hookline.executions.context import ExecutionContext
from hookline.flows.blocks.action import ActionNode
from hookline.kernel.errors import CredentialError
from hookline.model.webhook import RATE as RATE_PATTERN

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def take_turn(run: ExecutionContext, node: ActionNode, *, had_one: bool) -> timedelta:
    """Take the step's next turn; return the time until it comes. `had_one`: an earlier turn has come."""
    lines = list(_lines(run, node))
    if not lines:
        return timedelta(0)
    # Turns are counted on the monotonic clock, so they stay where they are when the time of day is set.
    steady = _BEGINNING + timedelta(seconds=run.services.clock.monotonic())
    return max(run.services.rates.turn(where, name, rate, steady, had_one=had_one) for where, name, rate in lines) - (
        steady
    )


def _lines(run: ExecutionContext, node: ActionNode) -> Iterator[tuple[str, str, str]]:
    """The rate limits of a step: flow or connector, step or credential, and the rate."""
    if node.rate is not None:
        yield run.flow.id, node.id, node.rate
    rate = run.services.effects.rate(node.action)
    if callable(rate):
        try:
            credential = None if node.credential is None else run.services.secrets.get(node.credential)[1]
        except CredentialError:
            # The call reports the error of the credential.
            return
        try:
            rate = rate(credential)
        except Exception as error:  # noqa: BLE001 - a defect of the connector must not take the execution with it
            run.services.log.error("connector defect", action=node.action.name, error=f"its rate: {error}")
            return
    if rate is not None:
        if not re.fullmatch(RATE_PATTERN, rate):
            run.services.log.error("connector defect", action=node.action.name, error=f"{rate!r} is no rate")
            return
        # The id of a flow has no space.
        yield f"connector {node.action.connector}", node.credential or "", rate
