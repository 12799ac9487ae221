"""The measurement tells work that grows too fast from work that takes longer for other reasons."""

from collections.abc import Callable
from math import log2

import pytest

from tests.growth.measure import MOST_WIDE, Family, Thing, measure

TEXTS = Family("texts", lambda size: "a" * size)


@pytest.fixture(autouse=True)
def _memory_of_one_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.growth.measure._slowing_of_memory", lambda family, size: 1.0)


class Work:
    """Takes as long as it is said, on a clock of its own."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self._seconds = seconds
        self._now = 0.0

    def run(self, given: str) -> None:
        self._now += self._seconds(len(given))

    def clock(self) -> float:
        return self._now


def is_too_fast(seconds: Callable[[int], float]) -> bool:
    work = Work(seconds)
    return measure(Thing("work", "of a test", work.run, (TEXTS,), clock=work.clock), TEXTS, MOST_WIDE).is_too_fast


def beyond_the_cache(size: int) -> float:
    """Linear work, each byte of which takes 2.25 times as long where it doesn't fit into a cache."""
    return size * 2e-8 * min(2.25, max(1.0, 1.5 ** log2(size / 2**19)))


@pytest.mark.parametrize("seconds", [lambda size: size * 2e-8, lambda size: size * log2(size) * 1e-9, beyond_the_cache])
def test_work_that_grows_as_it_may_is_left_alone(seconds: Callable[[int], float]) -> None:
    assert not is_too_fast(seconds)


@pytest.mark.parametrize(
    "seconds", [lambda size: size**2 * 1e-12, lambda size: size**2 * 1e-9, lambda size: size**1.5 * 1e-9]
)
def test_work_that_grows_faster_is_found(seconds: Callable[[int], float]) -> None:
    assert is_too_fast(seconds)


def test_work_that_is_slow_from_the_beginning_is_found() -> None:
    assert is_too_fast(lambda size: size * 1e-5)
