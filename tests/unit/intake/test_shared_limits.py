"""The limits that nodes share are never exceeded, and are soon where the messages are."""

import asyncio
import math
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.intake.sharing_nodes import FLOW, Node, Queue, Table, flow_of

from hookline.intake.limits import BacklogLimit, RateLimit, rate_parts, seconds_to_recover
from hookline.intake.shared_limits import LOOK_AGAIN, NodeShare, SharedLimits, fair_count
from hookline.kernel.errors import StoreError
from hookline.storage.limit_parts import NodeParts, Parts, PartsMoved, PartsRequest
from hookline.testing.clock import ManualClock


class Cluster:
    """Nodes that share one rate, and the limit that nobody shares, to which they are held."""

    def __init__(self, rate: str) -> None:
        self.clock = ManualClock()
        self.rate = rate
        self.flow = flow_of(rate)
        self.table = Table(rate, self.clock)
        self.nodes: list[tuple[Node, SharedLimits]] = []
        self.whole = RateLimit(rate)
        self._names = count()
        self._again_at = 0.0

    def join(self) -> None:
        node = Node(self.table, f"node-{next(self._names)}")
        self.nodes.append((node, SharedLimits(self.clock, node, lambda: [self.flow])))

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
        node.meanwhile = self._send_all if fails == "busy" else None
        try:
            await rates.refresh()
        except StoreError:
            assert fails is not None
        finally:
            node.fails = None

    async def _send_all(self) -> None:
        for place in range(len(self.nodes)):
            self.send(place, 5)

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
        assert sum(cluster.parts()) <= rate_parts(rate)
        rows = sum(cluster.table.own.values()) + sum(parts for parts, _ in cluster.table.gone.values())
        assert rows + cluster.table.free.count == rate_parts(rate)


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
async def test_a_node_that_stops_after_a_move_in_doubt_gives_the_parts_as_used_up() -> None:
    cluster = Cluster("1/h")
    for place in range(2):
        cluster.join()
        await cluster.look(place)
    assert cluster.send(0, 1) == 1
    cluster.die(0)
    await cluster.look(0, "after")
    await cluster.nodes[0][1].leave()
    cluster.join()
    await cluster.look(1)
    assert cluster.send(1, 1) == 0


@pytest.mark.cluster_rule("C7")
async def test_a_lease_that_is_lost_while_the_parts_are_read_gives_none() -> None:
    cluster = Cluster("10/s")
    cluster.join()
    await cluster.look(0)
    node, rates = cluster.nodes[0]
    rows = await node.limit_parts()

    async def read(names: Collection[str] | None = None) -> Sequence[NodeParts]:
        cluster.lose(0)
        return rows

    node.limit_parts = read  # type: ignore[method-assign]
    await rates.refresh()
    assert cluster.parts() == [0]


