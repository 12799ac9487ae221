"""Nodes that share the rate of a step never exceed it together."""

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.intake.sharing_nodes import Node, Table

from hookline.executions.rate_limits import StepRates
from hookline.intake.limits import RateLimit, rate_parts
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.backoff import LONGEST_IN_PLACE
from hookline.testing.clock import ManualClock

_STEP = "flow step"


class _Limits(SharedLimits):
    """Limits of a node that nobody waits for."""

    async def has_parts(self, limit: RateLimit, seconds: float) -> None:
        self.missed(limit)


class _Cluster:
    """Nodes that run a step, and the times at which they run it."""

    def __init__(self, rate: str, nodes: int) -> None:
        self.clock = ManualClock()
        self.rate = rate
        self.table = Table(rate, self.clock, _STEP)
        self.ran: list[tuple[float, str]] = []
        """The time of each run, and its node."""
        self._names = count()
        self.nodes = [self._join() for _ in range(nodes)]

    def _join(self) -> tuple[Node, _Limits, StepRates]:
        node = Node(self.table, f"node-{next(self._names)}")
        limits = _Limits(self.clock, node)
        return node, limits, StepRates(limits)

    async def turn(self, place: int, *, had_one: bool) -> None:
        node, _, rates = self.nodes[place]
        wait = await rates.turn(_STEP, self.rate, self.clock, had_one=had_one)
        if wait <= LONGEST_IN_PLACE:
            self.ran.append((self.clock.monotonic() + wait.total_seconds(), node.lease))

    async def look(self, place: int) -> None:
        await self.nodes[place][1].refresh()

    def replace(self, place: int) -> None:
        """Let a node die, and another one start."""
        node, now = self.nodes[place][0], self.clock.monotonic()
        # What slept until its turn doesn't run any more.
        self.ran = [(at, lease) for at, lease in self.ran if lease != node.lease or at <= now]
        if node.lease in self.table.own:
            self.table.gone[node.lease] = (self.table.own.pop(node.lease), now)
            del self.table.told[node.lease]
        self.nodes[place] = self._join()


_NODES = st.integers(0, 2)


@pytest.mark.cluster_rule("C7")
@given(
    rate=st.sampled_from(["1/m", "3/m", "10/s"]),
    actions=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["turn", "turns", "look", "comes back"]), _NODES, st.just(0.0)),
            st.tuples(st.just("wait"), _NODES, st.sampled_from([0.1, 1.0, 20.0, 70.0])),
            st.tuples(st.just("dies"), _NODES, st.just(0.0)),
        ),
        min_size=5,
        max_size=30,
    ),
)
@settings(max_examples=200, deadline=None)
async def test_no_sequence_of_turns_moves_and_deaths_exceeds_the_rate_of_a_step(
    rate: str, actions: Sequence[tuple[str, int, float]]
) -> None:
    cluster = _Cluster(rate, 3)
    for kind, place, seconds in actions:
        match kind:
            case "turn":
                await cluster.turn(place, had_one=False)
            case "turns":
                for _ in range(rate_parts(rate)):
                    await cluster.turn(place, had_one=False)
                    await cluster.turn(place, had_one=True)
            case "comes back":
                await cluster.turn(place, had_one=True)
            case "look":
                await cluster.look(place)
            case "wait":
                cluster.clock.advance(seconds)
            case "dies":
                cluster.replace(place)
    whole = RateLimit(rate)
    for at, _ in sorted(cluster.ran):
        assert whole.wait(at) < 1e-3, "the rate is exceeded"
        whole.use(at)
