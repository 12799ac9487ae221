"""The engine when its store fails, when what it waits for comes at a bad moment, and when it goes on after a stop."""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hookline.errors import StoreError
from hookline.model.execution import Execution, State, StepState
from hookline.ports import Accepted, Change, Duplicate, End, Park, Publish, Record, Unblock
from hookline.runtime import step
from hookline.runtime.engine import Engine
from tests.integration.engine_harness import Harness, fails

ACT = {"use": "probe.act"}


def act(step_id: str, value: Any = "$.body", **settings: Any) -> dict[str, Any]:
    return {"id": step_id, **ACT, "with": {"value": value}, **settings}


def each(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"id": "each", "foreach": "$.body", "steps": list(steps), **settings}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


class Trouble:
    """Stands between an engine and its store: `refuses` says which commits fail, and `before` is awaited first."""

    def __init__(self, engine: Engine, refuses: Callable[[Sequence[Change]], bool]) -> None:
        self.refuses = refuses
        self.refused = 0
        self._commit = engine.store.commit
        engine.store.commit = self.commit  # type: ignore[method-assign]  # in its place, for everybody who has the store

    async def commit(self, changes: Sequence[Change]) -> Sequence[Accepted | Duplicate | None]:
        if self.refuses(changes):
            self.refused += 1
            raise StoreError("the disk is full")
        return await self._commit(changes)

    async def until_refused(self, count: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.refused < count:  # noqa: ASYNC110 - what is waited for is several tasks away
                await asyncio.sleep(0.002)


def holds(*kinds: type) -> Callable[[Sequence[Change]], bool]:
    """Commits that hold changes of some kinds."""
    return lambda changes: any(isinstance(change, kinds) for change in changes)


async def advance_until(harness: Harness, engine: Engine, execution_id: str, *states: State) -> Execution:
    """An execution in one of the states, or ended, while time passes."""
    task = asyncio.ensure_future(harness.until(engine, execution_id, *states))
    while not task.done():
        await asyncio.wait((task,), timeout=0.02)
        harness.clock.advance(1)
    return await task


# --- A store that fails ------------------------------------------------------------------------------------------


async def test_a_finished_action_is_not_repeated_while_the_store_cant_be_written(harness: Harness) -> None:
    """A full disk must not send the same mail every few seconds."""
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(Record))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_refused()
        for count in (2, 3):
            harness.clock.advance(60)
            await trouble.until_refused(count)
        assert harness.probe.steps() == ["one"]
        trouble.refuses = holds()
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "two"]


async def test_an_end_that_cant_be_stored_is_stored_later_and_repeats_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(End))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_refused()
        harness.clock.advance(60)
        await trouble.until_refused(2)
        trouble.refuses = holds()
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


async def test_a_store_that_fails_under_items_side_by_side_fails_no_execution(harness: Harness) -> None:
    harness.flow("f", [each(act("one", "$.item"), act("two", "$.item"), concurrency=3)])
    async with harness.engine() as engine:
        trouble = Trouble(engine, holds(Record))
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await trouble.until_refused()
        trouble.refuses = holds()
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
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
        execution = await advance_until(harness, engine, execution_id)
        record = (await harness.journal(engine, execution_id))["each[0]/one"]
    assert execution.state is State.SUCCEEDED
    assert record.attempt == 2, "a blob store that fails is tried again as the step says"


async def test_a_commit_that_took_place_although_it_failed_loses_and_repeats_nothing(harness: Harness) -> None:
    """A connection that is lost at a commit leaves it open whether it took place."""
    harness.flow("f", [act("one"), act("two"), act("three")])
    async with harness.engine() as engine:
        commit, lost = engine.store.commit, 0

        async def lose(changes: Sequence[Change]) -> Any:
            nonlocal lost
            results = await commit(changes)
            if holds(Record)(changes) and lost < 1:
                lost += 1
                raise StoreError("the connection is lost")
            return results

        engine.store.commit = lose  # type: ignore[method-assign]
        execution_id = await harness.send(engine, "f", 1)
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
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
        await trouble.until_refused()
        for count in (2, 3, 4):
            harness.clock.advance(60)
            await trouble.until_refused(count)
        assert engine.intake.backlog("f") == 2
        trouble.refuses = holds()
        for execution_id in sent:
            await advance_until(harness, engine, execution_id)
        assert engine.intake.backlog("f") == 0


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
            await engine.refresh()
        assert trouble.refused == 1
        trouble.refuses = holds()
        await engine.refresh()
        harness.probe.does["wait"] = fails(1)
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
    harness.flow("f", [act("newest")])
    async with harness.engine() as engine:
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["wait", "wait", "new"]


