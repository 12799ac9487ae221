"""Moving executions to other versions of their flows: which journals fit, and what becomes of what doesn't."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, each, fails

from hookline.engine import Engine
from hookline.kernel.errors import FlowNotFound, IllegalStateChange, JournalIncompatible
from hookline.model.access import SYSTEM
from hookline.model.execution import Execution, State, StepState

Step = Mapping[str, Any]

HOLD: Step = {"id": "hold", "use": "webhook"}


def gives(step_id: str, body: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "map", "with": {"body": body}}


async def waiting(harness: Harness, engine: Engine, body: Any = 1) -> str:
    """An execution of `f` that waits."""
    execution_id = await harness.send(engine, "f", body)
    await harness.until(engine, execution_id, State.WAITING)
    return execution_id


async def move(harness: Harness, engine: Engine, execution_id: str, steps: Sequence[Step], **settings: Any) -> None:
    """Deploy other steps, and move an execution to them."""
    harness.flow("f", steps, **settings)
    await engine.version_switch.refresh()
    await engine.migration.migrate(execution_id, "current", by=SYSTEM)


async def bound(engine: Engine, execution_id: str) -> str | None:
    execution = await engine.store.execution(execution_id)
    assert execution is not None
    return execution.flow_version


def current(engine: Engine) -> str:
    return engine.version_resolver.current("f").version


async def test_what_fits_goes_on_in_the_new_version_and_does_nothing_again(harness: Harness) -> None:
    harness.flow("f", [act("done"), HOLD, gives("v", "old")])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        old = await bound(engine, execution_id)
        await move(
            harness,
            engine,
            execution_id,
            [gives("pure", "$.body"), act("done", "another value"), HOLD, gives("v", "$.vars.to"), act("last")],
            vars={"to": "new"},
        )
        assert (await bound(engine, execution_id)) == current(engine) != old
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.resume(execution_id, "hold", b'"came"', by=SYSTEM)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert [(step, value) for step, _, _, value in harness.probe.calls] == [("done", 1), ("last", "new")]


async def test_it_stays_moved_over_a_restart(harness: Harness) -> None:
    harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"}), gives("v", "old")])
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        await move(harness, engine, execution_id, [act("wait", retry={"attempts": 2, "wait": "1m"}), gives("v", "new")])
    harness.flow("f", [act("other")])
    async with harness.engine() as engine:
        await harness.advance_until(engine, execution_id)
        entry = (await harness.journal(engine, execution_id))["v"]
        assert json.loads(entry.output or b"")["body"] == "new"
    # The second attempt came when it was due.
    assert harness.probe.steps() == ["wait", "wait"]


UNFIT: dict[str, tuple[Sequence[Step], str, str]] = {
    "gone": ([HOLD], "done", "no such step there"),
    "renamed": ([act("did"), HOLD], "done", "no such step there"),
    "another action": ([{**act("done"), "use": "log", "with": {"message": "x"}}, HOLD], "done", "it is log there"),
    "something else first": ([act("first"), act("done"), HOLD], "done", "comes to 'first' before it"),
    "behind what waits": ([HOLD, act("done")], "done", "comes to 'hold' before it"),
    "not come to": ([act("done", when=False), HOLD], "done", "skips 'done': its `when` is false"),
    "fails before": ([gives("bad", "$.body.nothing.there"), act("done"), HOLD], "done", "at 'bad'"),
    "in a block": ([each(act("done"), foreach=[1]), HOLD], "done", "no such step there"),
    "what waits is gone": ([act("done"), act("last")], "hold", "no such step there"),
    "what waits is an action": ([act("done"), act("hold")], "hold", "it is probe.act there, and was webhook"),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_what_does_not_fit_stays_and_says_which_step_and_why(harness: Harness, case: str) -> None:
    steps, at, why = UNFIT[case]
    harness.flow("f", [act("done"), HOLD])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        old = await bound(engine, execution_id)
        with pytest.raises(JournalIncompatible, match=why) as rejected:
            await move(harness, engine, execution_id, steps)
        assert f"step '{at}'" in rejected.value.message
        assert current(engine) in rejected.value.message
        assert await bound(engine, execution_id) == old
        await engine.operations.resume(execution_id, "hold", b"null", by=SYSTEM)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["done"]


FITS: dict[str, tuple[Sequence[Step], Sequence[Step], Sequence[str]]] = {
    "what is pure may be another": ([gives("m", 1), HOLD], [gives("n", 2), HOLD], ["hold"]),
    "what is pure becomes pure in another way": (
        [gives("m", 1), HOLD],
        [{"id": "m", "use": "filter", "with": {"keep": True}}, HOLD],
        ["hold"],
    ),
    "a choice that was made otherwise, where nothing was done": (
        [{"id": "s", "switch": [{"when": True, "steps": [gives("m", 1)]}]}, HOLD],
        [{"id": "s", "switch": [{"when": False, "steps": [act("a")]}]}, HOLD],
        ["hold"],
    ),
    "branches": (
        [{"id": "p", "parallel": {"x": [act("a"), HOLD], "y": [act("b")]}}],
        [{"id": "p", "parallel": {"y": [act("b"), act("c")], "x": [act("a"), HOLD]}}],
        ["p/c", "p/hold"],
    ),
    "items": (
        [each(act("a"), HOLD, foreach=[1, 2])],
        [each(act("a"), gives("m", 1), HOLD, foreach=[1, 2, 3])],
        ["each[0]/hold", "each[1]/hold", "each[2]/a"],
    ),
    "what was caught": (
        [{"id": "t", "try": [{"id": "f", "use": "fail", "with": {"message": "x"}}], "catch": [act("a"), HOLD]}],
        [
            {"id": "t", "try": [{"id": "f", "use": "fail", "with": {"message": "x"}}], "catch": [act("a"), HOLD]},
            act("z"),
        ],
        ["t/hold"],
    ),
}


@pytest.mark.parametrize("case", FITS)
async def test_what_fits_says_where_it_goes_on(harness: Harness, case: str) -> None:
    before, after, lands = FITS[case]
    harness.flow("f", before)
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        called = list(harness.probe.calls)
        harness.flow("f", after)
        await engine.version_switch.refresh()
        landings, following = await engine.migration.plan(engine.version_resolver.current("f"))
        assert following is None
        (landing,) = landings
        assert (landing.execution.id, landing.compatibility.reason, sorted(landing.compatibility.stops)) == (
            execution_id,
            None,
            lands,
        )
        # Nothing was done to see that, and nothing written.
        assert harness.probe.calls == called
        assert (await engine.store.execution(execution_id)) == landing.execution


async def test_what_has_failed_need_not_be_there_and_what_takes_its_place_runs_at_once(harness: Harness) -> None:
    harness.flow("f", [act("done"), act("wrong", retry={"attempts": 9, "wait": "1h"})])
    harness.probe.does["wrong"] = fails(9)
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        await move(harness, engine, execution_id, [act("done"), act("right")])
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["done", "wrong", "right"]


async def test_a_step_that_waits_is_skipped_if_its_condition_is_false_there(harness: Harness) -> None:
    harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"})])
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        await move(harness, engine, execution_id, [act("wait", when=False), act("last")])
        await harness.advance_until(engine, execution_id)
        assert (await harness.journal(engine, execution_id))["wait"].state is StepState.SKIPPED
    assert harness.probe.steps() == ["wait", "last"]


async def test_only_what_waits_and_has_begun_is_moved(harness: Harness) -> None:
    harness.flow("f", [act("a"), HOLD])
    async with harness.engine() as engine:
        ended = await waiting(harness, engine)
        await engine.operations.resume(ended, "hold", b"1", by=SYSTEM)
        await harness.until(engine, ended)
        await engine.version_switch.set_state("f", "paused", by=SYSTEM)
        queued = await harness.send(engine, "f", 1)
        for execution_id in (ended, queued):
            with pytest.raises(IllegalStateChange, match="can be moved"):
                await engine.migration.migrate(execution_id, "current", by=SYSTEM)
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        await harness.until(engine, queued, State.WAITING)
        with pytest.raises(FlowNotFound):
            await engine.migration.migrate(queued, "abcd", by=SYSTEM)


async def test_a_version_is_named_by_its_first_digits_and_going_back_is_a_move_too(harness: Harness) -> None:
    harness.flow("f", [act("a"), HOLD])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        old = current(engine)
        await move(harness, engine, execution_id, [act("a"), HOLD, act("b")])
        assert await bound(engine, execution_id) == current(engine) != old
        await harness.until(engine, execution_id, State.WAITING)
        await engine.migration.migrate(execution_id, old[:6], by=SYSTEM)
        assert await bound(engine, execution_id) == old


async def test_what_is_blocked_in_its_version_goes_on_in_another(harness: Harness) -> None:
    secret = {"id": "s", "use": "probe.secret", "with": {"password": "x"}, "credential": "missing"}
    harness.flow("f", [act("a"), secret])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine)
        harness.flow("f", [act("a"), act("b")])
        await engine.version_switch.refresh()
        # The deploy lets what is blocked try again, and for that moment it can't be moved.
        async with asyncio.timeout(30):
            while True:
                await harness.until(engine, execution_id, State.WAITING)
                try:
                    await engine.migration.migrate(execution_id, "current", by=SYSTEM)
                except IllegalStateChange:
                    continue
                break
        # The deploy lets it try again on its own version, too: what comes second is delivered again later.
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED


async def retried(harness: Harness, steps: Sequence[Step], later: Sequence[Step]) -> tuple[Execution, list[str], bool]:
    """An execution that failed, and was retried after a deploy: how it ended, what was called, and whether it moved."""
    harness.flow("f", steps)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.FAILED
        harness.flow("f", later)
        await engine.version_switch.refresh()
        await engine.operations.retry(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id, State.SUCCEEDED, State.FAILED)
        ended = await harness.until(engine, execution_id)
        return ended, harness.probe.steps(), ended.flow_version == current(engine)


@pytest.mark.rule(32)
async def test_a_retry_goes_on_in_the_newest_version_where_the_journal_fits(harness: Harness) -> None:
    harness.probe.does["wrong"] = fails(9, retryable=False)
    ended, calls, moved = await retried(harness, [act("done"), act("wrong")], [act("done"), act("right")])
    assert (ended.state, ended.attempt, moved) == (State.SUCCEEDED, 2, True)
    assert calls == ["done", "wrong", "right"]


@pytest.mark.rule(32)
async def test_a_retry_stays_on_its_version_where_the_journal_does_not_fit(harness: Harness) -> None:
    harness.probe.does["wrong"] = fails(1, retryable=False)
    ended, calls, moved = await retried(harness, [act("done"), act("wrong")], [act("first"), act("done")])
    assert (ended.state, ended.attempt, moved) == (State.SUCCEEDED, 2, False)
    assert calls == ["done", "wrong", "wrong"]


async def test_what_ran_at_last_stands_in_no_retrys_way(harness: Harness) -> None:
    """`finally` and `on_error` have run because of the failure."""
    harness.probe.does["wrong"] = fails(1, retryable=False)
    block = {"id": "t", "try": [act("wrong")], "finally": [act("close")]}
    ended, calls, moved = await retried(harness, [act("done"), block], [act("done"), block, act("more")])
    assert (ended.state, moved) == (State.SUCCEEDED, True)
    assert calls == ["done", "wrong", "close", "wrong", "more"]


async def test_a_foreach_with_many_items_fits_only_as_many(harness: Harness) -> None:
    many = list(range(1200))
    calls = {"id": "e", "foreach": "$.body", "collect": "count", "steps": [act("a", "$.item")]}
    harness.flow("f", [calls, HOLD])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine, many)
        with pytest.raises(JournalIncompatible, match="would go through 1000 items, and went through 1200"):
            await move(harness, engine, execution_id, [{**calls, "foreach": "{{ body[:1000] }}"}, HOLD])
        await move(harness, engine, execution_id, [{**calls, "concurrency": 2}, HOLD, act("b")])
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.resume(execution_id, "hold", b"1", by=SYSTEM)
        await harness.until(engine, execution_id)
    assert len(harness.probe.calls) == len(many) + 1


@pytest.mark.parametrize("items", [[], [1, 2]])
async def test_a_foreach_of_no_items_or_of_failed_ones_fits(harness: Harness, items: list[int]) -> None:
    """It has no entries of finished items, as a foreach with many items has none, but it isn't one of those."""
    harness.probe.does["a"] = fails(9, retryable=False)
    calls = {"id": "e", "foreach": "$.body", "on_error": "continue", "steps": [act("a", "$.item")]}
    harness.flow("f", [calls, HOLD])
    async with harness.engine() as engine:
        execution_id = await waiting(harness, engine, items)
        await move(harness, engine, execution_id, [calls, HOLD, act("b")])
        assert await bound(engine, execution_id) == current(engine)
