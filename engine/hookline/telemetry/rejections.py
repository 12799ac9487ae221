"""The record of rejected requests: gathered in memory, and written at most once a second.

Whoever wants to flood a server sends what is rejected, for nothing is cheaper. So a flood costs what one commit of the
record may hold, whatever its size: of each flow the newest few, of so many flows. And since the messages of others wait
behind that commit, it comes less often the longer a flood goes on.
"""

import asyncio
from collections import deque
from typing import Final

from hookline.kernel.errors import StoreError
from hookline.kernel.ids import Ids
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.model.rejection import BODY_KEPT, TEXT_KEPT, RejectedRequest
from hookline.storage.changes import Reject
from hookline.storage.store import Store

EVERY: Final = 1.0
"""Seconds between two commits at least."""
EVERY_OF_FLOOD: Final = 10.0
"""Seconds between them where a flow has had more than is kept for a while: the wait doubles until then."""
PER_FLOW: Final = 20
"""Requests of one flow that are kept of those between two commits: the newest."""
FLOWS: Final = 100
"""Flows of which any are kept between two commits."""


class RejectionRecord:
    """Takes what was rejected, and keeps it in the store."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, log: Log) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._log = log
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
        """One more; returns at once. `flow_id` is `-` where no flow answers there."""
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
        """Keep what comes, for ever."""
        pause = EVERY
        while True:
            await self._some.wait()
            flood = any(len(held) == PER_FLOW for held in self._held.values())
            pause = min(2 * pause, EVERY_OF_FLOOD) if flood else EVERY
            try:
                await self.flush()
            except StoreError as error:
                # That nothing can be stored is what else is wrong: this record is the least of it.
                self._log.warning("rejected requests can't be recorded; trying again", error=error.message)
                self._some.set()
            await self._clock.sleep(pause)

    async def close(self) -> None:
        """Write what there is, if that can be."""
        try:
            await self.flush()
        except StoreError as error:
            self._log.warning("the last rejected requests are not recorded", error=error.message)

    async def flush(self) -> None:
        """Write what there is. Raises StoreError, and then has it still."""
        self._some.clear()
        held, self._held = self._held, {}
        requests = tuple(request for flow in held.values() for request in flow)
        if not requests:
            return
        try:
            await self._store.commit((Reject(requests),))
        except BaseException:
            # What came meanwhile is newer, and goes after it.
            for flow_id, newer in self._held.items():
                held.setdefault(flow_id, deque(maxlen=PER_FLOW)).extend(newer)
            self._held = dict(list(held.items())[:FLOWS])
            raise
