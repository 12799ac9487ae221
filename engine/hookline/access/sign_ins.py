"""Failed sign-ins: a limit for each address, and a bounded record."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from hookline.access.tokens import Invalid
from hookline.kernel.errors import StoreError, TooManyRequests
from hookline.kernel.time import Clock
from hookline.model.access import RejectedSignIn
from hookline.storage.changes import RejectSignIns
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

MOST_FAILURES: Final = 10
"""The failed sign-ins that one address may have in `WITHIN` seconds."""
WITHIN: Final = 60.0
_ADDRESSES: Final = 10_000
"""The number of addresses that are remembered."""
_HELD: Final = 200
"""The number of rejected sign-ins that wait to be stored; older ones are dropped, and counted."""
_EVERY: Final = 1.0
"""Seconds between two commits."""


class SignIns:
    """Counts and records the requests whose tokens aren't valid."""

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
        self._held: deque[RejectedSignIn] = deque()
        self._some = asyncio.Event()

    def reject(self, client: str, address: str, reason: Invalid, token: str | None) -> None:
        """Count and record a failed sign-in. Raises TooManyRequests if its client has failed too often.

        `client`: the name under which the addresses of one host are counted. Only failures are limited: a valid token
        works whatever others do behind the same address. Guessing needs no limit, for a token has 256 random bits; the
        record and the log do.
        """
        now = self._clock.monotonic()
        failures = self._failures.pop(client, None) or deque(maxlen=MOST_FAILURES)
        self._failures[client] = failures
        if len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)
        while failures and failures[0] <= now - WITHIN:
            failures.popleft()
        if len(failures) >= MOST_FAILURES:
            raise TooManyRequests(
                "Too many requests from this address had tokens that aren't valid.",
                retry_after=failures[0] + WITHIN - now,
            )
        failures.append(now)
        if len(self._held) == _HELD:
            self._held.popleft()
            self._dropped(1)
        self._held.append(RejectedSignIn(self._new_id(), self._clock.now(), address, reason, token))
        self._some.set()

    async def run(self) -> None:
        """Store the rejected sign-ins that come, until cancelled."""
        while True:
            await self._some.wait()
            try:
                await self.flush()
            except StoreError as error:
                self._store_problem.report(error)
            await self._clock.sleep(_EVERY)

    async def flush(self) -> None:
        """Store the collected sign-ins. Raises StoreError, and then keeps them."""
        held = tuple(self._held)
        if held:
            await self._store.commit((RejectSignIns(held),))
            for _ in range(min(len(held), len(self._held))):
                self._held.popleft()
        if not self._held:
            self._some.clear()
