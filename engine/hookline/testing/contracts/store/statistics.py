"""The numbers that nodes count are stored by the minute, summed over nodes and flows, and kept by the hour."""

from datetime import datetime, timedelta

from hookline.model.execution import State
from hookline.storage.change_declarations import End, Park, PutStatistics, ReportProblems, RollUpStatistics, Start
from hookline.storage.node_problems import NodeProblem
from hookline.storage.statistics import (
    ALL_FLOWS,
    BUCKETS,
    HOUR,
    HOURS_KEPT,
    MINUTE,
    MINUTES_KEPT,
    Counts,
    FlowMinute,
    FlowPoint,
    StatisticsPoint,
    begin_of,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import OUTCOMES, StoreFixtures
from hookline.testing.envelopes import Envelopes


def _counts(number: int, age: float = 0.0) -> Counts:
    latency = (0,) * (BUCKETS - 2) + (number, 0)
    return Counts(number, number + 1, number + 2, number + 3, number + 4, timedelta(seconds=age), latency)


class StatisticsContract(StoreFixtures):
    """The numbers that nodes count are stored by the minute, summed over nodes and flows, and kept by the hour."""

    async def _points(
        self, store: Store, *flow_ids: str, since: datetime, until: datetime, hourly: bool = False
    ) -> list[StatisticsPoint]:
        return list(await store.statistics(flow_ids, since, until, hourly=hourly))

    async def test_the_numbers_of_nodes_and_flows_are_summed_by_the_minute(
        self, store: Store, clock: ManualClock
    ) -> None:
        first = begin_of(clock.now(), MINUTE)
        second, third = first + MINUTE, first + 2 * MINUTE
        here = [
            FlowMinute("orders", first, _counts(1, age=2.5)),
            FlowMinute("orders", second, _counts(10)),
            FlowMinute("invoices", first, _counts(100, age=0.25)),
            FlowMinute(ALL_FLOWS, first, _counts(1000)),
        ]
        await store.commit([PutStatistics("a.1", tuple(here))])
        there = (FlowMinute("orders", first, _counts(2, age=1)), FlowMinute("orders", third, _counts(3)))
        await store.commit([PutStatistics("b.1", there)])

        found = await self._points(store, "orders", since=first, until=third)
        assert found == [
            StatisticsPoint(first, Counts(3, 5, 7, 9, 11, timedelta(seconds=2.5), (0,) * (BUCKETS - 2) + (3, 0))),
            StatisticsPoint(second, _counts(10)),
        ]
        (point,) = await self._points(store, "orders", "invoices", "nobody", since=first, until=second)
        assert (point.counts.accepted, point.counts.queue_age) == (103, timedelta(seconds=2.5))
        (point,) = await self._points(store, ALL_FLOWS, since=first, until=third)
        assert point == StatisticsPoint(first, _counts(1000))
        assert await self._points(store, since=first, until=third) == []

    async def test_a_node_replaces_the_numbers_of_its_own_minute(self, store: Store, clock: ManualClock) -> None:
        at = begin_of(clock.now(), MINUTE)
        for number in (1, 1, 5):
            await store.commit([PutStatistics("a.1", (FlowMinute("orders", at, _counts(number)),))])
        await store.commit([PutStatistics("a.2", (FlowMinute("orders", at, _counts(2)),)), PutStatistics("a.1", ())])
        (point,) = await self._points(store, "orders", since=at, until=at + MINUTE)
        assert point.counts.accepted == 7

    async def test_hours_are_the_sums_of_their_minutes_before_and_after_they_are_rolled_up(
        self, store: Store, clock: ManualClock
    ) -> None:
        hour = begin_of(clock.now(), HOUR)
        minutes = [hour + place * MINUTE for place in range(120)]
        for node in ("a.1", "b.1"):
            put = [FlowMinute(flow_id, at, _counts(1, age=1)) for at in minutes for flow_id in ("orders", "invoices")]
            await store.commit([PutStatistics(node, tuple(put))])
        until, longest = hour + 2 * HOUR, timedelta(days=400)

        async def hours() -> list[tuple[datetime, int, timedelta]]:
            found = await self._points(store, "orders", since=hour, until=until, hourly=True)
            return [(one.at, one.counts.rejected, one.counts.queue_age) for one in found]

        expected = [(hour, 240, timedelta(seconds=1)), (hour + HOUR, 240, timedelta(seconds=1))]
        assert await hours() == expected
        # The second half of the first hour is still kept by the minute.
        middle = hour + HOUR / 2
        before = (middle, until - longest)
        while await store.has_old_statistics(*before):
            await store.commit([RollUpStatistics(*before)])
            assert await hours() == expected, "no minute is missing or counted twice meanwhile"
        kept = await self._points(store, "orders", since=hour, until=until)
        assert [one.at for one in kept] == minutes[30:]
        while await store.has_old_statistics(until, until - longest):
            await store.commit([RollUpStatistics(until, until - longest)])
        assert await self._points(store, "orders", since=hour, until=until) == []
        assert await hours() == expected

    async def test_the_numbers_of_each_flow_are_summed_over_nodes(self, store: Store, clock: ManualClock) -> None:
        hour = begin_of(clock.now(), HOUR)
        for node in ("a.1", "b.1"):
            put = [FlowMinute("orders", hour, _counts(1)), FlowMinute("orders", hour + HOUR, _counts(2))]
            put += [FlowMinute("invoices", hour + MINUTE, _counts(5)), FlowMinute(ALL_FLOWS, hour, _counts(9))]
            await store.commit([PutStatistics(node, tuple(put))])
        until, flow_ids = hour + 2 * HOUR, ("orders", "invoices", "nobody")
        by_hour = [
            FlowPoint("invoices", hour, 10, 12, 14, 16),
            FlowPoint("orders", hour, 2, 4, 6, 8),
            FlowPoint("orders", hour + HOUR, 4, 6, 8, 10),
        ]
        assert list(await store.statistics_by_flow(flow_ids, hour, until, hourly=True)) == by_hour
        assert list(await store.statistics_by_flow(["orders"], hour, hour + HOUR, hourly=False)) == [by_hour[1]]
        (point,) = await store.statistics_by_flow(["invoices"], hour, until, hourly=False)
        assert (point.at, point.accepted) == (hour + MINUTE, 10)
        assert await store.statistics_by_flow([], hour, until, hourly=True) == []
        before = (hour + MINUTE, until - timedelta(days=400))
        while await store.has_old_statistics(*before):
            await store.commit([RollUpStatistics(*before)])
        assert list(await store.statistics_by_flow(flow_ids, hour, until, hourly=True)) == by_hour

    async def test_hours_are_removed_after_their_time(self, store: Store, clock: ManualClock) -> None:
        at = begin_of(clock.now(), HOUR)
        await store.commit([PutStatistics("a.1", (FlowMinute("orders", at, _counts(1)),))])
        clock.advance(HOURS_KEPT.total_seconds())
        now = clock.now()
        await store.commit([RollUpStatistics(now - MINUTES_KEPT, now - HOURS_KEPT)])
        assert len(await self._points(store, "orders", since=at, until=now, hourly=True)) == 1
        clock.advance(HOUR.total_seconds())
        now = clock.now()
        assert await store.has_old_statistics(now - MINUTES_KEPT, now - HOURS_KEPT)
        await store.commit([RollUpStatistics(now - MINUTES_KEPT, now - HOURS_KEPT)])
        assert not await store.has_old_statistics(now - MINUTES_KEPT, now - HOURS_KEPT)
        assert await self._points(store, "orders", since=at, until=now, hourly=True) == []

    async def test_the_problems_of_nodes_are_those_of_their_last_reports(
        self, store: Store, clock: ManualClock
    ) -> None:
        began = clock.now()
        full = NodeProblem("disk_budget", "", "full", began)

        async def report(node: str, *problems: NodeProblem, forget_before: datetime = began) -> None:
            await store.commit([ReportProblems(node, problems, clock.now(), forget_before)])

        await report("a.1", full, NodeProblem("plugin_failed", "acme", "\0x", began))
        clock.advance(60)
        since = clock.now()
        full_flow = NodeProblem("disk_budget", "f", "y", since)
        await report("b.1", NodeProblem("disk_budget", "", "full", since), full_flow)
        failed = NodeProblem("plugin_failed", "acme", "\ufffdx", began)
        assert list(await store.node_problems(began)) == [full, full_flow, failed]
        assert [one.since for one in await store.node_problems(since)] == [since, since]
        await report("b.1")
        assert list(await store.node_problems(began)) == [full, failed]
        await report("b.1", forget_before=since)
        assert list(await store.node_problems(began)) == []

    async def test_the_oldest_queued_execution_of_each_flow_is_found(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        oldest = envelopes.make()
        await self._accept(store, oldest)
        clock.advance(1)
        await self._accept(store, envelopes.make(), envelopes.make(flow_id="invoices"))
        waiting, running, ended = (envelopes.make(flow_id=name) for name in ("waiting", "running", "ended"))
        for envelope in (waiting, running, ended):
            await self._run(store, envelope)
        await store.commit([Park(waiting.execution_id, clock.now(), None, "callback")])
        await store.commit([End(ended.execution_id, State.SUCCEEDED, OUTCOMES[State.SUCCEEDED], clock.now())])
        assert await store.oldest_queued() == {"orders": oldest.accepted_at, "invoices": clock.now()}
        await store.commit([Start(oldest.execution_id, "v1", clock.now())])
        assert (await store.oldest_queued())["orders"] == clock.now()
