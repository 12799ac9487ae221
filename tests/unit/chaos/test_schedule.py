"""The schedule of faults follows from its seed, and never aims two faults at one target at a time."""

from itertools import pairwise

import pytest
from tests.chaos.faults import NODE_KINDS, OTHER_KINDS, Fault, schedule

NODES = ["node1", "node2", "node3"]


def test_a_seed_gives_the_same_faults_again() -> None:
    assert schedule(7, 600, NODES) == schedule(7, 600, NODES)
    assert schedule(7, 600, NODES) != schedule(8, 600, NODES)


@pytest.mark.parametrize("seed", range(20))
def test_faults_of_one_target_do_not_overlap_and_end_in_time(seed: int) -> None:
    faults = schedule(seed, 120, NODES)
    by_target: dict[str, list[Fault]] = {}
    for fault in faults:
        by_target.setdefault(fault.target, []).append(fault)
    for own in by_target.values():
        assert all(first.at + first.seconds < second.at for first, second in pairwise(own))
    assert all(fault.at > 0 and fault.seconds > 0 and fault.at + fault.seconds <= 120.2 for fault in faults)


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_early(seed: int) -> None:
    kinds = {fault.kind for fault in schedule(seed, 60, NODES)}
    assert kinds == {kind.kind for kind in NODE_KINDS} | {kind.kind for _, kind in OTHER_KINDS}
