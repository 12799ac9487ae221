"""The record of rejected requests, which are collected in memory and written at most once a second.

A flood of requests most cheaply consists of requests that are rejected. So a commit has a limited number of requests of
a limited number of flows, the newest of each, however many come. Other messages wait for that commit, so it is made
less often the longer a flood lasts.
"""

import asyncio
from collections import deque
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.ids import Ids
from hookline.kernel.logs import Log
from hookline.model.rejection import BODY_KEPT, TEXT_KEPT, RejectedRequest
from hookline.storage.change_declarations import Reject
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

EVERY: Final = 1.0
"""The shortest time between two commits, in seconds."""
EVERY_OF_FLOOD: Final = 10.0
"""The longest time between two commits during a flood, in seconds. The time doubles up to this."""
PER_FLOW: Final = 20
"""The largest number of requests of one flow in a commit. The newest are kept."""
FLOWS: Final = 100
"""The largest number of flows in a commit."""


class RejectionRecord:
    """Records rejected requests in the store."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, log: Log, store_problem: StoreProblem) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._log = log
        self._store_problem = store_problem
        self._held: dict[str, deque[RejectedRequest]] = {}
        self._some = asyncio.Event()

    def add(
        self,
        flow_id: str,
        *,
        code: str,
        status: int,
        detail: str,
        method: str,
        path: str,
        size: int,
        client: str | None = None,
        body: bytes | None = None,
    ) -> None:
        """Add a request, without waiting. `flow_id` is `-` if there is no such flow."""
        held = self._held.get(flow_id)
        if held is None:
            if len(self._held) == FLOWS:
                return
            held = self._held[flow_id] = deque(maxlen=PER_FLOW)
        held.append(
            RejectedRequest(
                self._ids.new(),
                flow_id,
                self._clock.now(),
                code,
                status,
                detail[:TEXT_KEPT],
                method[:TEXT_KEPT],
                path[:TEXT_KEPT],
                size,
                client,
                body if body is None else body[:BODY_KEPT],
            )
        )
        self._some.set()

    async def run(self) -> None:
        """Write the requests that come, until cancelled."""
        pause = EVERY
        while True:
            await self._some.wait()
            flood = any(len(held) == PER_FLOW for held in self._held.values())
            pause = min(2 * pause, EVERY_OF_FLOOD) if flood else EVERY
            try:
                await self.flush()
            except StoreError as error:
                self._store_problem.report(error)
                self._some.set()
            await self._clock.sleep(pause)

    async def close(self) -> None:
        """Write the remaining requests. A failure is only logged."""
        try:
            await self.flush()
        except StoreError as error:
            self._log.warning("the last rejected requests are not recorded", error=error.message)

    async def flush(self) -> None:
        """Write the collected requests. Raises StoreError, and then keeps them."""
        self._some.clear()
        held, self._held = self._held, {}
        requests = tuple(request for flow in held.values() for request in flow)
        if not requests:
            return
        try:
            await self._store.commit((Reject(requests),))
        except BaseException:
            # The requests that came meanwhile are newer, so they go to the end.
            for flow_id, newer in self._held.items():
                held.setdefault(flow_id, deque(maxlen=PER_FLOW)).extend(newer)
            self._held = dict(list(held.items())[:FLOWS])
            raise
