"""The rate of a flow."""

import pytest

from hookline.intake.limits import RateLimit


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
def test_the_shares_of_several_nodes_never_exceed_the_rate_together() -> None:
    nodes = [RateLimit("12/s") for _ in range(3)]
    for rate in nodes:
        rate.share(3)
    passed = []
    for tenths in range(1, 50):
        for rate in nodes:
            while rate.wait(100.0 + tenths / 10) == 0:
                rate.use(100.0 + tenths / 10)
                passed.append(tenths)
    # A burst of the whole count is free once, as it is with one node.
    assert len(passed) <= 12 + 4.9 * 12
    assert len(passed) >= 4.8 * 12
