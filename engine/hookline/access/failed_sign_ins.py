"""Failed sign-ins: a limit for each address, and a bounded record."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from hookline.access.tokens import Invalid
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError, TooManyRequests
from hookline.model.access import RejectedSignIn
from hookline.storage.change_declarations import RejectSignIns
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

MOST_FAILURES: Final = 10
"""The failed sign-ins that one address may have in `WITHIN` seconds."""
WITHIN: Final = 60.0
_MOST_ADDRESSES: Final = 10_000
"""The number of addresses whose failures are counted."""
_MOST_WAITING: Final = 200
"""The number of rejected sign-ins that wait to be stored; older ones are dropped, and counted."""
_COMMIT_EVERY: Final = 1.0
"""Seconds between two commits."""


class SignIns:
    """Counts and records the requests whose tokens, sessions or sign-in codes aren't valid."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        new_id: Callable[[], str],
        store_problem: StoreProblem,
        dropped: Callable[[int], None],
    ) -> None:
        """`dropped` counts the sign-ins that are not recorded because there were too many."""
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._store_problem = store_problem
        self._dropped = dropped
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._waiting: deque[RejectedSignIn] = deque()
        self._is_waiting = asyncio.Event()
        self._flushing = asyncio.Lock()

    def reject(self, client: str, address: str, reason: Invalid, token: str | None) -> None:
        """Count and record a failed sign-in. Raises TooManyRequests if its client has failed too often.

        `client`: the name under which the addresses of one host are counted. Only failures are limited: a valid token
        always works. The limit protects the record and the log; tokens can't be guessed, with their 256 random bits.
        """
        now = self._clock.monotonic()
        failures = self._failures.pop(client, None) or deque(maxlen=MOST_FAILURES)
        self._failures[client] = failures
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        while failures and failures[0] <= now - WITHIN:
            failures.popleft()
        if len(failures) >= MOST_FAILURES:
            raise TooManyRequests(
                "Too many requests from this address had tokens that aren't valid.",
                retry_after=failures[0] + WITHIN - now,
            )
        failures.append(now)
        if len(self._waiting) == _MOST_WAITING:
            self._waiting.popleft()
            self._dropped(1)
        self._waiting.append(RejectedSignIn(self._new_id(), self._clock.now(), address, reason, token))
        self._is_waiting.set()

    async def run(self) -> None:
        """Store rejected sign-ins as they come, until cancelled."""
        while True:
            await self._is_waiting.wait()
            try:
                await self.flush()
            except StoreError as error:
                self._store_problem.report(error)
            await self._clock.sleep(_COMMIT_EVERY)

    async def flush(self) -> None:
        """Store the sign-ins that wait. Raises StoreError, and then keeps them."""
        # Two at once would store the same sign-ins twice.
        async with self._flushing:
            waiting = tuple(self._waiting)
            if waiting:
                await self._store.commit((RejectSignIns(waiting),))
                for _ in range(min(len(waiting), len(self._waiting))):
                    self._waiting.popleft()
            if not self._waiting:
                self._is_waiting.clear()
