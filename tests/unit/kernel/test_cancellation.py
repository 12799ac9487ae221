"""Work that cancellations don't cut off."""

import asyncio

import pytest

from hookline.executions.interruption import CANCELLED, Interruption
from hookline.kernel.cancellation import cancelled_externally, kept


async def test_work_runs_to_its_end_however_often_its_caller_is_cancelled() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    task = asyncio.create_task(kept(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_the_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await kept(work())


async def test_an_interruption_that_becomes_another_error_leaves_no_cancellation_behind() -> None:
    interruption = Interruption()
    asyncio.get_running_loop().call_soon(interruption.interrupt, CANCELLED)

    async def fails_when_cut_off() -> None:
        with interruption.interruptible():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ValueError("while it was cut off") from None

    with pytest.raises(ValueError, match="while it was cut off"):
        await fails_when_cut_off()
    assert not cancelled_externally()
