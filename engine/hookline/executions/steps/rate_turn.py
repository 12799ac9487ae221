"""The turns of steps whose runs, or whose calls of a service, have a rate limit."""

import re
from collections.abc import Iterator
from datetime import timedelta

from hookline.credentials.access_tokens import hidden_of
from hookline.executions.execution_context import ExecutionContext
from hookline.flows.blocks.action import CompiledAction
from hookline.kernel.errors import CredentialError, StepError
from hookline.model.webhook import RATE as RATE_PATTERN
from hookline.plugin_host.plugin_calls import PluginDefect


async def take_turn(run: ExecutionContext, step: CompiledAction, *, had_one: bool) -> timedelta:
    """Take the step's next turn; return the time until it comes. `had_one`: an earlier turn has come."""
    # Turns are counted on the monotonic clock, so they stay where they are when the time of day is set.
    rates, clock = run.services.rates, run.services.clock
    turns = [await rates.turn(name, rate, clock, had_one=had_one) for name, rate in _limits(run, step)]
    return max(turns, default=timedelta(0))


def _limits(run: ExecutionContext, step: CompiledAction) -> Iterator[tuple[str, str]]:
    """The rate limits of a step: their names, and their rates."""
    # The ids of flows and steps have no space, so each name has one meaning.
    if step.rate is not None:
        yield f"{run.flow.id} {step.id}", step.rate
    rate = run.services.effects.rate(step.action)
    if callable(rate):
        try:
            used, credentials = step.credential, run.services.credentials
            credential = None if used is None else credentials.get(used, run.flow.id).value
        except CredentialError:
            # The call reports the error of the credential.
            return
        name, hidden = step.action.name, hidden_of(credential, None)
        try:
            with run.services.plugin_calls.contain("action", name, passing=(), hidden=hidden):
                rate = _checked(rate(credential))
        except (PluginDefect, StepError) as error:
            # A defect of the connector must not take the execution with it.
            run.services.log.error("connector defect", action=name, error=f"its rate: {error}")
            return
    if rate is not None:
        yield f"connector {step.action.connector} {step.credential or ''}", rate


def _checked(rate: str | None) -> str | None:
    if rate is not None and not re.fullmatch(RATE_PATTERN, rate):
        raise ValueError(f"{rate!r} is no rate; 10/s and 100/m are")
    return rate
