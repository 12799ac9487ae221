"""The limits that hold over all nodes: each node has some parts of each limit, and they move to where they are used.

These are the rates of flows, of steps and of connectors, and the backlogs of flows. A node that lacks parts asks for
some. The others see that when they look, and give the parts that they don't need. A node gives a part before another
node takes it, and uses no part before the part is its own. So all nodes together never exceed a limit, whatever happens
to any of them. Rule C7 names the exceptions.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.limits import BacklogLimit, RateLimit, rate_parts, seconds_to_recover
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.storage.cluster import Membership
from hookline.storage.limit_parts import BACKLOG, NodeParts, Parts, PartsRequest, QueueCount

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
_BEGIN: Final = 3.0
"""The longest time, in seconds, for which a node that starts waits for parts. Other nodes look once a second."""
_RESERVE_AGAIN: Final = 10.0
"""Seconds after which a node that got no parts asks again for the few that each node should have."""
_RESERVE: Final = 4
"""Each node should have at least a fourth of an equal share, so that it can begin to accept."""
_ALL_AGAIN: Final = 120.0
"""Seconds after which a node looks also at the parts of flows that get no messages, and that nobody asks for."""
_AT_A_TIME: Final = 200
"""The most limits that are looked at while nothing else of the process goes on."""
_IDLE: Final = 0.01
"""Messages each second that are as good as none."""
_TOGETHER: Final = 1000
"""The most limits whose parts move in one commit, since other commits wait for it."""
_AHEAD: Final = 3.0
"""Seconds for which a node should have parts of a backlog."""
_LARGE: Final = 10_000
"""The parts of a large backlog, of which a node leaves a few free, so that the next node can begin at once."""
_SPARE: Final = 1000
_KEPT: Final = 60.0
"""Seconds for which a node keeps the parts of the rate of a step that doesn't run. It keeps those of the backlog of a
flow that is gone for `_ALL_AGAIN` longer, since it may look at the flows only that often."""

_Key: TypeAlias = tuple[str, str]
"""The name of a limit, and its rate, or `BACKLOG`."""


@dataclass(frozen=True, order=True, slots=True)
class NodeShare:
    """The parts of a limit that a node has, and those that it needs."""

    name: str
    count: int
    need: float
    asks: bool

    @property
    def wants(self) -> float:
        """The parts that it should have, if there are enough."""
        return max(self.need, self.count + 1) if self.asks else min(self.need, self.count)


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
    """The messages that come to this node, or the steps that it runs, whether they are let through or not."""

    def __init__(self, recovery: float, now: float) -> None:
        """`recovery`: the seconds in which parts recover; a node may give up parts about as soon."""
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


class _Shared:
    """A limit, with what is needed to share it."""

    def __init__(self, limit: RateLimit | BacklogLimit, total: int, recovery: float, now: float) -> None:
        self.limit = limit
        self.total = total
        self.recovery = recovery
        self.kept_until = -math.inf
        """The time until which a node that may use it has parts of it."""
        self.reserve_at = now
        """The time at which this node asks for the few parts that each should have."""
        self.missed = 0
        """The rejected messages that were noticed last."""
        self.asked = False
        """This node asked for parts when it looked last."""
        self.lacks = False
        """This node has no parts, and there are enough for each node."""
        self.in_doubt = False
        """Nobody knows whether the last move took place, so that this node may have parts that it doesn't know of."""
        self.looked = False
        """This node has looked at the parts, and has taken those that it could get."""
        self.settled = False
        """Nothing was to be moved at the last look."""
        self._demand = _Demand(recovery, now)

    def is_quiet(self, now: float) -> bool:
        """Return true if there is nothing to do for this node, as far as it knows without reading the parts."""
        return self.settled and self._demand.is_idle(self.limit.used + self.limit.rejected, now)

    def asks(self, own: int, need: float, now: float) -> bool:
        """Return true if this node needs more than its own parts."""
        return self.limit.rejected > self.missed

    def need(self, now: float) -> float:
        """The parts that this node needs."""
        return _HEADROOM * self.recovery * self._demand.per_second(self.limit.used + self.limit.rejected, now)


