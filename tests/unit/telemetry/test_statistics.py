"""What is counted is stored by the minute, once a second, and nothing of it twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import StoreError
from hookline.model.execution import State
from hookline.storage.change_declarations import Change, PutStatistics
from hookline.storage.statistics import (
    ALL_FLOWS,
    BUCKETS,
    HOUR,
    LATENCY_BOUNDS,
    MINUTE,
    Counts,
    FlowMinute,
    begin_of,
    total,
)
from hookline.telemetry.metrics import FlowCounts, Metrics
from hookline.telemetry.statistics_record import LOOK_EVERY, StatisticsRecord
from hookline.telemetry.store_problem import StoreProblem
from hookline.testing.clock import ManualClock


class Kept:
    """A store that has the last row of each minute, and fails before or after a commit when it is told to."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, datetime], Counts] = {}
        self.commits: list[PutStatistics] = []
        self.failure: Exception | None = None
        self.durable = False
        self.queued: dict[str, datetime] = {}

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        if self.failure is not None and not self.durable:
            raise self.failure
        (change,) = changes
        assert isinstance(change, PutStatistics)
        self.commits.append(change)
        self.rows.update({(minute.flow_id, minute.at): minute.counts for minute in change.minutes})
        if self.failure is not None:
            raise self.failure
        return [None]

    async def oldest_queued(self) -> dict[str, datetime]:
        return self.queued

    def accepted(self, flow_id: str) -> list[int]:
        return [counts.accepted for (of, _), counts in sorted(self.rows.items()) if of == flow_id]


def recorder(store: Kept, clock: ManualClock, *, looks: bool = True) -> tuple[Metrics, StatisticsRecord]:
    log: Any = structlog.get_logger()
    kept: Any = store
    metrics = Metrics()
    problem = StoreProblem(kept, kept, clock, log)
    return metrics, StatisticsRecord(metrics.flow_counts, kept, clock, log, problem, "a.1", lambda: looks)


@pytest.mark.console_rule("K9")
async def test_metrics_and_statistics_count_the_same() -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock)
    metrics.accepted("orders")
    metrics.accepted("invoices")
    metrics.rejected("orders", "request.not_verified")
    metrics.rejected("-", "flow.unknown")
    for state, seconds in ((State.SUCCEEDED, 0.001), (State.FAILED, 0.0011), (State.CANCELLED, 1e6)):
        metrics.ended("orders", state, timedelta(seconds=seconds))
    await record.flush()
    orders = store.rows["orders", begin_of(clock.now(), MINUTE)]
    latency = [0] * BUCKETS
    latency[0] = latency[1] = latency[-1] = 1
    assert orders == Counts(1, 1, 1, 1, 1, latency=tuple(latency))
    everything = store.rows[ALL_FLOWS, begin_of(clock.now(), MINUTE)]
    assert (everything.accepted, everything.rejected, sum(everything.latency)) == (2, 2, 3)


@pytest.mark.console_rule("K9")
async def test_a_row_has_all_of_its_minute_and_only_changed_rows_are_written() -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock)
    await record.flush()
    assert store.commits == []
    metrics.accepted("quiet")
    for _ in range(3):
        metrics.accepted("orders")
        await record.flush()
        clock.advance(1)
    assert [{minute.flow_id for minute in commit.minutes} for commit in store.commits] == [
        {"quiet", "orders", ALL_FLOWS},
        {"orders", ALL_FLOWS},
        {"orders", ALL_FLOWS},
    ]
    assert (store.accepted("orders"), store.accepted("quiet"), store.accepted(ALL_FLOWS)) == ([3], [1], [4])
    clock.advance(60)
    metrics.accepted("orders")
    await record.flush()
    assert (store.accepted("orders"), store.accepted(ALL_FLOWS)) == ([3, 1], [4, 1])


@pytest.mark.console_rule("K9")
@pytest.mark.parametrize("durable", [False, True])
async def test_nothing_is_lost_or_counted_twice_if_the_store_fails(durable: bool) -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock)
    metrics.accepted("orders")
    store.failure, store.durable = StoreError(), durable
    for _ in range(5):
        with pytest.raises(StoreError):
            await record.flush()
        metrics.accepted("orders")
        clock.advance(60)
    store.failure = None
    await record.flush()
    assert store.accepted("orders") == [6]
    clock.advance(60)
    metrics.accepted("orders")
    await record.close()
    assert store.accepted("orders") == [6, 1]


