"""The throughput of a queue, and the time after which senders may try again."""

from hypothesis import given
from hypothesis import strategies as st

from hookline.intake.limits import Throughput


def queue_at(per_second: float, seconds: float) -> tuple[Throughput, float]:
    throughput, now = Throughput(1000.0), 1000.0
    for _ in range(int(per_second * seconds)):
        now += 1 / per_second
        throughput.count(now)
    return throughput, now


def test_the_estimate_is_right_soon_after_the_start_and_later() -> None:
    for seconds in (5, 30, 300):
        throughput, now = queue_at(20, seconds)
        assert 18 < throughput.per_second(now) < 22


def test_the_estimate_follows_a_change() -> None:
    throughput, now = queue_at(100, 60)
    for _ in range(120):
        now += 1
        throughput.count(now)
    assert 0.5 < throughput.per_second(now) < 4


def test_senders_come_again_when_a_tenth_is_free() -> None:
    throughput, now = queue_at(20, 300)
    assert 45 < throughput.wait(10_000, 10_000, now) < 55


def test_a_queue_that_doesnt_drain_has_them_wait_ten_minutes() -> None:
    throughput = Throughput(0.0)
    assert throughput.wait(10, 10, 1.0) == 30
    assert throughput.wait(10, 10, 100.0) == 600
    once, now = queue_at(100, 10)
    assert once.wait(10, 10, now + 3600) == 600


@given(st.integers(0, 5000), st.floats(0, 1e5), st.integers(1, 10**7), st.floats(0, 1e6))
def test_the_wait_is_between_a_second_and_ten_minutes(events: int, seconds: float, limit: int, later: float) -> None:
    throughput = Throughput(0.0)
    for number in range(min(events, 500)):
        throughput.count(seconds * number / 500)
    assert 1 <= throughput.wait(limit, limit, seconds + later) <= 600
