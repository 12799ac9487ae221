"""Cancellation: work that is shielded from it, and its origin."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Run the work to its end and return its result; a cancellation that comes meanwhile is passed on afterwards.

    For work around a commit: once a commit has begun, nobody can tell if it takes place. On a second cancellation, this
    returns at once and the work continues by itself.
    """
    loop = asyncio.get_running_loop()
    task: asyncio.Task[T] = loop.create_task(work)
    ended: asyncio.Future[None] = loop.create_future()

    def end(_: "asyncio.Task[T]") -> None:
        if not ended.done():
            ended.set_result(None)

    # In place of asyncio.shield, which takes half as long again; each message is accepted in here.
    task.add_done_callback(end)
    try:
        await ended
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait((task,))
        # Nobody waits for its exception any more, and it isn't a defect.
        if not task.cancelled():
            task.exception()
        raise
    return task.result()


async def completed(work: Coroutine[Any, Any, None]) -> None:
    """Run the work to its end, however often the task is cancelled meanwhile. The caller passes the cancellation on.

    For work that limits its own time.
    """
    task = asyncio.get_running_loop().create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
    task.result()


def cancelled_externally() -> bool:
    """Return true if the current task was cancelled from outside, and not by the code that it runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