class _SharedRate(_Shared):
    """The rate of a flow, of a step, or of a connector with one credential."""

    limit: RateLimit

    def __init__(self, rate: str, parts: int | None, now: float) -> None:
        super().__init__(RateLimit(rate, parts), rate_parts(rate), seconds_to_recover(rate), now)

    def adopt(self, row: NodeParts | None, now: float) -> int:
        """Use the parts that this node has in the database; return their number."""
        own = 0 if row is None else row.count
        self.in_doubt = False
        self.limit.keep(own)
        # After a commit that was in doubt, it may have more parts than it knew of; nobody else uses them.
        self.limit.take(Parts(own - self.limit.parts, self.recovery), now)
        return own

    def asks(self, own: int, need: float, now: float) -> bool:
        # It also asks before anything is rejected, if something is about to be.
        return super().asks(own, need, now) or (need > own and self.limit.recovers_in(now) > self.recovery / 2)

    def free(self, rows: Sequence[NodeParts]) -> int:
        """The parts that no node has."""
        return sum(row.count for row in rows if not row.lease) if any(row.count for row in rows) else self.total


class _SharedBacklog(_Shared):
    """The limit on the queue of a flow."""

    limit: BacklogLimit

    def __init__(self, total: int, now: float) -> None:
        super().__init__(BacklogLimit(), total, _AHEAD, now)
        self.unused = 0
        """The parts of this node before the queued messages were counted."""
        self.count: QueueCount | None = None

    def needs_count(self, now: float) -> bool:
        """Return true if this node may take parts, and so needs to know how many messages are queued."""
        return self.asked or not self.limit.known or self.asks(self.limit.parts, self.need(now), now)

    def begin_move(self) -> None:
        """Take back no parts until the move has ended; it begins before the queued messages are counted."""
        self.limit.begin_move()
        self.unused, self.count = self.limit.parts, None

    def asks(self, own: int, need: float, now: float) -> bool:
        # Most parts come back as soon as they are used up.
        return super().asks(own, need, now) or (own < need and own < self.limit.known / 2)

    def free(self, rows: Sequence[NodeParts]) -> int:
        """The parts that no node has, as far as they were counted."""
        if self.count is None:
            return 0
        others = sum(row.count for row in rows if row.lease and not row.mine)
        return max(0, self.total - self.count.queued - others - self.unused)