async def test_flows_that_changed_while_the_store_failed_are_taken_without_another_change(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(watch=True) as engine:
        execution_id = await harness.send(engine, "f", 1)
        trouble = Trouble(engine, holds(Publish))
        harness.flow("f", [act("one")])
        await trouble.until_refused()
        trouble.refuses = holds()
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED


# --- Waiting for a cause to go -----------------------------------------------------------------------------------


def secret(step_id: str = "use") -> dict[str, Any]:
    return {"id": step_id, "use": "probe.secret", "with": {"password": "hunter2"}, "credential": "key"}


async def test_a_cause_that_goes_while_its_execution_is_being_parked_wakes_it_all_the_same(harness: Harness) -> None:
    harness.flow("f", [secret()])
    async with harness.engine() as engine:
        commit, unblocked = engine.store.commit, asyncio.Event()

        async def slow(changes: Sequence[Change]) -> Any:
            if holds(Park)(changes) and not unblocked.is_set():
                await engine.credentials.put("key", "probe", {"token": "t"})
                async with asyncio.timeout(20):
                    await unblocked.wait()
            results = await commit(changes)
            if holds(Unblock)(changes):
                unblocked.set()
            return results

        engine.store.commit = slow  # type: ignore[method-assign]
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED


async def test_causes_that_go_while_the_store_fails_are_told_later(harness: Harness) -> None:
    harness.flow("f", [secret()])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
        trouble = Trouble(engine, holds(Unblock))
        await engine.credentials.put("key", "probe", {"token": "t"})
        await trouble.until_refused()
        trouble.refuses = holds()
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED


async def test_an_item_that_is_blocked_goes_on_when_its_cause_goes_also_where_another_waits(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            each(
                {
                    "switch": [
                        {"when": "{{ item == 1 }}", "steps": [act("again", retry={"attempts": 3, "wait": "1h"})]},
                        {"otherwise": True, "steps": [secret(), act("done")]},
                    ]
                }
            )
        ],
    )
    harness.probe.does["again"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        await engine.credentials.put("key", "probe", {"token": "t"})
        await harness.until_calls(2)
        assert harness.probe.steps() == ["again", "done"]
        waiting = await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(3600)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["again", "done", "again"]


async def test_a_flow_that_was_deleted_finishes_what_it_had_begun_and_says_what_the_rest_waits_for(
    harness: Harness,
) -> None:
    """Promise 6: a deploy changes nothing under what runs, also one that takes the flow away."""
    harness.flow("f", [act("one"), act("two")], concurrency=1)
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["two"] = hang
    async with harness.engine(grace=0) as engine:
        begun = await harness.send(engine, "f", 1)
        await reached.wait()
        queued = await harness.send(engine, "f", 2)
    del harness.probe.does["two"]
    file = harness.folder / "flows" / "f.json"
    document = file.read_text(encoding="utf-8")
    file.unlink()
    async with harness.engine() as engine:
        assert (await harness.until(engine, begun)).state is State.SUCCEEDED
        waiting = await harness.until(engine, queued, State.WAITING)
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        file.write_text(document, encoding="utf-8")
        await engine.refresh()
        assert (await harness.until(engine, queued)).state is State.SUCCEEDED


async def test_a_flow_whose_file_is_broken_at_a_start_finishes_what_it_had_begun(harness: Harness) -> None:
    harness.flow("f", [act("wait", retry={"attempts": 2, "wait": "1m"}), act("end")])
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id, State.WAITING)
    (harness.folder / "flows" / "f.json").write_text("{", encoding="utf-8")
    async with harness.engine() as engine:
        assert (await advance_until(harness, engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["wait", "wait", "end"]


async def test_a_failed_execution_of_a_flow_that_was_deleted_can_be_retried(harness: Harness) -> None:
    harness.flow("f", [act("done"), act("broken")])
    harness.probe.does["broken"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id)
        (harness.folder / "flows" / "f.json").unlink()
        await engine.refresh()
        await engine.retry(execution_id)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).attempt == 2
    assert harness.probe.steps() == ["done", "broken", "broken"]


# --- Going on ----------------------------------------------------------------------------------------------------


async def test_items_that_failed_and_were_passed_over_are_not_tried_again_on_resume(harness: Harness) -> None:
    """Promise 2: a resumed execution runs again only what was under way."""
    harness.flow("f", [each(act("bad", "$.item", when="{{ item == 1 }}"), act("post", "$.item",
                  retry={"attempts": 2, "wait": "1m"}), on_error="continue"), act("end")])  # fmt: skip
    again = fails(1)

    async def refuse(value: Any) -> Any:
        return await fails(1, retryable=False)(value)

    harness.probe.does = {"bad": refuse, "post": again}
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await harness.until(engine, execution_id, State.WAITING)
        harness.clock.advance(60)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert harness.probe.steps() == ["bad", "post", "post", "post", "end"]
    assert harness.probe.calls[-1][3] == [2, 3]
    assert [record.state for record in records if record.path == "each[0]/bad"] == [StepState.FAILED]


async def test_a_pure_step_that_failed_and_was_passed_over_leaves_no_other_time_on_resume(harness: Harness) -> None:
    """Semantics 14: `execution.now` is the time of the last commit, so that recomputing gives the same."""
    harness.flow(
        "f",
        [
            act("first"),
            {"id": "bad", "use": "map", "with": {"body": "{{ body.nothing }}"}, "on_error": "continue"},
            act("second", {"at": "$.execution.now"}),
        ],
    )
    reached = asyncio.Event()

    async def tick(value: Any) -> Any:
        harness.clock.advance(1)
        return value

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does = {"first": tick, "second": hang}
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {})
        await reached.wait()
    harness.probe.does = {}
    harness.clock.advance(3600)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    values = [value for step, _, _, value in harness.probe.calls if step == "second"]
    assert values[0] == values[1]
    assert len([record for record in records if record.path == "bad"]) == 1


