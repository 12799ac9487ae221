"""The schedule of faults follows from its seed, and never aims two faults at one target at a time."""

from itertools import pairwise

import pytest
from tests.chaos.faults import CARDS, QUEUE_CARDS, Fault, schedule


def test_a_seed_gives_the_same_faults_again() -> None:
    assert schedule(7, 600, nodes=3) == schedule(7, 600, nodes=3)
    assert schedule(7, 600, nodes=3) != schedule(8, 600, nodes=3)


@pytest.mark.parametrize("seed", range(20))
def test_faults_of_one_target_do_not_overlap_and_end_in_time(seed: int) -> None:
    faults = schedule(seed, 120, nodes=3)
    by_target: dict[str, list[Fault]] = {}
    for fault in faults:
        by_target.setdefault(fault.target, []).append(fault)
    for own in by_target.values():
        assert all(first.at + first.seconds < second.at for first, second in pairwise(own))
    assert all(fault.at > 0 and fault.seconds > 0 and fault.at + fault.seconds <= 120.2 for fault in faults)


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_early(seed: int) -> None:
    assert {fault.kind for fault in schedule(seed, 60, nodes=3)} == {kind.kind for _, kind in CARDS}


def test_the_short_form_has_each_kind_too() -> None:
    assert {fault.kind for fault in schedule(4, 18, nodes=3, gap=1.3)} == {kind.kind for _, kind in CARDS}


@pytest.mark.parametrize("seed", range(20))
def test_the_servers_of_a_queue_and_the_links_to_them_have_faults_too(seed: int) -> None:
    faults = schedule(seed, 90, nodes=3, nats=3)
    assert {fault.kind for fault in faults} == {kind.kind for _, kind in (*CARDS, *QUEUE_CARDS)}
    assert {fault.kind for fault in faults if fault.target.startswith("nats")} == {"kill", "pause"}


@pytest.mark.parametrize("seed", range(20))
def test_a_fault_that_lasts_too_long_is_left_out_and_shorter_ones_follow(seed: int) -> None:
    assert schedule(seed, 30, nodes=3, gap=1.6)[-1].at > 20


def test_kinds_may_be_left_out() -> None:
    assert {fault.kind for fault in schedule(1, 60, nodes=3, without=("kill", "clock"))} == {
        kind.kind for _, kind in CARDS
    } - {"kill", "clock"}
    assert schedule(1, 60, nodes=3, without=[kind.kind for _, kind in CARDS]) == []
