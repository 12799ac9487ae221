"""Flows that the clock starts: at their times, once each, and what becomes of the times that were missed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import StoreError
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter, State
from hookline.model.message import Message
from hookline.sources import schedule as schedule_source
from hookline.storage.change_declarations import Change, CommitResult, SetCursor
from hookline.testing.clock import START

HOUR = timedelta(hours=1)


def hourly(**settings: Any) -> dict[str, Any]:
    return {"use": "schedule", "with": {"cron": "0 * * * *", **settings}}


def times(bodies: Sequence[Any]) -> list[int]:
    """Hours since the start at which runs were scheduled."""
    return [round((datetime.fromisoformat(body["scheduled_at"]) - START) / HOUR) for body in bodies]


async def settled(harness: Harness, engine: Engine, flow_id: str = "f") -> None:
    await harness.looked(engine, flow_id)


async def test_it_fires_at_its_times_with_what_it_is_about(harness: Harness) -> None:
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine() as engine:
        await settled(harness, engine)
        assert await harness.bodies(engine, "f") == [], "what was before it began isn't missed"
        for hour in (1, 2):
            harness.clock.advance(3600)
            await harness.bodies(engine, "f", hour)
            await settled(harness, engine)
        first, second = await harness.bodies(engine, "f")
        at = [rfc3339(START + hour * HOUR) for hour in (1, 2)]
        assert first == {"scheduled_at": at[0], "fired_at": at[0], "previous_at": None}
        assert second == {"scheduled_at": at[1], "fired_at": at[1], "previous_at": at[0]}
        await harness.until_calls(2)
        newest = (await engine.store.executions(ExecutionFilter(flow_id="f"))).items[0]
        envelope = await engine.store.envelope(newest.execution.id)
        assert envelope is not None
        assert envelope.arrival.use == "schedule"


@pytest.mark.parametrize(("missed", "expected"), [("skip", [1]), ("once", [1, 4]), ("all", [1, 2, 3, 4])])
async def test_runs_that_were_missed_are_treated_as_the_flow_says(
    harness: Harness, missed: str, expected: list[int]
) -> None:
    harness.flow("f", [act("one")], trigger=hourly(missed=missed))
    async with harness.engine() as engine:
        await settled(harness, engine)
        harness.clock.advance(3600)
        await harness.bodies(engine, "f", 1)
    harness.clock.advance(3 * 3600 + 120)
    async with harness.engine() as engine:
        await settled(harness, engine)
        found = await harness.bodies(engine, "f", len(expected))
        assert times(found) == expected
        assert [body["previous_at"] for body in found] == [None, *(body["scheduled_at"] for body in found[:-1])]
    async with harness.engine() as engine:
        await settled(harness, engine)
        assert times(await harness.bodies(engine, "f")) == expected, "what is done with stays so"


async def test_a_run_is_not_missed_within_a_minute(harness: Harness) -> None:
    """A server that is started anew just then skips nothing."""
    harness.flow("f", [act("one")], trigger=hourly(missed="skip"))
    async with harness.engine() as engine:
        await settled(harness, engine)
    harness.clock.advance(3600 + 60)
    async with harness.engine() as engine:
        await settled(harness, engine)
        assert times(await harness.bodies(engine, "f", 1)) == [1]


async def test_only_the_newest_of_many_missed_runs_are_made_up_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_source, "MISSED_KEPT", 3)
    harness.flow("f", [act("one")], trigger=hourly(missed="all"))
    async with harness.engine() as engine:
        await settled(harness, engine)
    harness.clock.advance(9 * 3600)
    async with harness.engine() as engine:
        await settled(harness, engine)
        assert times(await harness.bodies(engine, "f", 3)) == [7, 8, 9]


@pytest.mark.parametrize(("missed", "expected"), [("skip", [1, 5]), ("once", [1, 2, 5]), ("all", [1, 2, 3, 4, 5])])
async def test_two_runs_never_overlap(harness: Harness, missed: str, expected: list[int]) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    harness.flow("f", [act("one")], trigger=hourly(missed=missed))
    async with harness.engine() as engine:
        await settled(harness, engine)
        for _ in range(4):
            harness.clock.advance(3600)
            await hang.reached.wait()
            await settled(harness, engine)
        assert len(harness.probe.calls) == 1
        hanging = (await engine.store.executions(ExecutionFilter(flow_id="f", state=State.RUNNING))).items
        del harness.probe.does["one"]
        await engine.operations.cancel(hanging[0].execution.id, by=SYSTEM)
        for number in range(1, len(expected) - 1):
            await harness.until_calls(1 + number)
        for summary in (await engine.store.executions(ExecutionFilter(flow_id="f"))).items:
            await harness.until(engine, summary.execution.id)
        harness.clock.advance(3600)
        assert times(await harness.bodies(engine, "f", len(expected))) == expected
        await harness.until_calls(len(expected))
        assert times([value for _, _, _, value in harness.probe.calls]) == expected, "in their order"


async def test_a_run_that_is_started_by_hand_does_not_overlap_either(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine() as engine:
        flow, ids = engine.intake.flow("f"), (engine.ids.new(), engine.ids.new())
        started = [
            (await engine.intake.start(flow, Message(n), execution_id=id_, by=SYSTEM)).execution_id
            for n, id_ in enumerate(ids, 1)
        ]
        await hang.reached.wait()
        del harness.probe.does["one"]
        await asyncio.sleep(0.02)
        assert len(harness.probe.calls) == 1
        await engine.operations.cancel(started[0], by=SYSTEM)
        assert (await harness.until(engine, started[1])).state is State.SUCCEEDED


async def test_runs_overlap_where_the_flow_says_so(harness: Harness) -> None:
    harness.probe.does["one"] = Hang()
    harness.flow("f", [act("one")], trigger=hourly(overlap=True))
    async with harness.engine() as engine:
        for _ in range(2):
            await settled(harness, engine)
            harness.clock.advance(3600)
        await harness.until_calls(2)


async def test_a_paused_flow_does_not_fire_and_makes_up_for_it_once_it_is_active(harness: Harness) -> None:
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine() as engine:
        await settled(harness, engine)
        harness.flow("f", [act("one")], trigger=hourly(), state="paused")
        await engine.version_switch.refresh()
        await harness.without_source(engine, "f")
        harness.clock.advance(3 * 3600)
        await asyncio.sleep(0.02)
        assert await harness.bodies(engine, "f") == []
        harness.flow("f", [act("one")], trigger=hourly())
        await engine.version_switch.refresh()
        assert times(await harness.bodies(engine, "f", 1)) == [3]


async def test_another_schedule_begins_anew_and_knows_the_last_run(harness: Harness) -> None:
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine() as engine:
        await settled(harness, engine)
        harness.clock.advance(3600)
        await harness.bodies(engine, "f", 1)
    harness.clock.advance(5 * 3600)
    harness.flow("f", [act("one")], trigger={"use": "schedule", "with": {"every": "6h"}})
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        assert times(await harness.bodies(engine, "f")) == [1]
        assert status.next_at == datetime(2026, 1, 31, 18, tzinfo=UTC)
        harness.clock.advance(4 * 3600)
        last = (await harness.bodies(engine, "f", 2))[-1]
        assert (times([last]), last["previous_at"]) == ([10], rfc3339(START + HOUR))


async def test_a_commit_whose_outcome_is_unknown_and_that_is_done_again_starts_nothing_twice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine() as engine:
        await settled(harness, engine)
        commit, failures = engine.store.commit, 0

        async def unsure(changes: Sequence[Change]) -> Sequence[CommitResult]:
            nonlocal failures
            results = await commit(changes)
            if failures < 2 and any(isinstance(change, SetCursor) for change in changes):
                failures += 1
                raise StoreError("the connection is gone")
            return results

        monkeypatch.setattr(engine.store, "commit", unsure)
        harness.clock.advance(3600)
        waiting = asyncio.ensure_future(settled(harness, engine))
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=0.01)
            harness.clock.advance(1)
        assert failures == 2
        assert times(await harness.bodies(engine, "f")) == [1]
        await harness.until_calls(1)
        assert engine.intake.backlog("f") == 0


async def test_a_schedule_waits_where_the_flow_has_no_room(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    harness.flow("f", [act("one")], trigger=hourly(overlap=True, missed="all"), concurrency=1, max_queued=2)
    async with harness.engine() as engine:
        await settled(harness, engine)
        harness.clock.advance(3600)
        await hang.reached.wait()
        await settled(harness, engine)
        harness.clock.advance(4 * 3600)
        assert times(await harness.bodies(engine, "f", 3)) == [1, 2, 3]
        await asyncio.sleep(0.02)
        assert engine.intake.backlog("f") == 2, "as many as it has room for"
        del harness.probe.does["one"]
        await engine.operations.cancel(
            (await engine.store.executions(ExecutionFilter(flow_id="f", state=State.RUNNING))).items[0].execution.id,
            by=SYSTEM,
        )
        while len(await harness.bodies(engine, "f")) < 5:
            harness.clock.advance(1)
            await asyncio.sleep(0.005)
        assert times(await harness.bodies(engine, "f")) == [1, 2, 3, 4, 5]


async def test_an_engine_that_is_told_so_lets_no_trigger_start_anything(harness: Harness) -> None:
    """`hookline run` is one: it is to run one flow, and not those beside it."""
    harness.flow("f", [act("one")], trigger=hourly())
    async with harness.engine(triggers=False) as engine:
        harness.clock.advance(3600)
        await asyncio.sleep(0.02)
        assert engine.sources.status("f") is None
        assert await harness.bodies(engine, "f") == []


async def test_a_body_that_the_flows_schema_rejects_is_recorded_as_rejected(harness: Harness) -> None:
    harness.flow("f", [act("one")], trigger=hourly(), schema={"type": "object", "required": ["id"]})
    async with harness.engine() as engine:
        await settled(harness, engine)
        harness.clock.advance(3600)
        await settled(harness, engine)
        await engine.rejections.flush()
        (rejected,) = (await engine.store.rejected(flow_id="f")).items
        assert (rejected.code, rejected.method) == ("request.schema", "schedule")
        assert "id" in rejected.detail
        assert await harness.bodies(engine, "f") == []
