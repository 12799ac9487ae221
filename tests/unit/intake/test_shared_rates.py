"""The rates of flows are shared by nodes: never exceeded, and soon where the messages are."""

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.limits import RateLimit, parts_of, seconds_to_recover
from hookline.intake.shared_rates import LOOK_AGAIN, FlowRates, NodeShare, fair_count
from hookline.kernel.errors import StoreError
from hookline.storage.cluster import Alone
from hookline.storage.rate_parts import NodeParts, Parts, PartsMoved, PartsRequest, move_parts
from hookline.testing.clock import ManualClock

FLOW = "orders"


@dataclass
class Table:
    """The rows of a rate, as a database keeps them for all nodes."""

    rate: str
    clock: ManualClock
    own: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What each node needs, and when it asked for more."""
    gone: dict[str, tuple[int, float]] = field(default_factory=dict)
    free: Parts = field(init=False)
    free_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.free, self.free_at = Parts(parts_of(self.rate)), self.clock.monotonic()

    def rows(self, lease: str) -> Sequence[NodeParts]:
        now = self.clock.monotonic()
        known = bool(self.own or self.gone)
        rows = [NodeParts(FLOW, self.rate, "", False, self.free.count, 0.0, False)] if known else []
        rows += [NodeParts(FLOW, self.rate, "", False, parts, 0.0, False) for parts, _ in self.gone.values()]
        for one, parts in self.own.items():
            need, asked = self.told[one]
            rows.append(NodeParts(FLOW, self.rate, one, one == lease, parts, need, now - asked < 3))
        return rows

    def move(self, lease: str, request: PartsRequest) -> PartsMoved:
        now = self.clock.monotonic()
        free = self.free.after(now - self.free_at)
        gone = [(parts, now - at) for parts, at in self.gone.values()]
        moved = move_parts(request, self.own.get(lease, 0), free, gone)
        self.gone.clear()
        self.free, self.free_at = moved.free, now
        self.own[lease] = moved.own.count
        self.told[lease] = (request.need, now if request.asks else -math.inf)
        if request.leaves and not moved.own.count:
            del self.own[lease], self.told[lease]
        return PartsMoved(moved.own.count, moved.taken)


class Node(Alone):
    """A node of a table, whose commits may fail before or after they took place."""

    shared = True  # type: ignore[assignment, misc] # the other one is alone

    def __init__(self, table: Table, lease: str) -> None:
        super().__init__(table.clock)
        self.lease = lease
        self.fails: str | None = None
        self.meanwhile: Callable[[], object] | None = None
        """Called while a commit is on its way."""
        self._table = table

    async def rate_parts(self, flow_ids: Collection[str] | None = None) -> Sequence[NodeParts]:
        rows = self._table.rows(self.lease)
        return rows if flow_ids is None or FLOW in flow_ids or any(row.asks for row in rows) else ()

    async def move_rate_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        if self.fails == "before":
            raise StoreError("not stored")
        if self.meanwhile is not None:
            self.meanwhile()
        moved = [self._table.move(self.lease, one) for one in requests]
        if self.meanwhile is not None:
            self.meanwhile()
        if self.fails == "after":
            raise StoreError("nobody knows whether it is stored")
        return moved


class _Settings:
    def __init__(self, rate: str) -> None:
        self.rate = rate


class _Flow:
    def __init__(self, rate: str, id_: str = FLOW) -> None:
        self.id = id_
        self.settings = _Settings(rate)


class Cluster:
    """Nodes that share one rate, and the limit that nobody shares, to which they are held."""

    def __init__(self, rate: str) -> None:
        self.clock = ManualClock()
        self.rate = rate
        self.flow = cast(CompiledFlow, cast(Any, _Flow(rate)))
        self.table = Table(rate, self.clock)
        self.nodes: list[tuple[Node, FlowRates]] = []
        self.whole = RateLimit(rate)
        self._names = count()
        self._again_at = 0.0

    def join(self) -> None:
        node = Node(self.table, f"node-{next(self._names)}")
        self.nodes.append((node, FlowRates(self.clock, node, lambda: [self.flow])))

    def die(self, place: int) -> None:
        """End a node and its lease. It accepts nothing after that, and may have accepted anything before."""
        node, _ = self.nodes.pop(place % len(self.nodes))
        self._end(node)

    def lose(self, place: int) -> None:
        """Let a node lose its lease, and go on under another one."""
        node, rates = self.nodes[place % len(self.nodes)]
        self._end(node)
        rates.drop()
        node.lease = f"node-{next(self._names)}"

    def _end(self, node: Node) -> None:
        if node.lease in self.table.own:
            self.table.gone[node.lease] = (self.table.own.pop(node.lease), self.clock.monotonic())
            del self.table.told[node.lease]

    async def look(self, place: int, fails: str | None = None) -> None:
        node, rates = self.nodes[place % len(self.nodes)]
        node.fails = fails
        node.meanwhile = (lambda: [self.send(one, 5) for one in range(len(self.nodes))]) if fails == "busy" else None
        try:
            await rates.refresh()
        except StoreError:
            assert fails is not None
        finally:
            node.fails = None

    async def look_if_due(self, place: int) -> None:
        """Look, as a node does soon after it has rejected a message, and again a while later."""
        rates = self.nodes[place][1]
        if rates.due.is_set() or (rates.asking and self.clock.monotonic() >= self._again_at):
            rates.due.clear()
            await self.look(place)
            self._again_at = self.clock.monotonic() + LOOK_AGAIN

    def send(self, place: int, messages: int) -> int:
        """Send messages to a node; return the number of accepted ones. Fails if the rate is exceeded."""
        _, rates = self.nodes[place % len(self.nodes)]
        limit = rates.of(self.flow.id, self.flow.settings.rate or "")
        assert limit is not None
        accepted = 0
        for _ in range(messages):
            now = self.clock.monotonic()
            if limit.wait(now) > 0:
                rates.missed(limit)
                continue
            limit.use(now)
            limit.stored()
            accepted += 1
            assert self.whole.wait(now) < 1e-6, "the rate is exceeded"
            self.whole.use(now)
        return accepted

    def parts(self) -> list[int]:
        limits = [rates.of(self.flow.id, self.flow.settings.rate or "") for _, rates in self.nodes]
        return [0 if limit is None else limit.parts for limit in limits]


NODES = st.integers(0, 2)
ACTIONS = st.one_of(
    st.tuples(st.just("send"), NODES, st.sampled_from([1, 30])),
    st.tuples(st.just("look"), NODES, st.sampled_from([None, "before", "after", "busy"])),
    # The rate moves to a node: it is asked for, given and taken.
    st.tuples(st.just("move"), NODES, st.sampled_from([None, "after", "busy"])),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 20.0]), st.none()),
    st.tuples(st.just("join"), st.none(), st.none()),
    st.tuples(st.just("die"), NODES, st.none()),
    st.tuples(st.just("lose"), NODES, st.none()),
    st.tuples(st.just("stop"), NODES, st.none()),
)


@pytest.mark.cluster_rule("C7")
@given(rate=st.sampled_from(["1/h", "3/m", "10/s"]), actions=st.lists(ACTIONS, min_size=5, max_size=30))
@settings(max_examples=300, deadline=None)
async def test_no_sequence_of_messages_joins_and_deaths_exceeds_the_rate(
    rate: str, actions: Sequence[tuple[str, Any, Any]]
) -> None:
    cluster = Cluster(rate)
    for place in range(2):
        cluster.join()
        await cluster.look(place)
    for kind, one, other in actions:
        match kind:
            case "send":
                cluster.send(one, other)
            case "look":
                await cluster.look(one, other)
            case "wait":
                cluster.clock.advance(one)
            case "move":
                cluster.send(one, 30)
                await cluster.look(one)
                for place in range(len(cluster.nodes)):
                    await cluster.look(place, other)
                await cluster.look(one)
                cluster.send(one, 30)
            case "join" if len(cluster.nodes) < 3:
                cluster.join()
            case "die" if len(cluster.nodes) > 1:
                cluster.die(one)
            case "lose":
                cluster.lose(one)
            case "stop" if len(cluster.nodes) > 1:
                await cluster.nodes[one % len(cluster.nodes)][1].leave()
                cluster.die(one)
        assert sum(cluster.parts()) <= parts_of(rate)
        rows = sum(cluster.table.own.values()) + sum(parts for parts, _ in cluster.table.gone.values())
        assert rows + cluster.table.free.count == parts_of(rate)


@pytest.mark.cluster_rule("C7")
@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
@pytest.mark.parametrize(("rate", "each_tenth"), [("100/s", 9), ("1000/s", 95), ("10/s", 0.9)])
async def test_below_the_rate_nothing_is_rejected_2_s_after_all_messages_come_to_another_node(
    rate: str, each_tenth: float, nodes: int
) -> None:
    cluster = Cluster(rate)
    for _ in range(nodes):
        cluster.join()
    for place in range(nodes):
        await cluster.look(place)
    sent = 0.0
    for second in range(8):
        target = 0 if second < 4 else nodes - 1
        for tenth in range(10):
            cluster.clock.advance(0.1)
            before, sent = math.floor(sent), sent + each_tenth
            messages = math.floor(sent) - before
            accepted = cluster.send(target, messages)
            await cluster.look_if_due(target)
            if second % 4 >= 2:
                assert accepted == messages, (second, tenth, cluster.parts())
            # Each looks once a second, at a time of its own.
            for place in range(nodes):
                if tenth == place * 2 % 10:
                    await cluster.look(place)


@pytest.mark.cluster_rule("C7")
async def test_equal_load_above_the_rate_is_divided_equally() -> None:
    cluster = Cluster("100/s")
    for place in range(2):
        cluster.join()
        await cluster.look(place)
    accepted = [0, 0]
    for tenth in range(200):
        cluster.clock.advance(0.1)
        for place in range(2):
            got = cluster.send(place, 50)
            accepted[place] += got if tenth >= 50 else 0
        await cluster.look(tenth // 5)
    assert sum(accepted) == pytest.approx(1500, rel=0.1)
    assert max(accepted) < 1.3 * min(accepted)


@pytest.mark.cluster_rule("C7")
async def test_the_parts_of_a_dead_node_are_used_up_and_recover() -> None:
    cluster = Cluster("10/s")
    cluster.join()
    await cluster.look(0)
    assert cluster.send(0, 20) == 10
    cluster.join()
    cluster.die(0)
    await cluster.look(0)
    assert cluster.parts() == [10]
    assert cluster.send(0, 1) == 0
    cluster.clock.advance(seconds_to_recover("10/s"))
    assert cluster.send(0, 20) == 10


@pytest.mark.cluster_rule("C7")
async def test_a_node_that_stops_gives_its_parts_as_they_are() -> None:
    cluster = Cluster("5/h")
    cluster.join()
    await cluster.look(0)
    assert cluster.send(0, 2) == 2
    await cluster.nodes[0][1].leave()
    assert cluster.parts() == [0]
    cluster.die(0)
    cluster.join()
    await cluster.look(0)
    assert cluster.send(0, 5) == 3


@pytest.mark.cluster_rule("C7")
async def test_looks_at_the_same_time_follow_each_other() -> None:
    cluster = Cluster("10/s")
    node = Node(cluster.table, "node")
    move = node.move_rate_parts

    async def slowly(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        await asyncio.sleep(0)
        moved = await move(requests)
        await asyncio.sleep(0)
        return moved

    node.move_rate_parts = slowly  # type: ignore[method-assign]
    flows = [cluster.flow]
    rates = FlowRates(cluster.clock, node, lambda: flows)
    await rates.refresh()
    assert cluster.table.own == {"node": 10}
    # The flow was removed, and the looks that its adoption causes meet.
    flows.clear()
    await asyncio.gather(rates.refresh(), rates.refresh())
    assert cluster.table.own == {}


@pytest.mark.cluster_rule("C7")
async def test_the_parts_of_many_rates_move_in_small_commits() -> None:
    cluster = Cluster("10/s")
    node, sizes = Node(cluster.table, "node"), list[int]()

    async def moved(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        sizes.append(len(requests))
        return [PartsMoved(one.wanted, Parts(one.wanted)) for one in requests]

    node.move_rate_parts = moved  # type: ignore[method-assign]
    flows = [cast(CompiledFlow, cast(Any, _Flow("10/s", f"flow {number}"))) for number in range(1000)]
    rates = FlowRates(cluster.clock, node, lambda: flows)
    await rates.refresh()
    assert [rates.of(flow.id, "10/s").parts for flow in flows] == [10] * 1000
    await rates.leave()
    assert sum(sizes) == 2000
    assert max(sizes) <= 50


@pytest.mark.cluster_rule("C7")
async def test_of_many_rates_only_those_of_busy_flows_are_looked_at_each_second() -> None:
    cluster = Cluster("10/s")
    node, asked = Node(cluster.table, "node"), list[Collection[str] | None]()
    rows: dict[str, NodeParts] = {}

    async def parts(flow_ids: Collection[str] | None = None) -> Sequence[NodeParts]:
        asked.append(flow_ids)
        return [row for row in rows.values() if flow_ids is None or row.flow_id in flow_ids]

    async def moved(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        for one in requests:
            rows[one.flow_id] = NodeParts(one.flow_id, one.rate, "node", True, one.wanted, one.need, one.asks)
        return [PartsMoved(one.wanted, Parts(one.wanted)) for one in requests]

    node.rate_parts, node.move_rate_parts = parts, moved  # type: ignore[method-assign]
    flows = [cast(CompiledFlow, cast(Any, _Flow("10/s", f"flow {number}"))) for number in range(1000)]
    rates = FlowRates(cluster.clock, node, lambda: flows)
    for _ in range(5):
        cluster.clock.advance(1)
        await rates.refresh()
    assert asked[-1] == set()
    limit = rates.of(flows[3].id, "10/s")
    assert limit is not None
    limit.use(cluster.clock.monotonic())
    limit.stored()
    cluster.clock.advance(1)
    await rates.refresh()
    assert asked[-1] == {"flow 3"}
    for _ in range(10):
        cluster.clock.advance(1)
        await rates.refresh()
    assert asked.count(None) == 2


@pytest.mark.cluster_rule("C7")
async def test_without_messages_fewer_parts_than_nodes_stay_where_they_are() -> None:
    cluster = Cluster("2/h")
    for place in range(3):
        cluster.join()
        await cluster.look(place)
    seen = []
    for _ in range(60):
        cluster.clock.advance(1)
        for place in range(3):
            await cluster.look(place)
        seen.append(dict(cluster.table.own))
    assert seen[10:] == seen[10:11] * 50


@given(
    total=st.integers(1, 1000),
    counts=st.lists(st.tuples(st.integers(0, 300), st.floats(0, 1e6), st.booleans()), min_size=1, max_size=6),
)
def test_nodes_never_want_more_than_all_parts_together(total: int, counts: list[tuple[int, float, bool]]) -> None:
    nodes = [NodeShare(f"n{place}", *one) for place, one in enumerate(counts)]
    if not any(node.asks for node in nodes):
        return
    wanted = [fair_count(total, node, [one for one in nodes if one is not node], 0) for node in nodes]
    assert all(count >= 0 for count in wanted)
    assert sum(wanted) <= total
