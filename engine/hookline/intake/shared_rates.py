"""The rates of flows over all nodes: each node has some parts of each rate, and they move to where messages arrive.

A node that rejects a message for the rate asks for parts. The others see that when they look, and give the parts that
they don't need. A node gives a part before another node takes it, and uses no part before the part is its own. So all
nodes together never exceed a rate, whatever happens to any of them. Rule C7 names one exception.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.limits import RateLimit, parts_of, seconds_to_recover
from hookline.kernel.errors import StoreError
from hookline.kernel.time import Clock
from hookline.storage.cluster import Membership
from hookline.storage.rate_parts import NodeParts, Parts, PartsRequest

_MEMORY: Final = 3.0
"""The longest time, in seconds, after which a message counts for only a third."""
_HEADROOM: Final = 1.15
"""Messages never come evenly, so a node needs a few more parts than it counts."""
_ASK_AGAIN: Final = 1.0
"""Seconds after which a node asks again, if messages are still rejected."""
LOOK_AGAIN: Final = 0.5
"""Seconds after which a node that has asked looks again, unless another node wakes it before."""
_PAUSE: Final = 0.05
"""The shortest time between two looks, in seconds."""
_RESERVE_AGAIN: Final = 10.0
"""Seconds after which a node that got no parts asks again for the few that each node should have."""
_RESERVE: Final = 4
"""Each node should have at least a fourth of an equal share, so that it can begin to accept."""
_ALL_AGAIN: Final = 10.0
"""Seconds after which a node looks also at the parts of flows that get no messages, and that nobody asks for."""
_AT_A_TIME: Final = 200
"""The most rates that are looked at while nothing else of the process goes on."""
_IDLE: Final = 0.01
"""Messages each second that are as good as none."""
_TOGETHER: Final = 50
"""The most rates whose parts move in one commit, since other commits wait for it."""


@dataclass(frozen=True, order=True, slots=True)
class NodeShare:
    """The parts of a rate that a node has, and those that it needs."""

    name: str
    count: int
    need: float
    asks: bool

    @property
    def wants(self) -> float:
        """The parts that it should have, if there are enough."""
        return max(self.need, self.count + 1) if self.asks else self.need


def fair_count(total: int, mine: NodeShare, others: Sequence[NodeShare], free: int) -> int:
    """Return the parts that a node should have; each node comes to the same result about the others.

    If nobody asks, parts stay where they are, and free ones go where they are needed, or are shared equally. If
    somebody asks and there are enough for all, each node gets what it needs and an equal part of the rest. Otherwise
    they are divided by the needs.
    """
    nodes = sorted((mine, *others))
    if not any(node.asks for node in nodes):
        fair = max(math.ceil(total / len(nodes)), math.ceil(min(mine.need, total)))
        return max(mine.count, min(fair, mine.count + free))
    wanted = [math.ceil(min(node.wants, total)) for node in nodes]
    place, rest = nodes.index(mine), total - sum(wanted)
    if rest >= 0:
        fair = wanted[place] + rest // len(nodes)
    else:
        all_wanted = sum(node.wants for node in nodes)
        exact = [total * node.wants / all_wanted for node in nodes]
        counts = [math.floor(one) for one in exact]
        # The largest remainders get the parts that are left over.
        order = sorted(range(len(nodes)), key=lambda one: (counts[one] - exact[one], one))
        fair = counts[place] + (order.index(place) < total - sum(counts))
    return fair if mine.asks else min(fair, mine.count)


class _Demand:
    """The messages of a flow that come to this node, whether they are accepted or not."""

    def __init__(self, recovery: float, now: float) -> None:
        """`recovery`: the seconds in which the rate's parts recover; a node may give up parts about as soon."""
        self._memory = min(_MEMORY, recovery / 3)
        self._counted = 0
        self._at = now
        self._per_second = 0.0

    def per_second(self, counted: int, now: float) -> float:
        """Return the messages each second; `counted`: the number of all messages so far."""
        seconds, came = now - self._at, counted - self._counted
        latest = came / max(1.0, seconds)
        if seconds < 0.5:
            # Too short to tell: the next look counts these again.
            return max(latest, self._per_second)
        kept = math.exp(-seconds / self._memory)
        self._per_second = kept * self._per_second + (1.0 - kept) * came / seconds
        self._counted, self._at = counted, now
        return max(latest, self._per_second)

    def is_idle(self, counted: int, now: float) -> bool:
        """Return true if no messages come; the next ones are counted from now. `counted`: those of all time."""
        if counted != self._counted or self._per_second > _IDLE:
            return False
        self._at = now
        return True


