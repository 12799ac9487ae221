"""What a node notices by itself is reported when it changes, and again before the report is too old."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import structlog

from hookline.discovery.registry import PluginStatus
from hookline.kernel.errors import StoreError
from hookline.operations.node_problems import REPORTED_WITHIN, SOURCE_PATIENCE, NodeProblems
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import Change, ReportProblems
from hookline.storage.node_problems import NodeProblem
from hookline.telemetry.store_problem import StoreProblem
from hookline.testing.clock import ManualClock


class Kept:
    """A store that keeps reports, and fails when it is told to."""

    def __init__(self) -> None:
        self.reports: list[ReportProblems] = []
        self.failure: Exception | None = None

    async def commit(self, changes: Sequence[Change]) -> Sequence[None]:
        if self.failure is not None:
            raise self.failure
        for change in changes:
            assert isinstance(change, ReportProblems)
            self.reports.append(change)
        return [None]

    @property
    def last(self) -> list[tuple[str, str]]:
        return [(one.kind, one.subject) for one in self.reports[-1].problems]


class Full:
    full: str | None = None
    full_flows: dict[str, str] = {}  # noqa: RUF012 - replaced, and not changed


class Bench:
    def __init__(self, *failed: PluginStatus) -> None:
        self.store, self.clock, self.intake = Kept(), ManualClock(), Full()
        self.sources: dict[str, SourceStatus] = {}
        kept: Any = self.store
        intake: Any = self.intake
        log: Any = structlog.get_logger()
        self.problems = NodeProblems(
            kept,
            self.clock,
            StoreProblem(kept, kept, self.clock, log),
            "a.1",
            failed_plugins=failed,
            sources=lambda: self.sources,
            intake=intake,
        )


@pytest.mark.console_rule("K10")
async def test_a_plugin_that_failed_and_a_full_disk_are_reported_at_once() -> None:
    bench = Bench(PluginStatus("acme", "acme", "acme", "1.0", "it is broken"))
    began = bench.clock.now()
    bench.intake.full, bench.intake.full_flows = "full", {"orders": "too large"}
    await bench.problems.report()
    (report,) = bench.store.reports
    assert (report.node, report.at, report.forget_before) == ("a.1", began, began - REPORTED_WITHIN)
    assert report.problems == (
        NodeProblem("plugin_failed", "acme", "it is broken", began),
        NodeProblem("disk_budget", "", "full", began),
        NodeProblem("disk_budget", "orders", "too large", began),
    )
    bench.clock.advance(5)
    bench.intake.full, bench.intake.full_flows = None, {}
    await bench.problems.report()
    assert bench.store.last == [("plugin_failed", "acme")]


@pytest.mark.console_rule("K10")
async def test_a_source_is_reported_after_it_has_failed_for_a_while_with_the_time_at_which_that_began() -> None:
    bench = Bench()
    bench.sources = {"orders": SourceStatus(error="refused"), "well": SourceStatus()}
    began = bench.clock.now()
    await bench.problems.report()
    bench.clock.advance(SOURCE_PATIENCE.total_seconds() - 1)
    await bench.problems.report()
    assert bench.store.reports == []
    bench.clock.advance(1)
    await bench.problems.report()
    assert bench.store.reports[-1].problems == (NodeProblem("source_stopped", "orders", "refused", began),)
    bench.sources = {"orders": SourceStatus()}
    await bench.problems.report()
    assert bench.store.last == []
    bench.sources = {"orders": SourceStatus(error="refused again")}
    await bench.problems.report()
    assert len(bench.store.reports) == 2, "it has just begun to fail again"


@pytest.mark.console_rule("K10")
async def test_the_same_problems_are_reported_again_before_their_report_is_too_old_and_no_problems_never() -> None:
    bench = Bench()
    for _ in range(100):
        await bench.problems.report()
        bench.clock.advance(5)
    assert bench.store.reports == []
    bench.intake.full = "full"
    for _ in range(int(REPORTED_WITHIN.total_seconds() / 5)):
        await bench.problems.report()
        bench.clock.advance(5)
    times = [report.at for report in bench.store.reports]
    assert [(later - first).total_seconds() for first, later in pairwise(times)] == [60, 60]
    await bench.problems.withdraw()
    assert bench.store.last == []
    await bench.problems.withdraw()
    assert len(bench.store.reports) == 4


@pytest.mark.console_rule("K10")
async def test_a_report_that_fails_is_made_later() -> None:
    bench = Bench()
    bench.intake.full = "full"
    bench.store.failure = StoreError()
    running = asyncio.create_task(bench.problems.run())
    await bench.clock.until_sleeping()
    bench.store.failure = None
    bench.clock.advance(5)
    await bench.clock.until_sleeping()
    running.cancel()
    await asyncio.wait({running})
    assert bench.store.last == [("disk_budget", "")]
