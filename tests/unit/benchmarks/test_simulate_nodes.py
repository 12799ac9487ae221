"""The simulation of many nodes: what goes in comes out, and the part that is too small is named."""

from dataclasses import replace

import pytest
from tests.benchmarks.simulate_nodes import GROUP, Cluster, Machine, Outcome, Times

TIMES = Times(action=0.01)


def outcome(rate: float, *, nodes: int = 4, claimed: float = 0.0, seed: int = 1, **machine: float) -> Outcome:
    made = Cluster(nodes, rate, claimed, TIMES, replace(Machine(), **machine), seed)  # type: ignore[arg-type]
    return made.run(3.0)


@pytest.mark.parametrize("claimed", [0.0, 1.0])
def test_below_its_limits_each_message_is_accepted_and_runs(claimed: float) -> None:
    found = outcome(300.0, claimed=claimed)
    assert found.accepted == pytest.approx(300.0, rel=0.1)
    assert found.ran == pytest.approx(found.accepted, rel=0.05)
    assert found.rejected == 0
    assert max(found.full.values()) < 1


def test_the_same_seed_gives_the_same_run() -> None:
    assert outcome(200.0) == outcome(200.0) != outcome(200.0, seed=2)


def test_only_messages_for_any_node_need_wake_ups() -> None:
    assert outcome(300.0).wake_ups == 0 < outcome(300.0, claimed=0.1).wake_ups


def test_a_slow_processor_of_the_database_makes_transactions_larger_before_it_makes_messages_wait() -> None:
    easy, busy = outcome(300.0), outcome(2000.0, nodes=20, cores=1)
    assert busy.full["PostgreSQL's processor"] == pytest.approx(1.0, abs=0.1)
    assert busy.accepted == pytest.approx(2000.0, rel=0.1)
    assert easy.group < busy.group / 4 < GROUP / 4
    assert easy.p99 < busy.p99 < 0.5


def test_beyond_the_limit_messages_are_accepted_that_dont_run() -> None:
    beyond = outcome(12_000.0, cores=1, nodes=20)
    assert beyond.ran < beyond.accepted
    assert beyond.p99 > 0.2
    assert beyond.group > GROUP / 4


def test_a_slow_disk_is_named() -> None:
    slow = outcome(1000.0, disk=1e6)
    assert max(slow.full, key=slow.full.__getitem__) == "bytes of the log"
