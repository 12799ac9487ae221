"""An engine that stops loses nothing and waits for nobody too long."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, act, each
from tests.integration.store_trouble import Trouble, holds

from hookline.engine import Engine
from hookline.kernel.errors import ServiceUnavailable, StoreAway
from hookline.model.execution import Outcome, State, StepState
from hookline.storage.change_declarations import Accept, BeginWait, Change, CommitResult, End, RecordSteps


@pytest.mark.promise(8)
async def test_a_stop_drains_what_runs_and_takes_nothing_more(harness: Harness) -> None:
    harness.flow("f", [act("slow"), act("next")])
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(value: Any) -> Any:
        reached.set()
        await go.wait()
        return value

    harness.probe.does["slow"] = slow
    engine = harness.engine(grace=10)
    await engine.start()
    execution_id = await harness.send(engine, "f", 1)
    await reached.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    assert not engine.ready
    with pytest.raises(ServiceUnavailable):
        engine.intake.flow("f")
    go.set()
    await stopping
    async with harness.engine() as engine:
        execution = await engine.store.execution(execution_id)
        assert execution is not None
        assert execution.state is State.SUCCEEDED
    assert harness.probe.steps() == ["slow", "next"]


async def test_an_action_that_ignores_being_cut_off_doesnt_keep_the_engine_from_stopping(harness: Harness) -> None:
    harness.flow("f", [act("one"), act("two")])
    reached = asyncio.Event()

    async def stubborn(value: Any) -> Any:
        reached.set()
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        return value

    harness.probe.does["one"] = stubborn
    engine = harness.engine(grace=0)
    await engine.start()
    await harness.send(engine, "f", 1)
    await reached.wait()
    async with asyncio.timeout(30):
        await engine.stop()


async def test_a_stop_that_is_cut_short_keeps_what_was_done(harness: Harness) -> None:
    """A second signal: at once, and no worse than the end of the grace period."""
    harness.flow("f", [each(act("one", "$.item"), act("two", "$.item"), concurrency=2)])
    both, hang = asyncio.Event(), asyncio.Event()

    async def wait(value: Any) -> Any:
        if len(harness.probe.steps()) == 4:
            both.set()
        await hang.wait()

    harness.probe.does["two"] = wait
    engine = harness.engine(grace=600)
    await engine.start()
    execution_id = await harness.send(engine, "f", [1, 2])
    await both.wait()
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    stopping.cancel()
    await asyncio.wait((stopping,), timeout=20)
    assert stopping.cancelled()
    del harness.probe.does["two"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert sorted(harness.probe.steps()) == ["one"] * 2 + ["two"] * 4


async def test_leaving_an_engine_by_cancellation_waits_for_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    hang = harness.probe.does["one"] = Hang()

    async def serve() -> None:
        async with harness.engine(grace=600) as engine:
            await harness.send(engine, "f", 1)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await hang.reached.wait()
    serving.cancel()
    await asyncio.wait((serving,), timeout=20)
    assert serving.cancelled()


async def test_what_was_done_while_the_store_failed_is_kept_by_a_stop_if_it_can_be(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(End))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        trouble.rejects = holds(End)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


async def test_a_stop_while_the_store_fails_ends(harness: Harness) -> None:
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "one", "two"]


async def test_what_runs_when_the_database_goes_away_during_the_start_runs_once_after_the_next(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one")])
    reached, go, going, most = asyncio.Event(), asyncio.Event(), 0, 0

    async def one(value: Any) -> Any:
        nonlocal going, most
        going += 1
        most = max(most, going)
        reached.set()
        try:
            await go.wait()
        finally:
            going -= 1
        return value

    harness.probe.does["one"] = one
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await reached.wait()
    reached.clear()
    engine = harness.engine(grace=0)

    async def away() -> None:
        await reached.wait()
        raise StoreAway("the database has gone away")

    with monkeypatch.context() as patched:
        patched.setattr(engine.intake.limits, "refresh", away)
        with pytest.raises(StoreAway):
            await engine.start()
    reached.clear()
    async with engine:
        await reached.wait()
        go.set()
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert most == 1


class HeldCommit:
    """The first commit that matches: it is held until the engine cuts its executions off, and then fails or not."""

    def __init__(
        self,
        engine: Engine,
        monkeypatch: pytest.MonkeyPatch,
        matches: Callable[[Sequence[Change]], bool],
        *,
        fails: bool,
    ) -> None:
        self.reached, cut = asyncio.Event(), asyncio.Event()
        commit, cut_off = engine.store.commit, engine._dispatcher._cut_off

        async def after_the_cut(changes: Sequence[Change]) -> Sequence[CommitResult]:
            await cut.wait()
            if fails:
                raise StoreAway("the disk is full")
            return await commit(changes)

        async def held(changes: Sequence[Change]) -> Sequence[CommitResult]:
            if self.reached.is_set() or not matches(changes):
                return await commit(changes)
            self.reached.set()
            # A store carries on with a commit although its caller was cancelled.
            self.going = asyncio.create_task(after_the_cut(changes))
            return await asyncio.shield(self.going)

        async def cut_off_and_go_on() -> int:
            cutting = asyncio.create_task(cut_off())
            for _ in range(5):
                await asyncio.sleep(0)
            cut.set()
            return await cutting

        monkeypatch.setattr(engine.store, "commit", held)
        monkeypatch.setattr(engine._dispatcher, "_cut_off", cut_off_and_go_on)


AFTER_A_RESULT: dict[str, tuple[type, list[dict[str, Any]]]] = {
    "next step": (RecordSteps, [act("two")]),
    "wait": (BeginWait, [{"id": "w", "use": "webhook"}]),
    "called flow": (Accept, [{"id": "call", "use": "flow", "with": {"id": "child", "wait": False}}]),
    "end": (End, []),
}
"""What is committed together with the result of a step."""


@pytest.mark.promise(2)
@pytest.mark.promise(8)
@pytest.mark.parametrize("what", AFTER_A_RESULT)
async def test_a_result_whose_commit_fails_during_a_stop_is_committed_once_more(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    kind, steps = AFTER_A_RESULT[what]
    harness.flow("child", [act("inner")])
    harness.flow("f", [act("one"), *steps])

    def matches(changes: Sequence[Change]) -> bool:
        return any(isinstance(one, kind) for one in changes) and any(isinstance(one, RecordSteps) for one in changes)

    async with harness.engine(grace=0) as engine:
        held = HeldCommit(engine, monkeypatch, matches, fails=True)
        execution_id = await harness.send(engine, "f", 1)
        await held.reached.wait()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id, State.SUCCEEDED, State.WAITING)).error is None
    assert harness.probe.steps().count("one") == 1


def _starts(changes: Sequence[Change]) -> bool:
    steps = [step for change in changes if isinstance(change, RecordSteps) for step in change.steps]
    return any(step.state is StepState.STARTED for step in steps)


PAY: dict[str, Any] = act("pay", delivery="at_most_once")
AROUND: dict[str, dict[str, Any]] = {
    "step": PAY,
    "item": {"id": "each", "foreach": [1], "steps": [PAY]},
    "branch": {"id": "p", "parallel": {"a": [PAY], "b": [act("other")]}},
    "catch": {"id": "t", "try": [{"id": "no", "use": "fail", "with": {"message": "no"}}], "catch": [PAY]},
    "finally": {"id": "t", "try": [act("other")], "finally": [PAY]},
}


@pytest.mark.rule(23)
@pytest.mark.parametrize("fails", [True, False], ids=["the commit fails", "the commit takes place"])
@pytest.mark.parametrize("where", AROUND)
async def test_an_at_most_once_step_that_was_stopped_before_its_call_runs_at_the_next_start(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, where: str, *, fails: bool
) -> None:
    harness.flow("f", [AROUND[where]])
    async with harness.engine(grace=0) as engine:
        held = HeldCommit(engine, monkeypatch, _starts, fails=fails)
        execution_id = await harness.send(engine, "f", {})
        await held.reached.wait()
    assert "pay" not in harness.probe.steps()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert harness.probe.steps().count("pay") == 1


@pytest.mark.rule(23)
async def test_an_at_most_once_step_whose_lease_was_in_doubt_before_its_call_runs_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [PAY])
    async with harness.engine() as engine:
        membership, commit, lost = engine.membership, engine.store.commit, []

        async def committed(changes: Sequence[Change]) -> Sequence[CommitResult]:
            results = await commit(changes)
            if not lost and _starts(changes):
                lost.append(True)
                monkeypatch.setattr(type(membership), "held", property(lambda _: False))
            return results

        monkeypatch.setattr(engine.store, "commit", committed)
        execution_id = await harness.send(engine, "f", {})
        async with asyncio.timeout(30):
            while not lost:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
            while not any(entry.signal for entry in await engine.store.journal(execution_id)):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.002)
        monkeypatch.setattr(type(membership), "held", property(lambda _: True))
        done = await harness.advance_until(engine, execution_id)
        assert done.outcome is Outcome.COMPLETED
    assert harness.probe.steps() == ["pay"]
