"""Work that is done whole, although whoever waits for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Do the work to its end and give its result; a cancellation that comes meanwhile is passed on afterwards.

    For what goes with a commit: once that has begun, nothing can tell whether it takes place. A second cancellation
    isn't waited for; the work goes on by itself.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait((task,))
        # What it raised is nobody's any more, and is no defect.
        if not task.cancelled():
            task.exception()
        raise


def cancelled_externally() -> bool:
    """Whether it is from outside that the current task is cancelled, and not by what it runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
