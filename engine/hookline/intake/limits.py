"""Limits on the messages that a flow accepts: its rate, the length of its queue, and the queue of one order key."""

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

from hookline.kernel.clocks import Clock
from hookline.storage.limit_parts import Parts
from hookline.storage.store import Store

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
#: Seconds for which a rate limit counts as exceeded after a message that was too many.
_EXCEEDED: Final = 1.0


def seconds_each(rate: str) -> float:
    """The seconds between two messages at a rate: 0.2 for `5/s`."""
    count, _, unit = rate.partition("/")
    return _SECONDS[unit] / int(count)


def rate_parts(rate: str) -> int:
    """The parts of a rate, each of which allows one message in `seconds_to_recover`: 5 for `5/m`."""
    return int(rate.partition("/")[0])


def seconds_to_recover(rate: str) -> float:
    """The seconds until a part of a rate allows a message again: 60 for `5/m`."""
    return _SECONDS[rate.partition("/")[2]]


#: Seconds after which a sender may try again if this node has no part of the rate.
_NO_PARTS: Final = 2.0


_ROUNDING: Final = 1e-9
"""Seconds."""


class RateLimit:
    """A rate limit by the generic cell rate algorithm: `10/s` allows ten at once, then one each tenth of a second.

    A node may have only some parts of a rate (`hookline.storage.limit_parts`), or none. `now` is monotonic time in
    every method.
    """

    def __init__(self, text: str, parts: int | None = None) -> None:
        """`parts`: those that this node has; None for all."""
        self._burst = seconds_to_recover(text)
        self.parts = rate_parts(text) if parts is None else parts
        self._next = 0.0
        self._exceeded_until = 0.0
        self._storing = 0
        self._smallest = self.interval
        """The smallest interval since messages were counted that may still be given back."""
        self.used = 0
        """The messages that were counted, of all time."""
        self.rejected = 0
        """Those that were noted as rejected, of all time."""

    @property
    def interval(self) -> float:
        """The seconds between two messages, if there are always some; infinite without parts."""
        return self._burst / self.parts if self.parts else math.inf

    def recovers_in(self, now: float) -> float:
        """Seconds until all parts are as if nothing had been counted."""
        return max(0.0, self._next - now)

    def keep(self, parts: int) -> None:
        """Use at most a number of parts; the others take along the messages that were counted for them."""
        self.parts = min(self.parts, parts)

    def take(self, parts: Parts, now: float) -> None:
        """Use further parts."""
        if parts.count:
            joined = Parts(self.parts, self.recovers_in(now)).joined(parts)
            self.parts, self._next = joined.count, now + joined.recovers_in
            self._smallest = min(self._smallest, self.interval)

    def wait(self, now: float) -> float:
        """Seconds until the next message is allowed; 0 if one is allowed now."""
        wait = self.recovers_in(now) + self.interval - self._burst if self.parts else _NO_PARTS
        # Adding and subtracting intervals loses the last digits.
        if wait < _ROUNDING:
            return 0.0
        self._exceeded_until = now + _EXCEEDED
        return wait

    def exceeded(self, now: float) -> bool:
        """True if a message was too many within the last second."""
        return now < self._exceeded_until

    def available(self, now: float) -> int:
        """The number of messages that are allowed at once now."""
        return max(0, int((self._burst - self.recovers_in(now) + _ROUNDING) / self.interval)) if self.parts else 0

    def use(self, now: float) -> None:
        """Count one message, whose storing begins; `give_back` or `stored` ends it."""
        if not self._storing:
            self._smallest = self.interval
        self._storing += 1
        self.used += 1
        if self.parts:
            self._next = max(self._next, now) + self.interval

    def stored(self) -> None:
        """Note that a message has started an execution."""
        self._storing -= 1

    def give_back(self) -> None:
        """Undo one `use`, for a message that started no execution."""
        self._storing -= 1
        if self._smallest < math.inf:
            # If parts were given away meanwhile, they took along a part of the count.
            self._next -= self._smallest


class BacklogLimit:
    """The messages that this node may add to the queue of a flow: its parts of the flow's limit.

    A message uses up a part. When an execution leaves the queue, the node that starts it has the part, unless it then
    had more than the database knows of. The next count of the queued messages finds what is used up no more.
    """

    def __init__(self) -> None:
        self.known = 0
        """The parts that this node has, as far as the database knows."""
        self.used = 0
        """The messages that were counted, of all time."""
        self.rejected = 0
        """Those that were noted as rejected, of all time."""
        self._free = 0
        """Below 0 while more is stored than this node has parts for."""
        self._storing = 0
        self._leaving = 0
        """The executions that leave the queue, if their commit takes place, and whose parts this node then has."""
        self._moving = False

    @property
    def parts(self) -> int:
        """The parts that this node may still use, or that are just being used up or taken back."""
        return self._free + self.busy

    @property
    def busy(self) -> int:
        """The parts that can't be given to others now."""
        return self._storing + self._leaving

    def begin_move(self) -> None:
        """Take back no parts until `end_move`, so that no part is both counted in the queue as free and used again."""
        self._moving = True

    def end_move(self, known: int) -> None:
        """Note the parts that the database knows of. Those of this node may have become fewer meanwhile."""
        self.known, self._moving = known, False

    def keep(self, parts: int) -> None:
        """Use at most a number of parts."""
        self._free = min(self._free, parts - self.busy)

    def take(self, parts: Parts, _now: float) -> None:
        """Use further parts."""
        self._free += parts.count

    def recovers_in(self, _now: float) -> float:
        """Return 0: parts don't recover with time."""
        return 0.0

    def room(self) -> int:
        """The number of messages that may be queued now."""
        return max(0, self._free)

    def use(self) -> None:
        """Count one message, whose storing begins; `give_back` or `stored` ends it."""
        self.used += 1
        self._free -= 1
        self._storing += 1

    def stored(self) -> None:
        """Note that a message is queued, or may be."""
        self._storing -= 1
        if self._free < 0:
            self._free += 1

    def give_back(self) -> None:
        """Undo one `use`, for a message that isn't queued."""
        self._storing -= 1
        self._free += 1

    def begin_leaving(self) -> bool:
        """Return true if this node has the part of an execution that is about to leave the queue; `end_leaving` says
        whether it does."""
        leaves = not self._moving and self.parts < self.known
        self._leaving += leaves
        return leaves

    def end_leaving(self, *, left: bool) -> None:
        """Note whether an execution has left the queue. One that may have left counts until the next count."""
        self._leaving -= 1
        self._free += left