@pytest.mark.console_rule("K9")
async def test_it_is_stored_once_a_second_and_one_node_looks_at_the_queues() -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock)
    store.queued = {"slow": clock.now() - timedelta(seconds=30), "new": clock.now() + timedelta(days=1)}
    running = asyncio.create_task(record.run())
    for second in range(1, LOOK_EVERY + 1):
        metrics.accepted("orders")
        await clock.until_sleeping()
        clock.advance(1)
        await clock.until_sleeping()
        assert len(store.commits) == second
    running.cancel()
    await asyncio.wait({running})
    minute = begin_of(clock.now(), MINUTE)
    assert store.rows["slow", minute] == Counts(queue_age=timedelta(seconds=30 + LOOK_EVERY))
    assert store.rows[ALL_FLOWS, minute].queue_age == timedelta(seconds=30 + LOOK_EVERY)
    assert ("new", minute) not in store.rows


@pytest.mark.console_rule("K9")
async def test_a_failing_store_doesnt_end_it_nor_the_stop() -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock, looks=False)
    store.failure = StoreError()
    metrics.accepted("orders")
    running = asyncio.create_task(record.run())
    await clock.until_sleeping()
    clock.advance(1)
    await clock.until_sleeping()
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    await record.close()
    assert store.rows == {}


@pytest.mark.console_rule("K9")
@given(st.timedeltas(timedelta(seconds=-1), timedelta(days=500)))
def test_a_latency_is_in_the_first_bucket_whose_bound_it_doesnt_exceed(latency: timedelta) -> None:
    bounds = (*LATENCY_BOUNDS, float("inf"))
    counts = FlowCounts()
    counts.ended("orders", State.SUCCEEDED, latency)
    bucket = counts.take()["orders"].latency.index(1)
    assert latency.total_seconds() <= bounds[bucket]
    assert bucket == 0 or latency.total_seconds() > bounds[bucket - 1]


@pytest.mark.console_rule("K9")
def test_the_buckets_are_logarithmic() -> None:
    assert (LATENCY_BOUNDS[:4], LATENCY_BOUNDS[-1]) == ((0.001, 0.002, 0.005, 0.01), 50_000)
    assert all(2 <= high / low <= 2.5 for low, high in pairwise(LATENCY_BOUNDS))


@pytest.mark.console_rule("K9")
@given(st.datetimes(timezones=st.just(ManualClock().now().tzinfo)), st.sampled_from([MINUTE, HOUR]))
def test_a_time_is_in_the_step_that_begins_at_or_before_it(at: datetime, step: timedelta) -> None:
    begin = begin_of(at, step)
    assert begin <= at < begin + step or begin > datetime.max.replace(tzinfo=at.tzinfo) - step
    assert (begin.second, begin.microsecond) == (0, 0)


@pytest.mark.console_rule("K9")
def test_the_total_of_nothing_is_nothing() -> None:
    assert total([]) == Counts()
    assert FlowMinute("orders", ManualClock().now(), Counts()).counts == total([Counts(), Counts()])


@pytest.mark.console_rule("K9")
async def test_minutes_that_come_again_add_to_what_they_had() -> None:
    store, clock = Kept(), ManualClock()
    metrics, record = recorder(store, clock)
    for count, seconds in ((10, 60), (5, -60), (1, 60), (2, -60), (3, 0), (4, 60), (5, 0)):
        for _ in range(count):
            metrics.accepted("orders")
        await record.flush()
        clock.advance(max(seconds, 0))
        clock.adopt(timedelta(seconds=min(seconds, 0)))
    rows = {(commit.node, one.at): one for commit in store.commits for one in commit.minutes if one.flow_id == "orders"}
    minutes = Counter[datetime]()
    for (_, at), one in rows.items():
        minutes[at] += one.counts.accepted
    assert [minutes[at] for at in sorted(minutes)] == [10 + 1 + 3 + 4, 5 + 2 + 5]
