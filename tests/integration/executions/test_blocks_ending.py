"""Blocks that come to their end over several deliveries: what has failed stays so, and each `finally` runs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, each, fails

from hookline.cli.operate.execution_text import describe_execution
from hookline.kernel.json import decode, encode
from hookline.model.access import SYSTEM
from hookline.model.execution import SLEEP, ExecutionFilter, Outcome, State
from hookline.service.views.executions import execution_view


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def sleep(step_id: str, time: str) -> dict[str, Any]:
    return {"id": step_id, "use": "sleep", "with": {"for": time}}


@pytest.mark.parametrize("place", ["try", "catch"])
async def test_what_failed_is_not_done_again_while_finally_waits(harness: Harness, place: str) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False), cause=fails(9, retryable=False))
    block: dict[str, Any] = {"id": "t", "try": [act("bad")], "finally": [sleep("pause", "10m"), act("last")]}
    if place == "catch":
        block |= {"try": [act("cause")], "catch": [act("bad")]}
    harness.flow("f", [block, act("never")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(601)
        done = await harness.until(engine, execution_id)
        assert done.outcome is Outcome.FAILED
        assert done.error is not None
        assert done.error.step == "t/bad"
        assert harness.probe.steps() == ["cause", "bad", "last"][place == "try" :]


async def test_an_operators_retry_does_again_what_failed_before_its_finally(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    harness.flow("f", [{"id": "t", "try": [act("bad")], "finally": [act("last")]}, act("after")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.FAILED
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["bad", "last", "bad", "after"]


async def test_items_that_wait_end_with_their_finally_where_an_earlier_one_fails_at_last(harness: Harness) -> None:
    """The first item fails in a later delivery, which would come to the others only after it."""
    harness.probe.does.update(first=fails(9))
    guarded = {
        "id": "t",
        "try": [
            act("first", "$.item", retry={"attempts": 2, "wait": "10m"}, when="{{ index == 0 }}"),
            {"id": "w", "use": "webhook", "with": {"verify": "none"}, "when": "{{ index > 0 }}"},
        ],
        "finally": [act("last", "$.index")],
    }
    harness.flow("f", [each(guarded)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", ["a", "b", "c"])
        await harness.until(engine, execution_id, State.WAITING)
        assert len(await engine.store.waits(execution_id)) == 2
        harness.clock.advance(601)
        done = await harness.until(engine, execution_id)
        assert (done.error and done.error.step) == "each[0]/t/first"
        assert await engine.store.waits(execution_id) == ()
        assert sorted(call[3] for call in harness.probe.calls if call[0] == "last") == [0, 1, 2]


async def test_items_that_wait_end_with_their_finally_where_the_execution_is_cancelled(harness: Harness) -> None:
    guarded = {
        "id": "t",
        "try": [{"id": "w", "use": "webhook", "with": {"verify": "none"}}],
        "finally": [act("last", "$.index")],
    }
    harness.flow("f", [each(guarded)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", ["a", "b", "c"])
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
        assert await engine.store.waits(execution_id) == ()
        assert [call[3] for call in harness.probe.calls] == [0, 1, 2]


@pytest.mark.parametrize("ends", ["fail", "stop"])
@pytest.mark.parametrize("block", ["foreach", "parallel"])
async def test_what_began_to_end_does_not_go_on_while_its_finally_waits(
    harness: Harness, block: str, ends: str
) -> None:
    """The first part has run its `finally` as far as a sleep; the time for its next attempt comes before it wakes."""
    harness.probe.does.update(first=fails(1))
    end = {"id": "end", "use": ends, **({"with": {"message": "no"}} if ends == "fail" else {})}
    guarded = {
        "id": "t",
        "try": [act("first", 0, retry={"attempts": 2, "wait": "5m"}), act("never")],
        "finally": [sleep("pause", "10m"), act("last")],
    }
    steps: list[dict[str, Any]] = [guarded | {"when": "{{ index == 0 }}"}, end | {"when": "{{ index == 1 }}"}]
    fan: dict[str, Any] = each(*steps)
    if block == "parallel":
        # It ends when the first part waits already.
        fan = {"id": "fan", "parallel": {"a": [guarded], "b": [sleep("later", "2m"), end]}}
    harness.flow("f", [fan])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        await harness.until(engine, execution_id, State.WAITING)
        done = await harness.advance_until(engine, execution_id, seconds=60)
        assert done.outcome is (Outcome.FAILED if ends == "fail" else Outcome.STOPPED)
        assert harness.probe.steps() == ["first", "last"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_cancelled_execution_sleeps_in_its_finally_and_then_ends(harness: Harness, restart: bool) -> None:
    block = {
        "id": "t",
        "try": [{"id": "w", "use": "webhook", "with": {"verify": "none"}}],
        "finally": [sleep("pause", "10m"), act("last")],
    }
    harness.flow("f", [block])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        async with asyncio.timeout(30):
            while (await harness.until(engine, execution_id, State.WAITING)).reason != SLEEP:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        # It knows that it is cancelled, and isn't woken for that again and again.
        assert await engine.store.next_due(harness.clock.now()) == harness.clock.now() + timedelta(minutes=10)
        if not restart:
            harness.clock.advance(601)
            assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
    if restart:
        async with harness.engine() as engine:
            assert await engine.store.next_due(harness.clock.now()) == harness.clock.now() + timedelta(minutes=10)
            harness.clock.advance(601)
            assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
    assert harness.probe.steps() == ["last"]


async def test_an_action_that_gives_items_is_cut_off_when_the_execution_is_cancelled(harness: Harness) -> None:
    reached = asyncio.Event()

    @harness.probe.connector.action(pure=True)
    async def numbers() -> AsyncIterator[int]:
        """Give numbers without end."""
        number = 0
        while True:
            yield number
            number += 1
            if number % 1000 == 0:
                reached.set()
                await asyncio.sleep(0)

    steps = [act("first"), {"id": "all", "use": "probe.numbers"}]
    harness.flow("f", [{"id": "t", "try": steps, "finally": [act("last")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await reached.wait()
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
        assert harness.probe.steps() == ["first", "last"]
        assert "t/all" not in await harness.journal(engine, execution_id)


async def test_a_step_that_waited_when_its_execution_was_cancelled_is_shown_as_interrupted(harness: Harness) -> None:
    waits = {"ask": {"id": "ask", "use": "webhook", "with": {"timeout": "2d"}}, "pause": sleep("pause", "1h")}
    harness.flow("f", [{"id": "both", "parallel": {name: [step] for name, step in waits.items()}}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(60)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id, State.CANCELLED)
        view = await execution_view(engine.store, execution_id)
        assert view is not None
        assert [(step.path, step.state, step.due_at, step.finished_at) for step in view.steps] == [
            ("both/ask", "interrupted", None, view.finished_at),
            ("both/pause", "interrupted", None, view.finished_at),
        ]
        text = describe_execution(decode(encode(view)))
        assert "both/ask  webhook: interrupted" in text
        assert "again" not in text


ENDED: dict[str, dict[str, Any]] = {
    "foreach": each(act("one"), foreach=[1, 2]),
    "parallel": {"id": "p", "parallel": {"a": [act("one")], "b": [act("two")]}},
    "caught": {"id": "c", "try": [each(act("bad"), foreach=[1])], "catch": []},
}


@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("before", ENDED)
async def test_what_ends_early_runs_the_finally_of_what_waits_behind_a_block(
    harness: Harness, before: str, how: str
) -> None:
    harness.probe.does.update(bad=fails(9, retryable=False))
    waits = {"id": "t", "try": [{"id": "w", "use": "webhook"}], "finally": [act("last")]}
    block = ENDED[before]
    steps = [{**block, "catch": [waits]}] if before == "caught" else [block, waits]
    harness.flow("f", steps, **({"timeout": "1h"} if how == "timeout" else {}))
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        if how == "cancel":
            await engine.operations.cancel(execution_id, by=SYSTEM)
        else:
            harness.clock.advance(3601)
        done = await harness.until(engine, execution_id)
        assert done.outcome is (Outcome.CANCELLED if how == "cancel" else Outcome.TIMED_OUT)
        assert harness.probe.steps()[-1] == "last"
        assert await engine.store.waits(execution_id) == ()


@pytest.mark.parametrize("waits", ["webhook", "flow"])
async def test_an_operators_retry_waits_anew_where_a_failure_beside_it_ended_a_wait(
    harness: Harness, waits: str
) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    harness.flow("child", [{"id": "w", "use": "webhook"}])
    step: dict[str, Any] = {"id": "w", "use": "webhook"}
    if waits == "flow":
        step = {"id": "call", "use": "flow", "with": {"id": "child"}}
    hold = {"id": "hold", "use": "webhook"}
    harness.flow("f", [{"id": "p", "parallel": {"a": [step], "b": [hold, act("bad")]}}, act("after")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.resume(execution_id, "hold", b"1", by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.FAILED
        await engine.operations.retry(execution_id, by=SYSTEM)
        path = "p/w" if waits == "webhook" else "p/call#2"
        async with asyncio.timeout(30):
            while await engine.store.waits(execution_id) != (path,):  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        waiting = execution_id
        if waits == "flow":
            children = ExecutionFilter(flow_id="child")
            async with asyncio.timeout(30):
                # The first one is cancelled, which takes a few tasks; the second one comes to its wait.
                while True:
                    called = [one.execution for one in (await engine.store.executions(children)).items]
                    going_on = [one.id for one in called if one.outcome is not Outcome.CANCELLED]
                    if len(going_on) == 1 and await engine.store.waits(going_on[0]) == ("w",):
                        break
                    await asyncio.sleep(0.002)
            (waiting,) = going_on
        await engine.operations.resume(waiting, "w", b"2", by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["bad", "bad", "after"]


@pytest.mark.parametrize("block", ["foreach", "parallel"])
async def test_what_fails_again_after_an_operators_retry_lets_nothing_go_on_while_its_finally_waits(
    harness: Harness, block: str
) -> None:
    """The first part has slept long enough before its `finally`, which only the second time comes to a sleep."""
    harness.probe.does.update(clean=fails(1, retryable=False))
    end = {"id": "end", "use": "fail", "with": {"message": "no", "code": "meant"}}
    guarded = {
        "id": "t",
        "try": [sleep("nap", "5m"), act("never")],
        "finally": [act("clean"), sleep("pause", "10m"), act("last")],
    }
    fan: dict[str, Any] = each(guarded | {"when": "{{ index == 0 }}"}, end | {"when": "{{ index == 1 }}"})
    if block == "parallel":
        fan = {"id": "fan", "parallel": {"a": [guarded], "b": [end]}}
    harness.flow("f", [fan])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [0, 1])
        await harness.until(engine, execution_id, State.FAILED)
        await engine.operations.retry(execution_id, by=SYSTEM)
        await harness.advance_until(engine, execution_id, seconds=60)
        ends = [one for one in await engine.store.journal(execution_id) if one.path == fan["id"]]
    assert harness.probe.steps() == ["clean", "clean", "last"]
    assert [one.error and one.error.code for one in ends] == ["meant", "meant"]


@pytest.mark.rule(27)
@pytest.mark.parametrize("block", ["foreach", "many", "parallel"])
async def test_what_was_stopped_does_not_go_on_while_a_finally_around_it_waits(harness: Harness, block: str) -> None:
    """The block has ended with `stop`, and is entered again when the `finally` of the `try` around it goes on."""
    harness.probe.does.update(first=fails(1))
    first, stop = act("first", 0, retry={"attempts": 2, "wait": "5m"}), {"id": "end", "use": "stop"}
    if block == "parallel":
        fan: dict[str, Any] = {"id": "fan", "parallel": {"a": [first, act("more")], "b": [stop]}}
    else:
        cases = [first | {"when": "{{ index == 0 }}"}, stop | {"when": "{{ index == 1 }}"}, act("more")]
        fan = each(*cases)
    around = {"id": "t", "try": [fan], "finally": [sleep("pause", "10m"), act("last")]}
    harness.flow("f", [around, act("never")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", list(range(1200 if block == "many" else 3)))
        await harness.until(engine, execution_id, State.WAITING)
        done = await harness.advance_until(engine, execution_id, seconds=301)
        assert (done.state, done.outcome) == (State.SUCCEEDED, Outcome.STOPPED)
        assert harness.probe.steps() == ["first", "last"]


@pytest.mark.rule(27)
async def test_a_stop_in_finally_does_not_hide_a_failure(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(9, retryable=False))
    harness.flow("f", [{"id": "t", "try": [act("bad")], "finally": [{"use": "stop"}]}, act("never")])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", 1))
        assert done.outcome is Outcome.FAILED
        assert done.error is not None
        assert done.error.step == "t/bad"


@pytest.mark.rule(27)
async def test_a_stop_in_finally_does_not_hide_a_cancellation(harness: Harness) -> None:
    harness.flow("f", [{"id": "t", "try": [sleep("pause", "10m")], "finally": [{"use": "stop"}]}, act("never")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
        assert harness.probe.steps() == []


@pytest.mark.rule(27)
@pytest.mark.parametrize("place", ["plain", "foreach", "parallel"])
async def test_a_failure_of_a_finally_counts_wherever_it_is(harness: Harness, place: str) -> None:
    harness.probe.does.update(clean=fails(9, retryable=False))
    wait = {"id": "w", "use": "webhook", "with": {"verify": "none"}}
    guarded: dict[str, Any] = {"id": "t", "try": [wait], "finally": [act("clean", 1)]}
    steps = {
        "plain": guarded,
        "foreach": each(guarded),
        "parallel": {"id": "p", "parallel": {"a": [guarded], "b": [act("other", 1)]}},
    }
    harness.flow("f", [steps[place]])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1])
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.until(engine, execution_id)
        assert done.outcome is Outcome.FAILED
        assert done.error is not None
        assert done.error.step is not None
        assert done.error.step.endswith("t/clean")