async def test_an_action_that_is_cancelled_by_its_own_doing_has_a_defect_and_hangs_nothing(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    async def cancelled(value: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future

    harness.probe.does["one"] = cancelled
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert execution.error.code == "connector.defect"


async def test_an_action_that_wants_to_end_the_process_has_a_defect(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    async def leave(value: Any) -> Any:
        raise SystemExit(3)

    harness.probe.does["one"] = leave
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert execution.error.code == "connector.defect"


async def test_a_defect_of_the_engine_keeps_what_was_done_before_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one"), {"id": "two", "use": "map", "with": {"body": 1}}])
    broken = True

    def choose(*_: Any, **__: Any) -> Any:
        if broken:
            raise RuntimeError("a defect")
        return real(*_, **__)

    real = step._finish
    monkeypatch.setattr(
        step, "_finish", lambda run, node, *rest: (choose if node.id == "two" else real)(run, node, *rest)
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 7)
        execution = await harness.until(engine, execution_id)
        assert execution.error is not None
        assert execution.error.code == "engine.defect"
        broken = False
        await engine.retry(execution_id)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).attempt == 2
    assert harness.probe.steps() == ["one"]


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
    async with asyncio.timeout(20):
        await engine.stop()


async def test_a_message_that_cant_be_read_fails_and_stops_no_other(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine() as engine:
        spoilt = await harness.send(engine, "f", 1)
        good = await harness.send(engine, "f", 2)
    with sqlite3.connect(harness.folder / "hookline.db") as connection:
        connection.execute("update executions set payload = x'ff' where id = ?", (spoilt,))
    connection.close()
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        assert (await harness.until(engine, good)).state is State.SUCCEEDED
        execution = await harness.until(engine, spoilt)
    assert execution.state is State.FAILED
    assert json.dumps([call[3] for call in harness.probe.calls]) == "[2]"


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
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["one"] = hang

    async def serve() -> None:
        async with harness.engine(grace=600) as engine:
            await harness.send(engine, "f", 1)
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await reached.wait()
    serving.cancel()
    await asyncio.wait((serving,), timeout=20)
    assert serving.cancelled()


async def test_what_was_done_while_the_store_failed_is_kept_by_a_stop_if_it_can_be(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(End))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_refused()
        trouble.refuses = holds(End)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one"]


async def test_a_stop_while_the_store_fails_ends(harness: Harness) -> None:
    harness.flow("f", [act("one"), act("two")])
    async with harness.engine(grace=0) as engine:
        trouble = Trouble(engine, holds(Record))
        execution_id = await harness.send(engine, "f", 1)
        await trouble.until_refused()
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["one", "one", "two"]
