"""A clock that is set delays no wait, and ends none early, whatever it is that waits."""

import asyncio
from typing import Any

import pytest
from tests.integration.engine_harness import SLEEPERS, Harness, act, fails
from tests.integration.store_trouble import Trouble, holds

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.storage.change_declarations import MoveWaits

HOUR = 3600.0


async def pass_by(harness: Harness, seconds: int) -> None:
    """Let time pass second by second, each once everybody who wakes in it sleeps again."""
    for _ in range(seconds):
        await harness.clock.until_sleeping(SLEEPERS)
        harness.clock.advance(1)
        for _ in range(2):
            await asyncio.sleep(0.002)


async def state(engine: Engine, execution_id: str) -> State:
    execution = await engine.store.execution(execution_id)
    assert execution is not None
    return execution.state


async def parked(harness: Harness, engine: Engine, flow_id: str) -> str:
    id_ = await harness.send(engine, flow_id, None)
    await harness.until(engine, id_, State.WAITING)
    return id_


def times_of(harness: Harness, step_id: str) -> list[float]:
    """The times of a step's calls, in seconds that have really passed."""
    times: list[float] = []

    async def note(value: Any) -> Any:
        times.append(harness.clock.monotonic())
        return value

    harness.probe.does[step_id] = note
    return times


WAITS: dict[str, dict[str, Any]] = {
    "retry": act("bad", retry={"attempts": 2, "wait": "20s", "jitter": 0}),
    "sleep": {"id": "pause", "use": "sleep", "with": {"for": "20s"}},
    "webhook": {"id": "call", "use": "webhook", "with": {"timeout": "20s", "verify": "none"}, "on_error": "continue"},
    "batch": {"id": "lines", "use": "batch", "with": {"key": "k", "size": 10, "within": "20s"}},
}


@pytest.mark.rule(44)
@pytest.mark.parametrize("set_back", [HOUR, -HOUR, 4.0], ids=["back", "ahead", "a little"])
@pytest.mark.parametrize("wait", WAITS)
async def test_a_wait_takes_as_long_as_it_was_to_take_however_the_clock_is_set(
    harness: Harness, wait: str, set_back: float
) -> None:
    harness.flow("f", [WAITS[wait], act("after", None)])
    harness.probe.does["bad"] = fails(1)
    after = times_of(harness, "after")
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        began = harness.clock.monotonic()
        await pass_by(harness, 5)
        harness.clock.set_back(set_back)
        await pass_by(harness, 12)
        assert await state(engine, id_) is State.WAITING
        assert harness.clock.jump().total_seconds() == 0, "the engine's time has followed"
        await pass_by(harness, 6)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED
        # It had no more than 23 s.
        assert after[0] - began >= 20


@pytest.mark.rule(44)
@pytest.mark.parametrize("set_back", [HOUR, -HOUR], ids=["back", "ahead"])
async def test_a_wait_takes_as_long_although_another_branch_runs_while_the_clock_is_set(
    harness: Harness, set_back: float
) -> None:
    ended = asyncio.Event()

    async def slow(value: Any) -> Any:
        await ended.wait()
        return value

    harness.flow("f", [{"id": "p", "parallel": {"a": [WAITS["sleep"], act("after", None)], "b": [act("slow", None)]}}])
    harness.probe.does["slow"] = slow
    after = times_of(harness, "after")
    async with harness.engine() as engine:
        id_ = await harness.send(engine, "f", None)
        async with asyncio.timeout(30):
            while "p/pause" not in await harness.journal(engine, id_):  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        began = harness.clock.monotonic()
        await pass_by(harness, 5)
        harness.clock.set_back(set_back)
        await pass_by(harness, 5)
        ended.set()
        await harness.until(engine, id_, State.WAITING)
        await pass_by(harness, 7)
        assert await state(engine, id_) is State.WAITING
        await pass_by(harness, 6)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED
        assert after[0] - began >= 20


@pytest.mark.rule(44)
async def test_timers_are_on_time_on_a_clock_that_jumps_to_and_fro_by_four_seconds(harness: Harness) -> None:
    harness.flow("f", [WAITS["retry"], act("after", None)])
    harness.probe.does["bad"] = fails(1)
    after = times_of(harness, "after")
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        began = harness.clock.monotonic()
        for second in range(15):
            harness.clock.set_back(4.0 if second % 2 else -4.0)
            await pass_by(harness, 1)
        # It is ahead now: a wait that didn't move with it would be over four seconds early.
        await pass_by(harness, 6)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED
        assert 20 <= after[0] - began <= 21