class _FlowRate:
    """The limit of this node for a flow, with what is needed to share it."""

    def __init__(self, text: str, parts: int | None, now: float) -> None:
        self.total = parts_of(text)
        self.recovery = seconds_to_recover(text)
        self.limit = RateLimit(text, parts)
        self.demand = _Demand(self.recovery, now)
        self.reserve_at = now
        """The time at which this node asks for the few parts that each should have."""
        self.missed = 0
        """The rejected messages that were noticed last."""
        self.settled = False
        """Nothing was to be moved at the last look."""

    def is_quiet(self, now: float) -> bool:
        """Return true if there is nothing to do for this node, as far as it knows without reading the parts."""
        return self.settled and self.demand.is_idle(self.limit.used + self.limit.rejected, now)


class FlowRates:
    """The rate limits of this node."""

    def __init__(
        self, clock: Clock, membership: Membership, flows: Callable[[], Iterable[CompiledFlow]] = tuple
    ) -> None:
        """`flows` returns the flows that this node accepts messages for."""
        self._clock = clock
        self._membership = membership
        self._flows = flows
        self._rates: dict[tuple[str, str], _FlowRate] = {}
        self.due = asyncio.Event()
        """Set when the parts are to be looked at."""
        self.asking = False
        """True if this node asked for parts when it looked last."""
        self._asked_at = -math.inf
        self._all_at = -math.inf
        """The time at which this node looked at the parts of all flows."""
        self._lease = 0
        """Counts the leases that this node has lost."""
        self._moving = asyncio.Lock()
        """Held while the parts are looked at. What was read before a move must not be used after it."""

    def of(self, flow_id: str, rate: str) -> RateLimit:
        """Return the limit of a flow with this rate on this node."""
        return self._rate(flow_id, rate).limit

    def missed(self, limit: RateLimit) -> None:
        """Note that the limit has rejected a message."""
        limit.rejected += 1
        if self._clock.monotonic() - self._asked_at >= _ASK_AGAIN:
            self.due.set()

    def drop(self) -> None:
        """Stop using parts: they were lost with the lease."""
        self._lease += 1
        self._all_at = -math.inf
        for rate in self._rates.values() if self._membership.shared else ():
            rate.limit.keep(0)

    def look(self) -> None:
        """Look at the parts soon."""
        self.due.set()

    def _rate(self, flow_id: str, text: str) -> _FlowRate:
        known = self._rates.get((flow_id, text))
        if known is None:
            # With another text, a flow has another limit.
            for key in [key for key in self._rates if key[0] == flow_id and not self._membership.shared]:
                del self._rates[key]
            parts = 0 if self._membership.shared else None
            known = self._rates[flow_id, text] = _FlowRate(text, parts, self._clock.monotonic())
            self.due.set()
        return known

    async def run(self) -> None:
        """Share the rates until cancelled: after each look of the node at the database, and after rejected messages."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN if self.asking else None):
                    await self.due.wait()
            self.due.clear()
            with contextlib.suppress(StoreError):  # nobody uses anything that isn't its own; the next look does more
                await self.refresh()
            await asyncio.sleep(_PAUSE)

    async def refresh(self) -> None:
        """Give and take parts of the rates. Raises StoreError."""
        if self._membership.shared:
            async with self._moving:
                await self._refresh()

    async def _refresh(self) -> None:
        served = {(flow.id, flow.settings.rate) for flow in self._flows() if flow.settings.rate is not None}
        for key in served:
            self._rate(*key)
        if self._rates:
            await self._share(served)
        for key in [key for key, rate in self._rates.items() if key not in served and not rate.limit.parts]:
            del self._rates[key]

    async def leave(self) -> None:
        """Give all parts to the other nodes, with the time that they need to recover. Raises StoreError.

        Otherwise they would count as used up.
        """
        if self._membership.shared:
            async with self._moving:
                await self._leave()

    async def _leave(self) -> None:
        now, requests = self._clock.monotonic(), []
        for key, rate in sorted(self._rates.items()):
            rate.limit.keep(0)
            recovers_in = rate.limit.recovers_in(now)
            requests.append(PartsRequest(*key, rate.total, rate.recovery, 0, recovers_in, 0.0, False, leaves=True))
        for some in _in_groups(requests):
            await self._membership.move_rate_parts(some)

    async def _share(self, served: Collection[tuple[str, str]]) -> None:
        self.asking, lease, now = False, self._lease, self._clock.monotonic()
        everything = now - self._all_at >= _ALL_AGAIN
        # Each look costs little, however many flows get no messages.
        busy = {key for key, rate in self._rates.items() if everything or key not in served or not rate.is_quiet(now)}
        found: dict[tuple[str, str], list[NodeParts]] = {}
        for row in await self._membership.rate_parts(None if everything else {flow_id for flow_id, _ in busy}):
            found.setdefault((row.flow_id, row.rate), []).append(row)
        requests: list[PartsRequest] = []
        for number, key in enumerate(sorted(self._rates.keys() & (busy | found.keys()))):
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            if lease != self._lease:
                return
            rate = self._rates[key]
            request = self._request(key, rate, found.get(key, []), served=key in served)
            rate.settled = request is None
            if request is not None:
                requests.append(request)
        if everything:
            self._all_at = now
        for some in _in_groups(requests):
            moved = await self._membership.move_rate_parts(some)
            if lease != self._lease:
                # The parts belong to the next lease, or to none: the next look shows that.
                return
            for request, result in zip(some, moved, strict=True):
                limit = self._rates[request.flow_id, request.rate].limit
                limit.take(result.taken, self._clock.monotonic())
                limit.keep(result.count)

    def _request(
        self, key: tuple[str, str], rate: _FlowRate, rows: Sequence[NodeParts], *, served: bool
    ) -> PartsRequest | None:
        """Return what this node asks of the others, or gives them; None if nothing changes."""
        now, limit = self._clock.monotonic(), rate.limit
        row = next((row for row in rows if row.mine), None)
        own = 0 if row is None else row.count
        limit.keep(own)
        # After a commit that was in doubt, it may have more parts than it knew of; nobody else uses them.
        limit.take(Parts(own - limit.parts, rate.recovery), now)
        others = [NodeShare(row.lease, row.count, row.need, row.asks) for row in rows if row.lease and not row.mine]
        known = sum(row.count for row in rows)
        free = sum(row.count for row in rows if not row.lease) if known else rate.total
        need = _HEADROOM * rate.recovery * rate.demand.per_second(limit.used + limit.rejected, now)
        # It also asks before any message is rejected, if one is about to be.
        asks = limit.rejected > rate.missed or (need > own and limit.recovers_in(now) > rate.recovery / 2)
        rate.missed = limit.rejected
        # If there are fewer parts than nodes, a part in reserve would only go from node to node.
        reserve = max(1, rate.total // (_RESERVE * (1 + len(others)))) if rate.total > len(others) else 0
        if served and not asks and own + free < reserve and now >= rate.reserve_at:
            asks, need = True, max(need, float(reserve))
            rate.reserve_at = now + _RESERVE_AGAIN
        if asks:
            self.asking, self._asked_at = True, now
        mine = NodeShare("" if row is None else row.lease, own, need, asks)
        wanted = fair_count(rate.total, mine, others, free) if served or asks else 0
        unknown = row is None and served
        if wanted == own and not unknown and not asks and not any(other.asks for other in others):
            return None
        limit.keep(wanted)
        leaves = not served and not asks
        return PartsRequest(*key, rate.total, rate.recovery, wanted, limit.recovers_in(now), need, asks, leaves)


def _in_groups(requests: Sequence[PartsRequest]) -> Iterable[Sequence[PartsRequest]]:
    return (requests[start : start + _TOGETHER] for start in range(0, len(requests), _TOGETHER))
