"""The captures that are open on this node, and the requests that they keep, which are written at most once a second.

Without an open capture, a request costs the look into an empty dictionary.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.storage.captures import MAX_CAPTURED, CapturedRequest
from hookline.storage.change_declarations import KeepCaptured
from hookline.storage.store import Store
from hookline.telemetry.live_events import Events
from hookline.telemetry.store_problem import StoreProblem

EVERY: Final = 1.0
"""The shortest time between two commits, in seconds."""
MAX_READING: Final = 50
"""The most requests whose bodies are kept at once; further ones are handled as without a capture."""

Masked: TypeAlias = Callable[[], CapturedRequest]
"""Masks a request."""


class CaptureRecord:
    """Knows which flows are captured, and keeps their requests in the store."""

    def __init__(self, store: Store, clock: Clock, log: Log, events: Events, store_problem: StoreProblem) -> None:
        self.open: Mapping[str, datetime] = MappingProxyType({})
        """The time until which each captured flow is captured; it may be over."""
        self._store = store
        self._clock = clock
        self._log = log
        self._events = events
        self._store_problem = store_problem
        self._reading = 0
        self._held: dict[str, deque[Masked]] = {}
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read which captures are open. Raises StoreError."""
        now = self._clock.now()
        found = await self._store.captures(now)
        self.open = {one.flow_id: one.expires_at for one in found if one.expires_at > now}

    def takes(self, flow_id: str) -> bool:
        """True if the requests to a flow are captured now."""
        until = self.open.get(flow_id)
        if until is None:
            return False
        if self._clock.now() >= until:
            self.open = {one: end for one, end in self.open.items() if one != flow_id}
            return False
        return self._reading < MAX_READING

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a request whose body is kept in memory."""
        self._reading += 1
        try:
            yield
        finally:
            self._reading -= 1

    def add(self, flow_id: str, masked: Masked) -> None:
        """Keep a request, without waiting. It is masked when it is written: of a flood, only the newest are."""
        self._held.setdefault(flow_id, deque(maxlen=MAX_CAPTURED)).append(masked)
        self._some.set()

    async def run(self) -> None:
        """Write the requests that come, until cancelled."""
        while True:
            await self._some.wait()
            try:
                await self.flush()
            except StoreError as error:
                self._store_problem.report(error)
                self._some.set()
            await self._clock.sleep(EVERY)

    async def close(self) -> None:
        """Write the remaining requests. A failure is only logged."""
        try:
            await self.flush()
        except StoreError as error:
            self._log.warning("the last captured requests are not kept", error=error.message)

    async def flush(self) -> None:
        """Write the collected requests, and wait for those that are being written.

        Raises StoreError, and then keeps them.
        """
        async with self._writing:
            self._some.clear()
            held, self._held = self._held, {}
            if held:
                await self._write(held)

    async def _write(self, held: dict[str, deque[Masked]]) -> None:
        try:
            requests = await asyncio.to_thread(_all_masked, held)
            await self._store.commit((KeepCaptured(requests),))
        except BaseException:
            # The requests that came meanwhile are newer, so they go to the end.
            for flow_id, newer in self._held.items():
                held.setdefault(flow_id, deque(maxlen=MAX_CAPTURED)).extend(newer)
            self._held = held
            raise
        for request in requests:
            self._events.captured(request.info)


def _all_masked(held: Mapping[str, deque[Masked]]) -> tuple[CapturedRequest, ...]:
    return tuple(masked() for flow in held.values() for masked in flow)
