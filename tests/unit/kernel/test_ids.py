"""Ids sort by time, and keep their order when the clock doesn't help."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.ids import Ids, derived_id, idempotency_key


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here sleeps, and this asked for {seconds}")


@pytest.mark.rule(3)
@given(st.lists(st.integers(min_value=-5_000, max_value=5_000), max_size=50))
def test_ids_ascend_whatever_the_clock_does(steps: list[int]) -> None:
    clock = _Clock()
    ids = Ids(clock)
    made = [ids.new()]
    for step in steps:
        clock.at += timedelta(milliseconds=step)
        made.append(ids.new())
    assert made == sorted(set(made))


@given(st.lists(st.integers(min_value=-5_000, max_value=5_000), max_size=50))
def test_ids_that_follow_those_of_an_earlier_process_ascend(steps: list[int]) -> None:
    """Each process sees another time, and knows the newest id of the one before."""
    clock = _Clock()
    made = [Ids(clock).new()]
    for step in steps:
        clock.at += timedelta(milliseconds=step)
        ids = Ids(clock)
        ids.follow(made[-1])
        made += [ids.new(), ids.new()]
    assert made == sorted(set(made))


@pytest.mark.rule(3)
def test_an_id_is_a_version_7_uuid_that_holds_its_time() -> None:
    clock = _Clock()
    made = UUID(Ids(clock).new())
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(clock.at.timestamp() * 1000)


@pytest.mark.rule(25)
def test_the_idempotency_key_depends_on_execution_and_path_and_nothing_else() -> None:
    key = idempotency_key("e1", "lines[3]/post")
    assert key == idempotency_key("e1", "lines[3]/post")
    assert len({key, idempotency_key("e2", "lines[3]/post"), idempotency_key("e1", "lines[4]/post")}) == 3


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.lists(st.text(max_size=10), min_size=1, max_size=3))
def test_a_derived_id_is_the_same_for_the_same_and_sorts_by_its_time(at: datetime, parts: list[str]) -> None:
    at = at.replace(tzinfo=UTC)
    made = derived_id(at, *parts)
    assert made == derived_id(at, *parts)
    assert made == str(UUID(made))
    assert (UUID(made).version, UUID(made).variant) == (7, RFC_4122)
    assert int(made.replace("-", "")[:12], 16) == int(at.timestamp() * 1000)
    assert made != derived_id(at, *parts, "more")
    assert made < derived_id(at + timedelta(milliseconds=1), "other")
