"""The rate of a flow."""

from hookline.intake.limits import RateLimit


def test_a_burst_of_the_whole_count_is_free_and_then_one_for_each_interval() -> None:
    rate = RateLimit("10/s")
    for _ in range(10):
        assert rate.wait(100.0) == 0
        rate.spend(100.0)
    assert 0.09 < rate.wait(100.0) <= 0.11
    assert rate.wait(100.11) == 0


def test_what_is_given_back_is_free_again() -> None:
    rate = RateLimit("1/m")
    rate.spend(0.0)
    assert rate.wait(0.0) > 0
    rate.give_back()
    assert rate.wait(0.0) == 0


def test_idle_time_is_not_saved_up_beyond_one_burst() -> None:
    rate = RateLimit("2/s")
    for _ in range(2):
        rate.spend(1000.0)
    assert rate.wait(1000.0) > 0


def test_a_flow_is_pressed_for_a_moment_after_one_too_many() -> None:
    rate = RateLimit("1/s")
    assert rate.wait(10.0) == 0
    assert not rate.pressed(10.0)
    rate.spend(10.0)
    assert rate.wait(10.0) > 0
    assert rate.pressed(10.9)
    assert not rate.pressed(11.1)
