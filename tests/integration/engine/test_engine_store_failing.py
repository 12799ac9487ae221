"""The engine while its store fails: nothing is lost, and nothing is done twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog
from tests.integration.engine_harness import Harness, act, each, fails
from tests.integration.store_trouble import Trouble, holds

from hookline.intake import intake
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import ServiceUnavailable, StoreError
from hookline.model.execution import State, StepState
from hookline.storage.change_declarations import Change, End, Publish, RecordSteps, Start


async def test_why_a_message_cant_be_stored_is_in_the_log_and_not_in_the_answer(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:

        async def put(_envelope: object, **_: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(engine.intake._queue, "put", put)
        with structlog.testing.capture_logs() as logs, pytest.raises(ServiceUnavailable) as raised:
            await harness.send(engine, "f", 1)
    assert "disk" not in raised.value.message
    assert {
        "event": "the store can't be used",
        "log_level": "error",
        "flow_id": "f",
        "error": "the disk is full",
    } in logs


@pytest.mark.promise(2)
async def test_a_finished_action_is_not_repeated_while_the_store_cant_be_written(harness: Harness) -> None:
    """A full disk must not send the same mail every few seconds."""
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        for count in (2, 3):
            harness.clock.advance(60)
            await trouble.until_rejected(count)
        assert harness.probe.steps() == ["one"]
        trouble.rejects = holds()
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "two"]


async def test_an_end_that_cant_be_stored_is_stored_later_and_repeats_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(End))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        harness.clock.advance(60)
        await trouble.until_rejected(2)
        trouble.rejects = holds()
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


async def test_the_failure_of_an_execution_is_logged_once_when_it_is_stored(harness: Harness) -> None:
    harness.probe.does = fails(1)
    harness.flow("f", [act("one")])
    with structlog.testing.capture_logs() as logs:
        async with harness.engine() as engine:
            trouble = Trouble(engine, holds(End))
            execution_id = await harness.send(engine, "f", 1)
            await trouble.until_rejected()
            assert [one for one in logs if one["event"] == "execution failed"] == []
            trouble.rejects = holds()
            assert (await harness.advance_until(engine, execution_id)).state is State.FAILED
    assert [one["step"] for one in logs if one["event"] == "execution failed"] == ["one"]


async def test_a_store_that_fails_under_items_side_by_side_fails_no_execution(harness: Harness) -> None:
    harness.flow("f", [each(act("one", "$.item"), act("two", "$.item"), concurrency=3)])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(RecordSteps))
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await trouble.until_rejected()
        trouble.rejects = holds()
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert sorted(harness.probe.steps()) == ["one"] * 3 + ["two"] * 3


async def test_a_journal_that_cant_be_read_under_items_side_by_side_is_read_again(harness: Harness) -> None:
    """An error of the store inside a group of tasks is an error of the store."""
    harness.flow("f", [each(act("one", "$.item"), concurrency=2)])
    once = fails(1)

    async def full(value: Any) -> Any:
        try:
            await once(value)
        except Exception as error:
            raise StoreError("the disk is full") from error
        return value

    harness.probe.does["one"] = full
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        execution = await harness.advance_until(engine, execution_id)
        record = (await harness.journal(engine, execution_id))["each[0]/one"]
    assert execution.state is State.SUCCEEDED
    assert record.attempt == 1, "a blob store that fails is no failure of the step"


@pytest.mark.promise(2)
async def test_a_store_that_cant_be_read_in_one_branch_repeats_no_finished_step_of_another(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = {"id": "hold", "use": "webhook", "with": {"timeout": "5m"}}
    harness.flow("f", [{"id": "both", "parallel": {"a": [act("one")], "b": [hold]}}])
    async with harness.engine() as engine:
        trouble, reads = Trouble(engine, holds()), asyncio.Event()

        async def one(value: Any) -> Any:
            await reads.wait()
            trouble.rejects = holds(RecordSteps)
            return value

        async def unreadable(_execution_id: str) -> Any:
            monkeypatch.undo()
            reads.set()
            await trouble.until_rejected()
            raise StoreError("the database doesn't answer")

        harness.probe.does["one"] = one
        monkeypatch.setattr(engine.store, "callbacks", unreadable)
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_rejected()
        harness.clock.advance(60)
        await trouble.until_rejected(2)
        trouble.rejects = holds()
        assert (await harness.advance_until(engine, execution_id, State.WAITING)).state is State.WAITING
    assert harness.probe.steps() == ["one"]


@pytest.mark.promise(3)
async def test_a_store_that_cant_be_read_in_one_branch_cuts_off_no_running_action_of_another(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = {"id": "hold", "use": "webhook", "with": {"timeout": "5m"}}
    harness.flow("f", [{"id": "both", "parallel": {"a": [act("pay", delivery="at_most_once")], "b": [hold]}}])
    reached, unread, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def pay(value: Any) -> Any:
        reached.set()
        await go.wait()
        return value

    async def unreadable(_execution_id: str) -> Any:
        monkeypatch.undo()
        await reached.wait()
        unread.set()
        raise StoreError("the database doesn't answer")

    harness.probe.does["pay"] = pay
    async with harness.engine() as engine:
        monkeypatch.setattr(engine.store, "callbacks", unreadable)
        execution_id = await harness.send(engine, "f", 1)
        await unread.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        go.set()
        assert (await harness.advance_until(engine, execution_id, State.WAITING)).state is State.WAITING
        assert (await harness.journal(engine, execution_id))["both/pay"].state is StepState.SUCCEEDED
    assert harness.probe.steps() == ["pay"]


@pytest.mark.promise(1)
async def test_a_commit_that_took_place_although_it_failed_loses_and_repeats_nothing(harness: Harness) -> None:
    """A connection that is lost at a commit leaves it open whether it took place."""
    harness.flow("f", [act("one"), act("two"), act("three")])
    async with harness.engine() as engine:
        commit, lost = engine.store.commit, 0

        async def lose(changes: Sequence[Change]) -> Any:
            nonlocal lost
            results = await commit(changes)
            if holds(RecordSteps)(changes) and lost < 1:
                lost += 1
                raise StoreError("the connection is lost")
            return results

        engine.store.commit = lose  # type: ignore[method-assign]
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "two", "three"]


async def test_the_backlog_is_counted_right_where_starting_fails(harness: Harness) -> None:
    harness.flow("f", [act("one")], concurrency=1)
    hang = asyncio.Event()

    async def wait(value: Any) -> Any:
        await hang.wait()

    harness.probe.does["one"] = wait
    async with harness.engine(max_backlog=2) as engine:
        first = await harness.send(engine, "f", 1)
        await harness.until_calls(1)
        sent = [await harness.send(engine, "f", n) for n in (2, 3)]
        trouble = Trouble(engine, lambda changes: not holds(End)(changes))
        hang.set()
        await harness.until(engine, first)
        await trouble.until_rejected()
        for count in (2, 3, 4):
            harness.clock.advance(60)
            await trouble.until_rejected(count)
        assert engine.intake.backlog("f") == 2
        trouble.rejects = holds()
        for execution_id in sent:
            await harness.advance_until(engine, execution_id)
        assert engine.intake.backlog("f") == 0


async def test_the_backlog_is_counted_right_where_it_isnt_known_whether_starting_failed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_COUNT_AGAIN", 0.01)
    harness.flow("f", [act("one")], concurrency=1)
    go = asyncio.Event()

    async def one(value: Any) -> Any:
        await go.wait()

    harness.probe.does["one"] = one
    async with harness.engine(max_backlog=2) as engine:
        await harness.send(engine, "f", 1)
        await harness.until_calls(1)
        second = await harness.send(engine, "f", 2)
        trouble = Trouble(engine, holds())
        trouble.doubts = lambda changes: trouble.rejected < 1 and holds(Start)(changes)
        go.set()
        assert (await harness.advance_until(engine, second)).state is State.SUCCEEDED
        assert trouble.rejected == 1
        async with asyncio.timeout(30):
            while engine.intake.backlog("f"):  # noqa: ASYNC110 - the count is another task's
                await asyncio.sleep(0.01)


async def test_a_sender_that_hangs_up_while_its_message_is_stored_is_counted(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(max_backlog=2) as engine:
        sending = asyncio.create_task(harness.send(engine, "f", 1))
        await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait((sending,))
        assert sending.cancelled()
        await harness.send(engine, "f", 2)
        assert (await engine.store.backlog())["f"][0] == engine.intake.backlog("f") == 2


async def test_a_version_that_couldnt_be_stored_is_stored_later(harness: Harness) -> None:
    """Executions that are bound to a version must find it after the next deploy and restart."""
    harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"}), act("old")])
    async with harness.engine() as engine:
        harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"}), act("new")])
        trouble = Trouble(engine, holds(Publish))
        with pytest.raises(StoreError):
            await engine.version_switch.refresh()
        assert trouble.rejected == 1
        trouble.rejects = holds()
        await engine.version_switch.refresh()
        harness.probe.does["wait"] = fails(1)
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
    harness.flow("f", [act("newest")])
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["wait", "wait", "new"]


async def test_flows_that_changed_while_the_store_failed_are_taken_without_another_change(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(watch=True) as engine:
        execution_id = await harness.send(engine, "f", 1)
        trouble = Trouble(engine, holds(Publish))
        with structlog.testing.capture_logs() as logs:
            harness.flow("f", [act("one")])
            async with asyncio.timeout(30):
                while trouble.rejected < 3:
                    harness.clock.advance(STORE_RETRY / 5)
                    await asyncio.sleep(0.01)
            trouble.rejects = holds()
            assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
        said = [(log["log_level"], log["event"]) for log in logs if "changed flows" in log["event"]]
        assert said == [
            ("error", "changed flows can't be loaded; trying again"),
            ("info", "changed flows can be loaded again"),
        ]
