"""The rate of a flow."""

import pytest

from hookline.intake.limits import RateLimit
from hookline.storage.limit_parts import Parts


def test_a_burst_of_the_whole_count_is_free_and_then_one_for_each_interval() -> None:
    rate = RateLimit("10/s")
    for _ in range(10):
        assert rate.wait(100.0) == 0
        rate.use(100.0)
    assert 0.09 < rate.wait(100.0) <= 0.11
    assert rate.wait(100.11) == 0


def test_what_is_given_back_is_free_again() -> None:
    rate = RateLimit("1/m")
    rate.use(0.0)
    assert rate.wait(0.0) > 0
    rate.give_back()
    assert rate.wait(0.0) == 0


def test_idle_time_is_not_saved_up_beyond_one_burst() -> None:
    rate = RateLimit("2/s")
    for _ in range(2):
        rate.use(1000.0)
    assert rate.wait(1000.0) > 0


def test_a_rate_limit_is_exceeded_for_a_moment_after_one_too_many() -> None:
    rate = RateLimit("1/s")
    assert rate.wait(10.0) == 0
    assert not rate.exceeded(10.0)
    rate.use(10.0)
    assert rate.wait(10.0) > 0
    assert rate.exceeded(10.9)
    assert not rate.exceeded(11.1)


@pytest.mark.cluster_rule("C7")
def test_the_parts_of_several_nodes_are_the_rate_together() -> None:
    nodes = [RateLimit("12/s", 4) for _ in range(3)]
    passed = []
    for tenths in range(1, 50):
        for rate in nodes:
            while rate.wait(100.0 + tenths / 10) == 0:
                rate.use(100.0 + tenths / 10)
                passed.append(tenths)
    # A burst of the whole count is free once, as it is with one node.
    assert len(passed) <= 12 + 4.9 * 12
    assert len(passed) >= 4.8 * 12


@pytest.mark.cluster_rule("C7")
def test_a_node_without_parts_allows_nothing() -> None:
    rate = RateLimit("1/h", 0)
    assert rate.available(5.0) == 0
    assert rate.wait(5.0) > 0
    rate.take(Parts(1), 5.0)
    assert rate.wait(5.0) == 0


def test_a_message_gives_back_no_more_than_its_part_if_parts_were_given_away_meanwhile() -> None:
    rate = RateLimit("10/s")
    for _ in range(10):
        rate.use(0.0)
    rate.keep(5)
    rate.give_back()
    # Half of the part that the message had used went with the parts that were given away.
    assert rate.available(0.0) == 0
    rate.give_back()
    assert rate.available(0.0) == 1