_MEMORY: Final = 30.0
"""Seconds after which an execution that left the queue counts for a third."""
_SHORTEST: Final = 1.0
_LONGEST: Final = 600.0
_UNKNOWN: Final = 30.0
_FREE: Final = 0.1
"""The part of a full queue that is to be free when the senders try again, so that it isn't full at once."""


class Throughput:
    """The executions that leave a queue each second: an exponentially weighted estimate, which keeps three numbers.

    `now` is monotonic time in every method.
    """

    def __init__(self, now: float) -> None:
        self._since = self._at = now
        self._weight = 0.0

    def count(self, now: float) -> None:
        """Count one execution that left the queue."""
        self._decay(now)
        self._weight += 1.0

    def per_second(self, now: float) -> float:
        """The estimate."""
        self._decay(now)
        # In the first minutes only this share of the memory can be filled.
        observed = 1.0 - math.exp(-(now - self._since) / _MEMORY)
        return self._weight / (_MEMORY * observed) if observed > 0 else 0.0

    def wait(self, queued: int, limit: int, now: float) -> float:
        """Seconds until a full queue has room again: between 1 s and 10 minutes."""
        rate = self.per_second(now)
        if rate * _LONGEST < 1.0:
            return _UNKNOWN if now - self._since < _MEMORY else _LONGEST
        return min(_LONGEST, max(_SHORTEST, (queued - limit * (1.0 - _FREE)) / rate))

    def _decay(self, now: float) -> None:
        self._weight *= math.exp(-max(0.0, now - self._at) / _MEMORY)
        self._at = max(self._at, now)


KNOWN_FOR: Final = 1.0
"""Seconds for which a queue depth is cached. Counting costs as much as the queue is long."""
KNOWN: Final = 1000
"""Order keys whose queue depths are cached at once: those that were used last."""

_Key: TypeAlias = tuple[str, str]
"""A flow's id, and an order key."""


@dataclass(slots=True)
class _CachedDepth:
    depth: int
    until: float


class QueueDepth:
    """The numbers of executions queued for each order key: counted by the store, and cached for a second."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._cached: OrderedDict[_Key, _CachedDepth] = OrderedDict()
        self._storing: dict[_Key, int] = {}
        self._measured: tuple[_Key, int] | None = None
        """The order key that the store counts now, and the executions that it may not find yet."""
        # One count at a time: however many senders wait, the store counts each order key once.
        self._lock = asyncio.Lock()

    async def reaches(self, flow_id: str, order_key: str, depth: int) -> bool:
        """True if so many executions have the order key, including those that are being stored. Raises StoreError.

        Executions that left the queue within the last second may still be counted.
        """
        key = (flow_id, order_key)
        cached = self._current(key)
        if cached is None:
            async with self._lock:
                cached = self._current(key)
                if cached is None:
                    cached = await self._measure(key, depth)
        return cached.depth >= depth

    def begin(self, flow_id: str, order_key: str) -> None:
        """Count an execution whose storing begins."""
        key = (flow_id, order_key)
        self._storing[key] = self._storing.get(key, 0) + 1
        if self._measured is not None and self._measured[0] == key:
            self._measured = (key, self._measured[1] + 1)
        self._change(key, 1)

    def end(self, flow_id: str, order_key: str, *, stored: bool) -> None:
        """End the storing of an execution, and count it no more unless it is stored."""
        key = (flow_id, order_key)
        self._storing[key] -= 1
        if not self._storing[key]:
            del self._storing[key]
        if not stored:
            self._change(key, -1)

    async def _measure(self, key: _Key, limit: int) -> _CachedDepth:
        # Those that are being stored may be in the count already, or be stored after it. Counting them twice for a
        # second is safer than not counting them.
        self._measured = (key, self._storing.get(key, 0))
        try:
            depth = await self._store.queue_depth(*key, limit) + self._measured[1]
        finally:
            self._measured = None
        cached = self._cached[key] = _CachedDepth(depth, self._clock.monotonic() + KNOWN_FOR)
        if len(self._cached) > KNOWN:
            self._cached.popitem(last=False)
        return cached

    def _current(self, key: _Key) -> _CachedDepth | None:
        cached = self._cached.get(key)
        if cached is None or cached.until > self._clock.monotonic():
            return cached
        del self._cached[key]
        return None

    def _change(self, key: _Key, by: int) -> None:
        cached = self._cached.get(key)
        if cached is not None:
            cached.depth += by
