"""The time that an execution has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hookline.executions.context import ExecutionRun
from hookline.executions.interruption import Cause
from hookline.model.execution import ErrorInfo, Outcome

TIMED_OUT = "flow.timed_out"


@asynccontextmanager
async def in_time(run: ExecutionRun) -> AsyncIterator[None]:
    """Interrupt the run when its time is up: at once, where it is."""
    if run.deadline is None:
        yield
        return
    left = (run.deadline - run.services.clock.now()).total_seconds()
    message = f"the flow's timeout of {run.flow.document.timeout} is over"
    cause = Cause(Outcome.TIMED_OUT, ErrorInfo(TIMED_OUT, message))
    if left <= 0:
        run.interruption.interrupt(cause)
        yield
        return

    async def expire() -> None:
        await run.services.clock.sleep(left)
        run.interruption.interrupt(cause)

    timer = asyncio.ensure_future(expire())
    try:
        yield
    finally:
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