@pytest.mark.rule(44)
async def test_a_wait_that_ends_while_the_clock_is_set_back_is_not_lost(harness: Harness) -> None:
    harness.flow("f", [WAITS["sleep"]])
    harness.flow("shorter", [{"id": "pause", "use": "sleep", "with": {"for": "18s"}}])
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        shorter = await parked(harness, engine, "shorter")
        await pass_by(harness, 19)
        await harness.until(engine, shorter)
        # The timers looked after the time that the other wait now ends at.
        harness.clock.set_back(4.0)
        await pass_by(harness, 3)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED


@pytest.mark.rule(44)
async def test_a_time_that_the_flow_names_does_not_move(harness: Harness) -> None:
    until = rfc3339(harness.clock.now().replace(hour=9))
    harness.flow("f", [{"id": "pause", "use": "sleep", "with": {"until": until}}])
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        harness.clock.set_back(-HOUR + 10)
        await pass_by(harness, 5)
        assert await state(engine, id_) is State.WAITING
        await pass_by(harness, 7)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED


@pytest.mark.rule(44)
async def test_what_is_queued_or_waits_for_its_turn_runs_at_once_on_a_clock_that_was_set_back(
    harness: Harness,
) -> None:
    harness.flow("f", [WAITS["sleep"]], order_by="k")
    harness.flow("paused", [act("see", None)], state="paused")
    async with harness.engine() as engine:
        first = await parked(harness, engine, "f")
        second = await harness.send(engine, "f", None)
        queued = await harness.send(engine, "paused", None)
        harness.clock.set_back(HOUR)
        await pass_by(harness, 3)
        harness.flow("paused", [act("see", None)])
        await engine.version_switch.refresh()
        assert (await harness.until(engine, queued)).state is State.SUCCEEDED
        await engine.operations.cancel(first, by=SYSTEM)
        await harness.until(engine, first)
        await harness.until(engine, second, State.WAITING)


@pytest.mark.rule(44)
async def test_a_restart_remembers_how_long_the_rest_of_a_wait_is(harness: Harness) -> None:
    harness.flow("f", [WAITS["sleep"]])
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        harness.clock.set_back(HOUR)
        await pass_by(harness, 5)
    async with harness.engine() as engine:
        await pass_by(harness, 10)
        assert await state(engine, id_) is State.WAITING
        await pass_by(harness, 8)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED


@pytest.mark.rule(44)
async def test_a_jump_waits_for_a_store_that_cannot_be_written(harness: Harness) -> None:
    harness.flow("f", [WAITS["sleep"]])
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        trouble = Trouble(engine, holds(MoveWaits))
        harness.clock.set_back(HOUR)
        await pass_by(harness, 5)
        assert trouble.rejected > 1
        assert harness.clock.jump().total_seconds() == -HOUR
        trouble.rejects = lambda _: False
        await pass_by(harness, 17)
        assert harness.clock.jump().total_seconds() == 0
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED


@pytest.mark.rule(44)
async def test_waits_move_once_if_it_is_not_known_whether_they_have_moved(harness: Harness) -> None:
    harness.flow("f", [WAITS["sleep"]])
    async with harness.engine() as engine:
        id_ = await parked(harness, engine, "f")
        before = await engine.store.execution(id_)
        trouble = Trouble(engine, lambda _: False)
        trouble.doubts = lambda changes: trouble.rejected < 3 and holds(MoveWaits)(changes)
        harness.clock.set_back(HOUR)
        await pass_by(harness, 5)
        assert trouble.rejected == 3
        assert harness.clock.jump().total_seconds() == 0
        after = await engine.store.execution(id_)
        assert before is not None
        assert after is not None
        assert before.ready_at is not None
        assert after.ready_at is not None
        assert (before.ready_at - after.ready_at).total_seconds() == pytest.approx(HOUR, abs=1)


@pytest.mark.rule(44)
async def test_turns_of_a_rate_do_not_move_away(harness: Harness) -> None:
    harness.flow("f", [act("see", None, rate="1/s")])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "f", None))
        harness.clock.set_back(HOUR)
        await pass_by(harness, 2)
        assert (await harness.until(engine, await harness.send(engine, "f", None))).state is State.SUCCEEDED
