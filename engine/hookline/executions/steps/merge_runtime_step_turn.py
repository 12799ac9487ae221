"""Waiting for a step's turn, where the step has a rate, or the service that it calls has one."""

import re
from collections.abc import Iterator

from hookline.executions.context import ExecutionRun
from hookline.executions.rate_limits import LONGEST_SLEEP
from hookline.executions.steps.entry import note
from hookline.flows.blocks.action import ActionNode
from hookline.kernel.errors import CredentialError
from hookline.model.execution import RATE
from hookline.model.webhook import RATE as RATE_PATTERN


async def its_turn(run: ExecutionRun, node: ActionNode, path: str, attempt: int, *, had_one: bool) -> bool:
    """Wait for the step's turn; false where that is a row's to do. `had_one`: it was given one, whose time has come."""
    lines = list(_lines(run, node))
    if not lines:
        return True
    now = run.services.clock.now()
    at = max(run.services.rates.turn(where, name, rate, now, had_one=had_one) for where, name, rate in lines)
    if at - now > LONGEST_SLEEP:
        note(run, node, path, attempt, now, None, due_at=at, signal=RATE)
        run.wait_until(at, RATE)
        return False
    if at > now:
        await run.services.clock.sleep((at - now).total_seconds())
    return True


def _lines(run: ExecutionRun, node: ActionNode) -> Iterator[tuple[str, str, str]]:
    """Where it takes its turn, and how often somebody has one there."""
    if node.rate is not None:
        yield run.flow.id, node.id, node.rate
    # Where flows are tried out the service isn't asked.
    rate = node.action.rate if run.services.trial is None else None
    if callable(rate):
        try:
            credential = None if node.credential is None else run.services.secrets.get(node.credential)[1]
        except CredentialError:
            # The call says what is wrong with it.
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
        # No flow's id has a space.
        yield f"connector {node.action.connector}", node.credential or "", rate
