"""Timers: wake parked executions when their time comes. The store has all times; here is only the next one."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from hookline.kernel.clocks import Clock, JumpingClock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.storage.change_declarations import MoveWaits
from hookline.storage.queue import Queue
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

_PAGE: Final = 500
#: The longest time between two queries, because other processes may write to the store.
_LONGEST: Final = timedelta(seconds=60)
#: Seconds after which the system's clock is looked at again: it may have been set.
_LOOK: Final = 1.0
_TICK: Final = timedelta(microseconds=1)


class Timers:
    """Sleep until the earliest time, and hand due executions to the queue."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        clock: Clock,
        store_problem: StoreProblem,
        log: Log,
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._store_problem = store_problem
        self._log = log
        self._new_id = new_id
        self._move: MoveWaits | None = None
        """The move of all waits that isn't known to be durable."""
        self._earlier = asyncio.Event()
        self._sleeping_until: datetime | None = None

    def notice(self, at: datetime) -> None:
        """Note that an execution was parked until a time."""
        if self._sleeping_until is not None and at < self._sleeping_until:
            self._earlier.set()

    async def run(self) -> None:
        """Wake executions forever."""
        after: datetime | None = None
        while True:
            self._earlier.clear()
            try:
                if await self._follow_clock():
                    after = None
            except StoreError as error:
                self._store_problem.report(error)
                await self._clock.sleep(_LOOK)
                continue
            until = self._clock.now()
            # From here on, a newly parked execution interrupts the sleep below, also during the query.
            self._sleeping_until = until + _LONGEST
            try:
                await self._wake(after, until)
                after = until
                next_due = await self._store.next_due(until)
            except StoreError as error:
                self._store_problem.report(error)
                next_due = until + timedelta(seconds=1)
            if next_due is not None:
                self._sleeping_until = min(next_due, self._sleeping_until)
            await self._sleep(self._sleeping_until)

    async def _wake(self, after: datetime | None, until: datetime) -> None:
        limit = _PAGE
        while True:
            due = await self._store.due(after, until, limit)
            for execution in due:
                await self._queue.wake(execution.flow_id, execution.execution_id)
            if len(due) < limit:
                return
            if due[0].ready_at < due[-1].ready_at:
                # Waking twice is harmless, missing one is not: the next page begins with the last time again.
                after = due[-1].ready_at - _TICK
            else:
                limit *= 2

    async def _sleep(self, until: datetime) -> None:
        sleep = asyncio.ensure_future(self._sleep_until(until))
        earlier = asyncio.ensure_future(self._earlier.wait())
        try:
            await asyncio.wait((sleep, earlier), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleep, earlier):
                task.cancel()
            await asyncio.gather(sleep, earlier, return_exceptions=True)

    async def _sleep_until(self, until: datetime) -> None:
        # Counted from the time when the task runs, which may be later than its creation.
        while (seconds := (until - self._clock.now()).total_seconds()) > 0 and not self._jump():
            await self._clock.sleep(min(seconds, _LOOK))

    def _jump(self) -> timedelta:
        return self._clock.jump() if isinstance(self._clock, JumpingClock) else timedelta(0)

    async def _follow_clock(self) -> bool:
        """If the system's clock was set, let everything that waits for a duration wait as long as before, and then let
        the engine's time jump, too. Raises StoreError."""
        jump = self._jump()
        if self._move is None and jump:
            self._move = MoveWaits(self._new_id(), jump)
        if self._move is None or not isinstance(self._clock, JumpingClock):
            return False
        # A commit that failed may have taken place, so the same move is repeated, also if the clock was set again.
        await self._store.commit((self._move,))
        jump, self._move = self._move.by, None
        self._clock.adopt(jump)
        self._log.warning("the system's clock was set; waits go on as long as before", seconds=jump.total_seconds())
        return True