class SharedLimits:
    """The parts of the limits of all nodes that this node has."""

    def __init__(
        self,
        clock: Clock,
        membership: Membership,
        flows: Callable[[], Iterable[CompiledFlow]] = tuple,
        max_backlog: int = 1,
    ) -> None:
        """`flows` returns the flows that this node accepts messages for. `max_backlog`: the limit of a flow that sets
        none."""
        self.shared: Final = membership.shared
        """False if there are no other nodes, so that this one has each limit as a whole."""
        self._clock = clock
        self._membership = membership
        self._flows = flows
        self._max_backlog = max_backlog
        self._rates: dict[_Key, _SharedRate] = {}
        self._backlogs: dict[_Key, _SharedBacklog] = {}
        self._served: frozenset[_Key] | None = None
        """The limits of the flows that this node accepts messages for; None if these may have changed."""
        self.due = asyncio.Event()
        """Set when the parts are to be looked at."""
        self.asking = False
        """True if this node lacked parts when it looked last."""
        self._asked_for = True
        """False if no node asked for parts when this node last looked at the database."""
        self.on_demand = False
        """True if this node looks only when a message was rejected."""
        self._asked_at = -math.inf
        self._all_at = -math.inf
        """The time at which this node looked at the parts of all limits."""
        self._lease = 0
        """Counts the leases that this node has lost."""
        self._moving = asyncio.Lock()
        """Held while the parts are looked at. What was read before a move must not be used after it."""
        self._looked = asyncio.Event()
        """Set after the next look."""

    def of(self, flow_id: str, rate: str) -> RateLimit:
        """Return the limit of a flow with this rate on this node."""
        return self._rate(flow_id, rate).limit

    def of_step(self, name: str, rate: str) -> RateLimit:
        """Return the limit of steps on this node, which has parts of it as long as it runs some."""
        shared = self._rate(name, rate)
        shared.kept_until = self._clock.monotonic() + _KEPT
        return shared.limit

    def backlog(self, flow_id: str, limit: int | None = None) -> BacklogLimit | None:
        """Return the limit on the queue of a flow on this node; None if there are no other nodes.

        `limit`: that of the flow. Without it, the result is None also if the flow is not known here.
        """
        shared = self._backlogs.get((flow_id, BACKLOG))
        if shared is None:
            if limit is None or not self._membership.shared:
                return None
            shared = self._shared_backlog(flow_id, limit)
        return shared.limit

    def is_new(self, flow_id: str, rate: str | None) -> bool:
        """Return true if this node has not looked for parts of a limit of a flow yet."""
        found: list[_Shared | None] = [self._backlogs.get((flow_id, BACKLOG))]
        found += [] if rate is None else [self._rates.get((flow_id, rate))]
        return self._membership.shared and not all(one is not None and one.looked for one in found)

    def missed(self, limit: RateLimit | BacklogLimit, count: int = 1) -> None:
        """Note that the limit has rejected messages, or has made a step wait."""
        limit.rejected += count
        if self._clock.monotonic() - self._asked_at >= _ASK_AGAIN:
            self.due.set()

    async def has_parts(self, limit: RateLimit, seconds: float) -> None:
        """Return when this node has parts of a rate, or when the time is over."""
        self.missed(limit)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not limit.parts:
                    await (self._look_again() if self.on_demand else self._looked.wait())

    async def _look_again(self) -> None:
        with contextlib.suppress(StoreError):  # the next look may do better
            await self.refresh()
        await asyncio.sleep(_PAUSE)

    def drop(self) -> None:
        """Stop using parts: they were lost with the lease."""
        self._lease += 1
        self._all_at = -math.inf
        if self._membership.shared:
            for rate in self._rates.values():
                rate.limit.keep(0)
                rate.looked = False
            for backlog in self._backlogs.values():
                backlog.limit.keep(0)
                backlog.limit.end_move(0)
                backlog.looked = False

    def look(self, asked_for: bool) -> None:
        """Look at the parts soon. `asked_for`: a node asks for some."""
        self._asked_for = asked_for
        self.due.set()

    def flows_changed(self) -> None:
        """Note that the flows may be others, and look at the parts soon."""
        self._served = None
        self.due.set()

    def _rate(self, name: str, text: str) -> _SharedRate:
        known = self._rates.get((name, text))
        if known is None:
            parts = 0
            if not self._membership.shared:
                # With another text, a flow has another limit.
                for key in [key for key in self._rates if key[0] == name]:
                    del self._rates[key]
                parts = rate_parts(text)
            known = self._rates[name, text] = _SharedRate(text, parts, self._clock.monotonic())
            self.due.set()
        return known

    def _shared_backlog(self, flow_id: str, limit: int) -> _SharedBacklog:
        known = self._backlogs.get((flow_id, BACKLOG))
        if known is None:
            known = self._backlogs[flow_id, BACKLOG] = _SharedBacklog(limit, self._clock.monotonic())
            self.due.set()
        if limit < known.total:
            # Each node takes its parts anew, so that they are those of the lower limit.
            known.limit.keep(0)
            known.limit.end_move(0)
            known.settled = False
        known.total = limit
        return known

    async def run(self) -> None:
        """Share the limits until cancelled: after each look of the node at the database, and if parts are lacking."""
        while True:
            await self._until_due()
            with contextlib.suppress(StoreError):  # nobody uses anything that isn't its own; the next look does more
                await self.refresh()
            await asyncio.sleep(_PAUSE)

    async def begin(self) -> None:
        """Take parts of the limits of all flows; wait a few seconds for those that other nodes have. Raises StoreError.

        A node that accepts before it has parts would reject messages below the limits.
        """
        self.flows_changed()
        await self.refresh()
        loop = asyncio.get_running_loop()
        until = loop.time() + _BEGIN
        while self.asking and loop.time() < until:
            await self._until_due()
            await self.refresh()

    async def _until_due(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN if self.asking else None):
                await self.due.wait()
        self.due.clear()

    async def refresh(self) -> None:
        """Give and take parts of the limits. Raises StoreError."""
        if self._membership.shared:
            async with self._moving:
                await self._refresh()
            self._looked.set()
            self._looked = asyncio.Event()

    async def _refresh(self) -> None:
        now = self._clock.monotonic()
        everything = now - self._all_at >= _ALL_AGAIN
        if not everything and not self._asked_for and self._is_quiet(now):
            return
        if everything or self._served is None:
            self._served = self._serve()
        served = self._served | {key for key, one in self._all().items() if one.kept_until > now}
        if self._rates or self._backlogs:
            await self._share(served, everything=everything)
        for of_kind in (self._rates, self._backlogs):
            # A limit for which parts were requested stays.
            unused = [
                key for key, one in of_kind.items() if key not in served and not one.limit.parts and not one.asked
            ]
            for key in unused:
                del of_kind[key]

    def _is_quiet(self, now: float) -> bool:
        """Return true if there is nothing to do for any limit, and none of them is to be forgotten.

        A node without messages looks each second, however many flows it has.
        """
        served = self._served
        return served is not None and all(
            (one.kept_until > now or key in served) and one.is_quiet(now)
            for of_kind in (self._rates, self._backlogs)
            for key, one in of_kind.items()
        )

    def _serve(self) -> frozenset[_Key]:
        """Make the limits of all flows that this node accepts messages for; return their keys."""
        served: set[_Key] = set()
        for flow in self._flows():
            backlog = self._shared_backlog(flow.id, flow.settings.max_queued or self._max_backlog)
            # A flow that is being replaced may be missing for a moment, and each message needs a part of its backlog.
            backlog.kept_until = self._clock.monotonic() + _ALL_AGAIN + _KEPT
            if flow.settings.rate is not None:
                self._rate(flow.id, flow.settings.rate)
                served.add((flow.id, flow.settings.rate))
        return frozenset(served)

    def _all(self) -> Mapping[_Key, _SharedRate | _SharedBacklog]:
        return {**self._rates, **self._backlogs}

    async def leave(self) -> None:
        """Give all parts to the other nodes, with the time that they need to recover. Raises StoreError.

        Otherwise those of rates would count as used up.
        """
        if self._membership.shared:
            async with self._moving:
                await self._leave()

    async def _leave(self) -> None:
        now, requests = self._clock.monotonic(), []
        for key, one in sorted(self._all().items()):
            one.limit.keep(0)
            # Parts that the node doesn't know of may be used up.
            recovers_in = one.recovery if one.in_doubt else one.limit.recovers_in(now)
            requests.append(PartsRequest(*key, one.total, one.recovery, 0, recovers_in, 0.0, False, leaves=True))
        for some in _in_groups(requests):
            await self._membership.move_limit_parts(some)

    async def _share(self, served: Collection[_Key], *, everything: bool) -> None:
        self.asking, lease, now = False, self._lease, self._clock.monotonic()
        shared = self._all()
        # Each look costs little, however many flows get no messages.
        busy = {key for key, one in shared.items() if everything or key not in served or not one.is_quiet(now)}
        moving: dict[_Key, _SharedBacklog] = {}
        try:
            found: dict[_Key, list[NodeParts]] = {}
            for row in await self._membership.limit_parts(None if everything else {name for name, _ in busy}):
                found.setdefault((row.name, row.rate), []).append(row)
            await self._count(busy, found, moving)
            if lease != self._lease:
                # The rows are those of a lost lease. Its parts belong to the next lease, or to none.
                return
            requests = await self._requests(shared, found, busy, served, moving)
            if everything and lease == self._lease:
                self._all_at = now
            for some in _in_groups(requests):
                if lease != self._lease:
                    return
                await self._move(some, shared, moving)
            self.asking = any(one.lacks or one.asked for one in shared.values())
        finally:
            for backlog in moving.values():
                # Nobody knows whether the database has noted that this node has fewer.
                backlog.limit.end_move(backlog.limit.parts)

    async def _count(
        self, busy: Collection[_Key], found: Mapping[_Key, Sequence[NodeParts]], moving: dict[_Key, _SharedBacklog]
    ) -> None:
        """Count the queued messages of those flows for which this node may take or give parts of the backlog."""
        now = self._clock.monotonic()
        for key, backlog in self._backlogs.items():
            asked = any(row.asks and not row.mine for row in found.get(key, ()))
            if asked or (key in busy and backlog.needs_count(now)):
                backlog.begin_move()
                moving[key] = backlog
        if moving:
            counts = await self._membership.count_queued({flow_id for flow_id, _ in moving})
            for (flow_id, _), backlog in moving.items():
                backlog.count = counts.get(flow_id)

    async def _requests(
        self,
        shared: Mapping[_Key, _SharedRate | _SharedBacklog],
        found: Mapping[_Key, Sequence[NodeParts]],
        busy: Collection[_Key],
        served: Collection[_Key],
        moving: dict[_Key, _SharedBacklog],
    ) -> Sequence[PartsRequest]:
        """Return what this node asks of the others, or gives them, unless its lease is lost meanwhile."""
        lease, requests = self._lease, list[PartsRequest]()
        for number, key in enumerate(sorted(shared.keys() & (busy | found.keys()))):
            if number % _AT_A_TIME == _AT_A_TIME - 1:
                await asyncio.sleep(0)
            if lease != self._lease:
                break
            one, rows = shared[key], found.get(key, ())
            if isinstance(one, _SharedBacklog) and key not in moving:
                one.begin_move()
                moving[key] = one
            request = self._request(key, one, rows, served=key in served)
            one.settled = request is None and not one.lacks
            if request is not None:
                requests.append(request)
                continue
            if isinstance(one, _SharedBacklog):
                moving.pop(key).limit.end_move(sum(row.count for row in rows if row.mine))
            one.looked = True
        return requests

    async def _move(
        self,
        requests: Sequence[PartsRequest],
        shared: Mapping[_Key, _SharedRate | _SharedBacklog],
        moving: dict[_Key, _SharedBacklog],
    ) -> None:
        """Give and take parts, and use those that were taken, unless the lease is lost meanwhile."""
        lease = self._lease
        for request in requests:
            shared[request.name, request.rate].in_doubt = True
        results = await self._membership.move_limit_parts(requests)
        if lease != self._lease:
            return
        for request, result in zip(requests, results, strict=True):
            key = request.name, request.rate
            shared[key].in_doubt = False
            shared[key].limit.take(result.taken, self._clock.monotonic())
            if key in moving:
                moving.pop(key).limit.end_move(result.count)
            else:
                shared[key].limit.keep(result.count)
            shared[key].lacks = shared[key].lacks and result.count == 0
            shared[key].looked = True

    def _request(
        self, key: _Key, shared: _SharedRate | _SharedBacklog, rows: Sequence[NodeParts], *, served: bool
    ) -> PartsRequest | None:
        """Return what this node asks of the others, or gives them; None if nothing changes."""
        now, limit = self._clock.monotonic(), shared.limit
        row = next((row for row in rows if row.mine), None)
        others = [NodeShare(row.lease, row.count, row.need, row.asks) for row in rows if row.lease and not row.mine]
        free = shared.free(rows)
        if isinstance(shared, _SharedRate):
            own, total, count = shared.adopt(row, now), shared.total, None
        else:
            own, count = shared.unused, shared.count
            total = own + free + sum(other.count for other in others)
        need = shared.need(now)
        asks = own < total and shared.asks(own, need, now)
        shared.missed = limit.rejected
        # If there are fewer parts than nodes, a part in reserve would only go from node to node.
        reserve = max(1, total // (_RESERVE * (1 + len(others)))) if total > len(others) else 0
        shared.lacks = served and not own and reserve > 0
        if served and not asks and own + free < reserve and (shared.lacks or now >= shared.reserve_at):
            asks, need = True, max(need, float(reserve))
            shared.reserve_at = now + _RESERVE_AGAIN
        if asks:
            self._asked_at = now
        shared.asked = asks
        mine = NodeShare("" if row is None else row.lease, own, need, asks)
        spare = min(free // 4, _SPARE) if isinstance(limit, BacklogLimit) and total >= _LARGE and not asks else 0
        wanted = fair_count(total, mine, others, free - spare) if served or asks else 0
        if isinstance(limit, BacklogLimit):
            wanted = max(wanted, limit.busy)
        unknown = row is None and served
        if wanted == own and not unknown and not asks and not any(other.asks for other in others):
            return None
        limit.keep(wanted)
        recovers_in, leaves = limit.recovers_in(now), not served and not asks
        return PartsRequest(
            *key, shared.total, shared.recovery, wanted, recovers_in, need, asks, leaves, unused=own, count=count
        )


def _in_groups(requests: Sequence[PartsRequest]) -> Iterable[Sequence[PartsRequest]]:
    return (requests[start : start + _TOGETHER] for start in range(0, len(requests), _TOGETHER))
