"""Work that one node does for all ends with the lease, and begins again with the duty."""

import asyncio
from collections.abc import Collection

import pytest

from hookline.maintenance.duty import Duty, LeasedWork
from hookline.storage.cluster import Alone
from hookline.testing.clock import ManualClock


class _Node(Alone):
    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def take(self, duties: Collection[str]) -> Collection[str]:
        await self.free.wait()
        return duties


class _Leased(Alone):
    has_lease = True

    @property  # type: ignore[misc]  # it is final where no other node is
    def held(self) -> bool:
        return self.has_lease


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.cluster_rule("C10")
async def test_work_is_done_while_the_node_has_the_duty() -> None:
    node, begun, ended = _Node(), 0, 0

    async def work() -> None:
        nonlocal begun, ended
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            ended += 1

    duty = Duty(node, "housekeeping", ManualClock())
    running = asyncio.create_task(duty.run(work))
    await _settled()
    assert (duty.held, begun) == (False, 0)
    node.free.set()
    await _settled()
    assert (duty.held, begun, ended) == (True, 1, 0)
    # The lease is lost, and another node has the duty.
    node.free.clear()
    await duty.drop()
    assert ended == 1
    await _settled()
    assert (duty.held, begun) == (False, 1)
    node.free.set()
    await _settled()
    assert (duty.held, begun) == (True, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (duty.held, ended) == (False, 2)


@pytest.mark.cluster_rule("C1")
async def test_work_that_is_dropped_begins_again_under_the_next_lease() -> None:
    node, clock, begun = _Leased(), ManualClock(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    leased = LeasedWork(node, clock)
    running = asyncio.create_task(leased.run(work))
    await _settled()
    assert (leased.held, begun) == (True, 1)
    node.has_lease = False
    await leased.drop()
    await _settled()
    clock.advance(1)
    await _settled()
    assert (leased.held, begun) == (False, 1)
    node.has_lease = True
    clock.advance(1)
    await _settled()
    assert (leased.held, begun) == (True, 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_defect_of_the_work_is_raised() -> None:
    node = _Node()
    node.free.set()

    async def work() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await Duty(node, "housekeeping", ManualClock()).run(work)
