"""An execution that was interrupted ends so, however long its `finally` or `on_error` steps wait meanwhile."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each, fails

from hookline.engine import Engine
from hookline.executions.blocks.foreach import _Items
from hookline.executions.blocks.run_steps import STEP_RUNNERS
from hookline.executions.steps.step import StepRun
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.kernel.errors import StoreError
from hookline.model.access import SYSTEM
from hookline.model.execution import SLEEP, Execution, ExecutionFilter, Outcome, State, StepState
from hookline.sdk.action import Sleep
from hookline.storage.change_declarations import Cancel

_NAP: dict[str, Any] = {"id": "w", "use": "sleep", "with": {"for": "5m"}}
_ONCE: dict[str, Any] = act("w", delivery="at_most_once")

STEPS: dict[str, tuple[type[CompiledStep], dict[str, Any]]] = {
    "sleep": (CompiledAction, _NAP),
    "retry": (CompiledAction, act("w", retry={"attempts": 2, "wait": "5m"})),
    "at most once": (CompiledAction, _ONCE),
    "at most once, whose failure is handled": (CompiledAction, {**_ONCE, "on_error": "continue"}),
    "webhook": (CompiledWait, {"id": "w", "use": "webhook", "with": {"timeout": "5m"}}),
    "flow": (CompiledCall, {"id": "w", "use": "flow", "with": {"id": "child"}, "timeout": "5m"}),
    "batch": (CompiledBatch, {"id": "w", "use": "batch", "with": {"within": "5m"}}),
    "switch": (CompiledSwitch, {"id": "s", "switch": [{"when": "{{ true }}", "steps": [_NAP]}]}),
    "try": (CompiledTry, {"id": "i", "try": [_NAP], "catch": [act("inner")]}),
    "foreach": (CompiledForeach, each(_NAP, foreach=[1, 2])),
    "parallel": (CompiledParallel, {"id": "p", "parallel": {"a": [_NAP], "b": [{**_NAP, "id": "v"}]}}),
}
"""Steps that an interruption can end, with their type."""
UNKNOWN = {"at most once", "at most once, whose failure is handled"}
LONGER = {"id": "pause", "use": "sleep", "with": {"for": "10m"}}
"""When it is over, the interrupted step would be due."""


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)
    harness.flow("child", [{"id": "hold", "use": "webhook"}])
    return harness


def test_each_kind_of_step_is_interrupted_here() -> None:
    assert {kind for kind, _ in STEPS.values()} == STEP_RUNNERS.keys()


def _interrupted_flow(harness: Harness, what: str, **settings: Any) -> Hang | None:
    """A flow whose step is interrupted, with a `catch` that must not see it; nothing after it has an effect."""
    hang = Hang() if what in UNKNOWN else None
    harness.probe.does.update(w=hang or fails(1))
    block = {"id": "t", "try": [STEPS[what][1]], "catch": [act("caught")], "finally": [LONGER, act("last")]}
    harness.flow("f", [block, {"id": "after", "use": "map", "with": {"body": "done"}}], **settings)
    return hang


async def _begun(harness: Harness, engine: Engine, hang: Hang | None) -> str:
    execution_id = await harness.send(engine, "f", [1, 2])
    if hang is None:
        await harness.until(engine, execution_id, State.WAITING)
    else:
        await hang.reached.wait()
    return execution_id


async def _waits_in_finally(harness: Harness, engine: Engine, execution_id: str) -> None:
    async with asyncio.timeout(30):
        while (await harness.journal(engine, execution_id)).get("t/pause") is None:  # noqa: ASYNC110 - it is several tasks away
            await asyncio.sleep(0.002)
    assert (await harness.until(engine, execution_id, State.WAITING)).reason == SLEEP


def _told(execution: Execution) -> tuple[State, Outcome | None]:
    return execution.state, execution.outcome


@pytest.mark.rule(27)
@pytest.mark.parametrize("what", STEPS)
async def test_a_cancelled_execution_ends_as_cancelled_after_a_finally_that_waits(harness: Harness, what: str) -> None:
    hang = _interrupted_flow(harness, what)
    async with harness.engine() as engine:
        execution_id = await _begun(harness, engine, hang)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        await _waits_in_finally(harness, engine, execution_id)
        harness.clock.advance(601)
        done = await harness.until(engine, execution_id)
    unknown = Outcome.OUTCOME_UNKNOWN if what in UNKNOWN else Outcome.CANCELLED
    assert _told(done) == (State.CANCELLED, unknown)
    assert [step for step in harness.probe.steps() if step != "w"] == ["last"]


@pytest.mark.rule(27)
@pytest.mark.parametrize("what", STEPS)
async def test_an_execution_that_takes_too_long_ends_so_after_steps_that_wait(harness: Harness, what: str) -> None:
    on_error = [{**_NAP, "id": "later", "with": {"for": "30s"}}, act("told", "$.error.code")]
    hang = _interrupted_flow(harness, what, timeout="1m", on_error=on_error)
    async with harness.engine() as engine:
        execution_id = await _begun(harness, engine, hang)
        harness.clock.advance(61)
        await _waits_in_finally(harness, engine, execution_id)
        harness.clock.advance(601)
        # Time must not pass its own limit before it waits.
        await _reached(harness, engine, execution_id, "on_error/later")
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(31)
        done = await harness.until(engine, execution_id)
    assert _told(done) == (State.FAILED, Outcome.TIMED_OUT)
    assert done.error is not None
    assert done.error.code == "flow.timed_out"
    assert [step for step in harness.probe.steps() if step != "w"] == ["last", "told"]
    assert harness.probe.calls[-1][3] == "flow.timed_out"


@pytest.mark.rule(27)
async def test_a_handled_doubt_from_before_a_cancellation_is_not_its_outcome(harness: Harness) -> None:
    lost, hang = Hang(), Hang()
    harness.probe.does.update(w=lost, after=hang)
    harness.flow("f", [{**_ONCE, "on_error": "continue"}, act("after")])
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await lost.reached.wait()
    async with harness.engine() as engine:
        await hang.reached.wait()
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert _told(await harness.until(engine, execution_id)) == (State.CANCELLED, Outcome.CANCELLED)


@pytest.mark.rule(27)
@pytest.mark.parametrize("what", sorted(UNKNOWN))
async def test_an_execution_that_is_cancelled_while_the_engine_dies_ends_as_cancelled(
    harness: Harness, what: str
) -> None:
    hang = _interrupted_flow(harness, what)
    async with harness.engine(grace=0) as engine:
        execution_id = await _begun(harness, engine, hang)
        # This engine ends before it hears of it.
        await engine.store.commit([Cancel(execution_id, harness.clock.now())])
    async with harness.engine() as engine:
        await _waits_in_finally(harness, engine, execution_id)
        harness.clock.advance(601)
        assert _told(await harness.until(engine, execution_id)) == (State.CANCELLED, Outcome.OUTCOME_UNKNOWN)
    assert harness.probe.steps() == ["w", "last"]


async def test_what_waits_after_the_time_limit_is_not_delivered_until_it_is_due(harness: Harness) -> None:
    _interrupted_flow(harness, "sleep", timeout="1m")
    async with harness.engine() as engine:
        execution_id = await _begun(harness, engine, None)
        harness.clock.advance(61)
        await _waits_in_finally(harness, engine, execution_id)
        for _ in range(5):
            parked = await harness.until(engine, execution_id, State.WAITING)
            assert parked.ready_at is not None
            assert parked.ready_at > harness.clock.now()
            await asyncio.sleep(0.01)


async def test_a_time_limit_that_was_over_before_the_cancellation_decides_how_the_execution_ends(
    harness: Harness,
) -> None:
    _interrupted_flow(harness, "sleep", timeout="1m", on_error=[{**LONGER, "id": "later"}, act("told")])
    async with harness.engine() as engine:
        execution_id = await _begun(harness, engine, None)
        harness.clock.advance(61)
        await _waits_in_finally(harness, engine, execution_id)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.advance_until(engine, execution_id, seconds=60)
    assert _told(done) == (State.FAILED, Outcome.TIMED_OUT)
    assert harness.probe.steps() == ["last"]


@pytest.mark.rule(27)
@pytest.mark.parametrize("waits", ["webhook", "flow"])
async def test_branches_that_wait_end_although_the_other_one_noticed_no_cancellation(
    harness: Harness, waits: str
) -> None:
    """The other branch sleeps so briefly that it isn't interrupted."""
    step = {"id": "w", "use": "webhook"} if waits == "webhook" else {"id": "w", "use": "flow", "with": {"id": "child"}}
    nap = {"id": "nap", "use": "sleep", "with": {"for": "900ms"}}
    guarded = {"id": "t", "try": [step], "finally": [act("last")]}
    harness.flow("f", [{"id": "p", "parallel": {"a": [guarded], "b": [nap]}}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        async with asyncio.timeout(30):
            while await engine.store.waits(execution_id) != ("p/t/w",):  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.advance_until(engine, execution_id, seconds=1)
        assert _told(done) == (State.CANCELLED, Outcome.CANCELLED)
        assert harness.probe.steps() == ["last"]
        if waits == "flow":
            children = (await engine.store.executions(ExecutionFilter(flow_id="child"))).items
            assert [await _ended(harness, engine, one.execution.id) for one in children] == [State.CANCELLED]


async def _ended(harness: Harness, engine: Engine, execution_id: str) -> State:
    return (await harness.until(engine, execution_id)).state


WRONG: dict[str, dict[str, Any]] = {
    "webhook": {
        "id": "w",
        "use": "webhook",
        "with": {"verify": "none", "correlate": {"from": "$.body.id", "key": "{{ none }}"}},
    },
    "flow": {"id": "w", "use": "flow", "with": {"id": "child", "body": "{{ body.missing.more }}"}},
    "batch": {"id": "w", "use": "batch", "with": {"within": "5m", "body": "{{ body.missing.more }}"}},
}
"""Steps whose own expressions fail before they begin."""


@pytest.mark.rule(27)
@pytest.mark.parametrize("what", WRONG)
async def test_a_failure_before_a_step_began_outlives_a_later_cancellation(harness: Harness, what: str) -> None:
    harness.flow("f", [WRONG[what]], on_error=[LONGER, act("told")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.advance_until(engine, execution_id, seconds=60)
    assert _told(done) == (State.FAILED, Outcome.FAILED)
    assert harness.probe.steps() == []


@pytest.mark.rule(21)
@pytest.mark.parametrize("what", WRONG)
async def test_a_failure_before_a_step_began_is_continued_after(harness: Harness, what: str) -> None:
    harness.flow("f", [{**WRONG[what], "on_error": "continue"}, act("after", "$.steps.w.error.step")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert _told(await harness.until(engine, execution_id)) == (State.SUCCEEDED, Outcome.COMPLETED)
    assert [(step, value) for step, _, _, value in harness.probe.calls] == [("after", "w")]


async def test_a_failure_whose_on_error_waits_can_be_retried_after_it_was_cancelled(harness: Harness) -> None:
    """The failure came first, and decides how the execution ends; the cancellation ends with it."""
    harness.probe.does.update(bad=fails(1, retryable=False))
    harness.flow("f", [act("bad"), act("after")], on_error=[LONGER])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert _told(await harness.until(engine, execution_id)) == (State.FAILED, Outcome.FAILED)
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert _told(await harness.until(engine, execution_id, State.SUCCEEDED, State.CANCELLED)) == (
            State.SUCCEEDED,
            Outcome.COMPLETED,
        )
    assert harness.probe.steps() == ["bad", "bad", "after"]


async def _nap(_: Any) -> Sleep:
    return Sleep(300)


@pytest.mark.rule(27)
@pytest.mark.parametrize(
    ("does", "settings"),
    [(fails(1), {"retry": {"attempts": 2, "wait": "5m"}}), (_nap, {}), (None, {"rate": "1/h"})],
    ids=["retry", "sleep", "rate"],
)
async def test_a_step_that_is_about_to_wait_when_its_execution_is_cancelled_does_not_wait_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, does: Callable[[Any], Any] | None, settings: dict[str, Any]
) -> None:
    """Making a large journal entry takes time, in which the execution can be cancelled."""
    record = StepRun._record

    async def cancel_first(self: StepRun, attempt: Any, state: StepState, **entry: Any) -> Any:
        if state is StepState.WAITING:
            await engine.operations.cancel(self.run.id, by=SYSTEM)
        return await record(self, attempt, state, **entry)

    monkeypatch.setattr(StepRun, "_record", cancel_first)
    if does is not None:
        harness.probe.does["w"] = does
    harness.flow("f", [act("w", **settings), act("after")])
    async with harness.engine() as engine:
        if "rate" in settings:
            await harness.until(engine, await harness.send(engine, "f", {}))
            harness.probe.calls.clear()
        execution_id = await harness.send(engine, "f", {})
        done = await harness.until(engine, execution_id)
    assert _told(done) == (State.CANCELLED, Outcome.CANCELLED)
    assert "after" not in harness.probe.steps()


@pytest.mark.rule(27)
async def test_a_step_that_is_about_to_be_blocked_when_its_execution_is_cancelled_does_not_wait_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancel_first(self: StepRun) -> timedelta:
        await engine.operations.cancel(self.run.id, by=SYSTEM)
        return timedelta(0)

    harness.flow("f", [act("w", credential="missing")])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "f", {}), State.WAITING)
        monkeypatch.setattr(StepRun, "_take_turn", cancel_first)
        done = await harness.until(engine, await harness.send(engine, "f", {}))
    assert _told(done) == (State.CANCELLED, Outcome.CANCELLED)


@pytest.mark.rule(27)
async def test_a_cancellation_is_carried_out_although_nobody_can_read_its_result(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = harness.probe.does["w"] = Hang()
    harness.flow("f", [act("w")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await hang.reached.wait()
        read, reads = engine.store.execution, 0

        async def read_once(id_: str) -> Execution | None:
            nonlocal reads
            reads += 1
            if reads == 2:
                raise StoreError("away")
            return await read(id_)

        monkeypatch.setattr(engine.store, "execution", read_once)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert _told(await harness.until(engine, execution_id)) == (State.CANCELLED, Outcome.CANCELLED)
    assert reads > 2


@pytest.mark.rule(27)
async def test_items_that_wait_end_when_a_cancellation_comes_after_the_last_of_them(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = _Items._all

    async def cancel_last(self: _Items) -> Any:
        left = await every(self)
        if not cancelled.is_set():
            cancelled.set()
            await engine.operations.cancel(self._run.id, by=SYSTEM)
        return left

    cancelled = asyncio.Event()
    monkeypatch.setattr(_Items, "_all", cancel_last)
    guarded = {"id": "t", "try": [{"id": "w", "use": "webhook"}], "finally": [act("last")]}
    harness.flow("f", [each(guarded)])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", [1, 2]))
    assert _told(done) == (State.CANCELLED, Outcome.CANCELLED)
    assert harness.probe.steps() == ["last", "last"]


CAUSES = ["time limit", "cancellation"]
INSIDE: list[dict[str, Any]] = [_NAP, act("later")]
PLACES: dict[str, tuple[bool, str, dict[str, Any]]] = {
    "steps": (True, "w", {"steps": INSIDE}),
    "catch": (True, "t/w", {"steps": [{"id": "t", "try": [act("bad")], "catch": INSIDE}]}),
    "finally": (False, "t/w", {"steps": [{"id": "t", "try": [act("good")], "finally": INSIDE}]}),
    "on_error": (True, "on_error/w", {"steps": [act("bad")], "on_error": INSIDE}),
    "finally in on_error": (
        False,
        "on_error/t/w",
        {"steps": [act("bad")], "on_error": [{"id": "t", "try": [act("good")], "finally": INSIDE}]},
    ),
}
"""Where steps are: whether they end early, the path of the first one, and the flow."""


async def _interrupt(harness: Harness, engine: Engine, execution_id: str, cause: str) -> None:
    if cause == "time limit":
        harness.clock.advance(45)
    else:
        await engine.operations.cancel(execution_id, by=SYSTEM)


async def _reached(harness: Harness, engine: Engine, execution_id: str, path: str) -> None:
    async with asyncio.timeout(30):
        while path not in await harness.journal(engine, execution_id):  # noqa: ASYNC110 - it is several tasks away
            await asyncio.sleep(0.002)


@pytest.mark.rule(27)
@pytest.mark.parametrize("stopped", [False, True], ids=["", "after a stop"])
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("place", PLACES)
async def test_a_time_limit_or_a_cancellation_ends_steps_except_those_of_finally(
    harness: Harness, place: str, cause: str, *, stopped: bool
) -> None:
    ends, path, flow = PLACES[place]
    harness.probe.does.update(bad=fails(1, retryable=False))
    harness.flow("f", **flow, timeout="1m")
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {})
        await _reached(harness, engine, execution_id, path)
        await harness.until(engine, execution_id, State.WAITING)
        if not stopped:
            harness.clock.advance(30)
            await _interrupt(harness, engine, execution_id, cause)
            await _ends(harness, engine, execution_id, early=ends)
    if stopped:
        harness.clock.advance(30)
        async with harness.engine() as engine:
            await _interrupt(harness, engine, execution_id, cause)
            await _ends(harness, engine, execution_id, early=ends)


async def _ends(harness: Harness, engine: Engine, execution_id: str, *, early: bool) -> None:
    if not early:
        harness.clock.advance(300)
        await harness.until(engine, execution_id)
    done = await harness.until(engine, execution_id)
    assert ("later" in harness.probe.steps()) is not early
    if "bad" in harness.probe.steps() and done.error is not None and done.outcome is Outcome.FAILED:
        assert done.error.code == "probe.away"


@pytest.mark.rule(27)
@pytest.mark.parametrize("stopped", [False, True], ids=["", "after a stop"])
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("what", sorted(STEPS.keys() - {"batch"}))  # there is no batch in `on_error`
async def test_on_error_steps_of_each_kind_end_by_their_time_limit_or_a_cancellation(
    harness: Harness, what: str, cause: str, *, stopped: bool
) -> None:
    hang = Hang() if what in UNKNOWN else None
    harness.probe.does.update(bad=fails(1, retryable=False), w=hang or fails(1))
    harness.flow("f", [act("bad")], timeout="1m", on_error=[STEPS[what][1], act("later")])
    async with harness.engine(grace=0) as engine:
        execution_id = await _begun(harness, engine, hang)
        harness.clock.advance(30)
        if not stopped:
            await _interrupt(harness, engine, execution_id, cause)
            done = await harness.until(engine, execution_id)
    if stopped:
        async with harness.engine() as engine:
            if what not in UNKNOWN:
                await _interrupt(harness, engine, execution_id, cause)
            done = await harness.until(engine, execution_id)
            children = (await engine.store.executions(ExecutionFilter(flow_id="child"))).items
            assert [await _ended(harness, engine, one.execution.id) for one in children] in ([], [State.CANCELLED])
    assert _told(done) == (State.FAILED, Outcome.FAILED)
    assert done.error is not None
    assert done.error.code == "probe.away"
    if not (stopped and what == "at most once, whose failure is handled"):
        assert "later" not in harness.probe.steps()