@pytest.mark.cluster_rule("C7")
async def test_a_limit_is_new_until_the_node_has_taken_its_parts() -> None:
    cluster = Cluster("10/s")
    node = Node(cluster.table, "node")
    rates = SharedLimits(cluster.clock, node, lambda: [cluster.flow])
    move, states = node.move_limit_parts, list[bool]()

    async def noted(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        moved = await move(requests)
        # A message that comes now has to wait for the parts, and isn't rejected.
        states.append(rates.is_new(FLOW, "10/s"))
        return moved

    node.move_limit_parts = noted  # type: ignore[method-assign]
    await rates.refresh()
    assert (states, rates.of(FLOW, "10/s").parts) == ([True], 10)
    assert not rates.is_new(FLOW, "10/s")
    # With its lease, a node loses its parts. The next message waits for new ones.
    rates.drop()
    assert rates.is_new(FLOW, "10/s")


@pytest.mark.cluster_rule("C7")
async def test_looks_at_the_same_time_follow_each_other() -> None:
    cluster = Cluster("10/s")
    node = Node(cluster.table, "node")
    move = node.move_limit_parts

    async def slowly(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        await asyncio.sleep(0)
        moved = await move(requests)
        await asyncio.sleep(0)
        return moved

    node.move_limit_parts = slowly  # type: ignore[method-assign]
    flows = [cluster.flow]
    rates = SharedLimits(cluster.clock, node, lambda: flows)
    await rates.refresh()
    assert cluster.table.own == {"node": 10}
    # The flow was removed, and the looks that its adoption causes meet.
    flows.clear()
    rates.flows_changed()
    await asyncio.gather(rates.refresh(), rates.refresh())
    assert cluster.table.own == {}


@pytest.mark.cluster_rule("C7")
async def test_the_parts_of_many_limits_move_in_few_commits() -> None:
    cluster = Cluster("10/s")
    node, sizes = Node(cluster.table, "node"), list[int]()

    async def moved(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        sizes.append(len(requests))
        return [PartsMoved(one.wanted, Parts(one.wanted)) for one in requests]

    node.move_limit_parts = moved  # type: ignore[method-assign]
    flows = [flow_of("10/s", f"flow {number}") for number in range(1000)]
    rates = SharedLimits(cluster.clock, node, lambda: flows)
    await rates.refresh()
    assert [rates.of(flow.id, "10/s").parts for flow in flows] == [10] * 1000
    await rates.leave()
    # Each flow has a rate and a backlog, and a commit may take others' time only for a moment.
    assert sizes == [1000] * 4


@pytest.mark.cluster_rule("C7")
async def test_of_many_rates_only_those_of_busy_flows_are_looked_at_each_second() -> None:
    cluster = Cluster("10/s")
    node, asked = Node(cluster.table, "node"), list[Collection[str] | None]()
    rows: dict[tuple[str, str], NodeParts] = {}

    async def parts(names: Collection[str] | None = None) -> Sequence[NodeParts]:
        asked.append(names)
        return [row for row in rows.values() if names is None or row.name in names]

    async def moved(requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        for one in requests:
            rows[one.name, one.rate] = NodeParts(one.name, one.rate, "node", True, one.wanted, one.need, one.asks)
        return [PartsMoved(one.wanted, Parts(one.wanted)) for one in requests]

    node.limit_parts, node.move_limit_parts = parts, moved  # type: ignore[method-assign]
    flows = [flow_of("10/s", f"flow {number}") for number in range(1000)]
    rates = SharedLimits(cluster.clock, node, lambda: flows)
    for _ in range(5):
        cluster.clock.advance(1)
        await rates.refresh()
    assert asked[-1] == set()
    for asked_for, queries in ((False, 0), (True, 1)):
        before = len(asked)
        rates.look(asked_for)
        cluster.clock.advance(1)
        await rates.refresh()
        assert len(asked) - before == queries
    rates.look(False)
    limit = rates.of(flows[3].id, "10/s")
    assert limit is not None
    limit.use(cluster.clock.monotonic())
    limit.stored()
    cluster.clock.advance(1)
    await rates.refresh()
    assert asked[-1] == {"flow 3"}
    for _ in range(120):
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


class Queueing:
    """Nodes that share the limit on a queue. The commits of what they accept and start take place later."""

    def __init__(self, most: int, nodes: int) -> None:
        self.clock = ManualClock()
        self.most = most
        self.queue = Queue(self.clock)
        self.flow = flow_of(None, max_queued=most)
        self.nodes: list[QueueingNode] = []
        self._names = count()
        for _ in range(nodes):
            self.join()

    def join(self) -> None:
        node = Node(Table("1/h", self.clock), f"node-{next(self._names)}", self.queue)
        self.nodes.append(QueueingNode(self, node))

    def die(self, place: int) -> None:
        """End a node and its lease. Nobody knows which of its last commits took place."""
        node = self.nodes.pop(place % len(self.nodes))
        self._end(node)

    def lose(self, place: int) -> None:
        """Let a node lose its lease, and go on under another one."""
        node = self.nodes[place % len(self.nodes)]
        self._end(node)
        node.limits.drop()
        node.fail()
        node.node.lease = f"node-{next(self._names)}"

    def _end(self, node: "QueueingNode") -> None:
        for _ in range(node.accepting // 2):
            node.commit()
        if node.node.lease in self.queue.own:
            self.queue.gone.add(node.node.lease)

    async def look(self, place: int, meanwhile: Sequence[str] = (), fails: str | None = None) -> None:
        """Let a node look. `meanwhile`: what the nodes do while each query and each commit is on its way."""
        node = self.nodes[place % len(self.nodes)]
        node.node.fails = fails

        async def others() -> None:
            for what in meanwhile:
                for one in self.nodes:
                    if what != "look":
                        one.do(what)
                    elif one is not node:
                        one.limits.missed(one.limit)
                        await one.limits.refresh()

        node.node.meanwhile = others
        try:
            await node.limits.refresh()
        except StoreError:
            assert fails is not None
        finally:
            node.node.fails = node.node.meanwhile = None


class QueueingNode:
    """A node, and the commits that it has begun, or of which it does not know that they took place."""

    def __init__(self, cluster: Queueing, node: Node) -> None:
        self.cluster, self.node = cluster, node
        self.limits = SharedLimits(cluster.clock, node, lambda: [cluster.flow])
        self.accepting = self.accepted = self.starting = self.started = 0
        self.with_part: list[bool] = []
        """Whether this node then has the part, for each execution that is about to start, or has started."""

    @property
    def limit(self) -> BacklogLimit:
        limit = self.limits.backlog(FLOW, self.cluster.most)
        assert limit is not None
        return limit

    def do(self, what: str) -> None:
        getattr(self, what)()

    def accept(self) -> None:
        if self.limit.room():
            self.limit.use()
            self.accepting += 1
        else:
            self.limits.missed(self.limit)

    def commit(self) -> None:
        queue = self.cluster.queue
        if self.accepting:
            self.accepting, self.accepted = self.accepting - 1, self.accepted + 1
            queue.queued += 1
            assert queue.queued <= self.cluster.most, "the limit is exceeded"
        starting = sum(node.starting for node in self.cluster.nodes)
        if self.starting and queue.queued >= starting:
            self.starting, self.started = self.starting - 1, self.started + 1
            queue.queued -= 1

    def notice(self) -> None:
        if self.accepted:
            self.accepted -= 1
            self.limit.stored()
        if self.started:
            self.started -= 1
            if self.with_part.pop(0):
                self.limit.end_leaving(left=True)

    def start(self) -> None:
        if sum(node.starting for node in self.cluster.nodes) < self.cluster.queue.queued:
            self.starting += 1
            self.with_part.append(self.limit.begin_leaving())

    def fail(self) -> None:
        """Notice that nothing more takes place, and that nobody knows of the last commits whether they did."""
        for _ in range(self.accepting + self.accepted):
            self.limit.stored()
        for with_part in self.with_part:
            if with_part:
                self.limit.end_leaving(left=False)
        self.accepting = self.accepted = self.starting = self.started = 0
        self.with_part = []


DOINGS = ["accept", "accept", "commit", "notice", "start"]
QUEUE_ACTIONS = st.one_of(
    st.tuples(st.just("do"), NODES, st.lists(st.sampled_from(DOINGS), min_size=1, max_size=8)),
    st.tuples(st.just("look"), NODES, st.lists(st.sampled_from([*DOINGS, "look"]), max_size=6)),
    st.tuples(st.just("fails before"), NODES, st.just(())),
    st.tuples(st.just("fails after"), NODES, st.just(())),
    st.tuples(st.just("join"), NODES, st.just(())),
    st.tuples(st.just("die"), NODES, st.just(())),
    st.tuples(st.just("lose"), NODES, st.just(())),
    st.tuples(st.just("stop"), NODES, st.just(())),
)


@pytest.mark.cluster_rule("C7")
@given(most=st.sampled_from([1, 3, 10]), actions=st.lists(QUEUE_ACTIONS, min_size=5, max_size=40))
@settings(max_examples=300, deadline=None)
async def test_no_sequence_of_messages_and_starts_exceeds_the_limit_on_a_queue(
    most: int, actions: Sequence[tuple[str, int, Sequence[str]]]
) -> None:
    cluster = Queueing(most, nodes=2)
    for place in range(2):
        await cluster.look(place)
    for kind, place, doings in actions:
        node = cluster.nodes[place % len(cluster.nodes)]
        cluster.clock.advance(0.3)
        match kind:
            case "do":
                for what in doings:
                    node.do(what)
            case "look":
                # It counts what is queued only if it lacks parts.
                node.limits.missed(node.limit)
                await cluster.look(place, doings)
            case "fails before" | "fails after":
                await cluster.look(place, ("accept", "commit"), kind.removeprefix("fails "))
            case "join" if len(cluster.nodes) < 3:
                cluster.join()
            case "die" if len(cluster.nodes) > 1:
                cluster.die(place)
            case "lose":
                cluster.lose(place)
            case "stop" if len(cluster.nodes) > 1:
                while node.accepting or node.accepted or node.starting or node.started:
                    node.commit()
                    node.notice()
                await node.limits.leave()
                cluster.die(place)
        for one in cluster.nodes:
            assert one.limit.parts <= max(cluster.queue.own.get(one.node.lease, 0), 0)


@pytest.mark.cluster_rule("C7")
async def test_a_part_that_comes_back_while_the_queue_is_counted_is_not_taken_twice() -> None:
    cluster = Queueing(3, nodes=1)
    (node,) = cluster.nodes
    await cluster.look(0)
    for what in ("accept", "commit", "notice"):
        node.do(what)
    node.limits.missed(node.limit)
    await cluster.look(0, ["start", "commit", "notice"])
    assert cluster.queue.queued == 0
    assert node.limit.room() == 3


@pytest.mark.cluster_rule("C7")
async def test_a_lower_limit_holds_as_soon_as_each_node_knows_it() -> None:
    cluster = Queueing(10, nodes=2)
    for place in range(4):
        await cluster.look(place)
    cluster.most, cluster.flow = 3, flow_of(None, max_queued=3)
    for node in cluster.nodes:
        node.limits.flows_changed()
    for place in range(4):
        await cluster.look(place)
        for _ in range(5):
            cluster.nodes[place % 2].accept()
            cluster.nodes[place % 2].commit()
    assert cluster.queue.queued > 0


@pytest.mark.cluster_rule("C7")
@pytest.mark.parametrize("most", [10, 1000])
async def test_a_queue_may_be_full_2_s_after_all_messages_come_to_another_node(most: int) -> None:
    cluster = Queueing(most, nodes=3)
    for place in range(3):
        await cluster.look(place)
    for target in (0, 2):
        for tenth in range(30):
            cluster.clock.advance(0.1)
            for _ in range(most):
                cluster.nodes[target].accept()
            for _ in range(most):
                cluster.nodes[target].commit()
                cluster.nodes[target].notice()
            for place in range(3):
                if tenth % 5 == place or place == target:
                    await cluster.look(place)
            if tenth >= 20:
                assert cluster.queue.queued == most
        cluster.queue.queued = 0  # an operator has cancelled all of it


@pytest.mark.cluster_rule("C7")
async def test_a_short_queue_that_is_never_full_rejects_nothing() -> None:
    cluster = Queueing(10, nodes=2)
    for place in range(4):
        await cluster.look(place)
    for second in range(20):
        cluster.clock.advance(1)
        for _ in range(200):
            for node in cluster.nodes:
                before = node.accepting
                node.accept()
                assert node.accepting == before + 1
                for what in ("commit", "notice", "start", "commit", "notice"):
                    node.do(what)
        await cluster.look(second)


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
