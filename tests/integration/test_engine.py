"""What the engine promises, over a real SQLite file: resuming, retrying, waiting, blocking, draining."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from hookline.errors import FlowUnknown, IllegalStateChange, StoreError, TooMany, Unavailable
from hookline.model.execution import Outcome, State, StepState
from hookline.ports import Accepted, Duplicate
from hookline.runtime.slots import TOTAL
from tests.integration.engine_harness import Harness, fails

ACT = {"use": "probe.act"}
#: What sleeps in an idle engine: the timers and the sweeper.
SLEEPERS = 2


def act(step_id: str, value: Any = "$.body", **settings: Any) -> dict[str, Any]:
    return {"id": step_id, **ACT, "with": {"value": value}, **settings}


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    return Harness(tmp_path)


async def test_a_message_runs_through_its_flow_and_each_step_is_recorded(harness: Harness) -> None:
    harness.flow(
        "f", [act("one", {"n": "$.body.n"}), {"id": "two", "use": "map", "with": {"body": "$.steps.one.body.n"}}]
    )
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", {"n": 3}))
        assert (execution.state, execution.outcome) == (State.SUCCEEDED, Outcome.COMPLETED)
        records = await engine.store.journal(execution.id)
        assert [(r.seq, r.path, r.use, r.state) for r in records] == [
            (1, "one", "probe.act", StepState.SUCCEEDED),
            (2, "two", "map", StepState.SUCCEEDED),
        ]
        assert records[0].input == b'{"value":{"n":3}}'
        assert json.loads(records[1].output or b"") == {"body": 3}


async def test_an_action_under_way_at_a_crash_runs_again_with_its_key_and_those_before_do_not(harness: Harness) -> None:
    harness.flow("f", [act("first"), act("second"), act("third")])
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["second"] = hang
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await reached.wait()
        row = await engine.store.execution(execution_id)
        assert row is not None
        assert row.state is State.RUNNING
        assert row.flow_version is not None
    del harness.probe.does["second"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["first", "second", "second", "third"]
    keys = [key for step, _, key, _ in harness.probe.calls if step == "second"]
    assert keys[0] == keys[1]
    assert len({key for _, _, key, _ in harness.probe.calls}) == 3


async def test_pure_steps_are_recomputed_and_give_the_same(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            {"id": "stamp", "use": "map", "with": {"body": {"at": "$.execution.now", "n": "$.body"}}},
            act("first"),
            {"id": "later", "use": "map", "with": {"body": {"was": "$.steps.stamp.body.at", "now": "$.execution.now"}}},
            act("second"),
        ],
    )
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["second"] = hang
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", 1)
        await reached.wait()
    seen = harness.probe.calls[-1][3]
    del harness.probe.does["second"]
    harness.clock.advance(3600)
    async with harness.engine() as engine:
        await harness.until(engine, execution_id)
    assert harness.probe.calls[-1][0] == "second"
    assert harness.probe.calls[-1][3] == seen


async def test_a_retry_of_more_than_a_second_is_a_row_and_not_a_task(harness: Harness) -> None:
    """Promise 5: waits hold nothing."""
    harness.flow("f", [act("call", retry={"attempts": 3, "wait": "10s", "factor": 2})])
    harness.probe.does["call"] = fails(2)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.ready_at is not None
        assert (waiting.ready_at - harness.clock.now()).total_seconds() == 10
        assert waiting.reason == "retry"
        harness.clock.advance(10)
        await harness.until_calls(2)
        await harness.until(engine, execution_id, State.WAITING)
    # It waits over a restart, too, and is not started early.
    async with harness.engine() as engine:
        assert len(harness.probe.calls) == 2
        harness.clock.advance(20)
        execution = await harness.until(engine, execution_id)
        assert execution.state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert [(r.state, r.attempt) for r in records] == [
        (StepState.WAITING, 1),
        (StepState.WAITING, 2),
        (StepState.SUCCEEDED, 3),
    ]
    assert [attempt for _, attempt, _, _ in harness.probe.calls] == [1, 2, 3]
    assert len({key for _, _, key, _ in harness.probe.calls}) == 1


async def test_what_has_used_its_attempts_up_has_failed_and_names_the_cause(harness: Harness) -> None:
    harness.flow("f", [act("call", retry={"attempts": 2, "wait": "500ms"})])
    harness.probe.does["call"] = fails(5)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.clock.until_sleeping(SLEEPERS + 1)
        harness.clock.advance(0.5)
        execution = await harness.until(engine, execution_id)
        assert (execution.state, execution.outcome) == (State.FAILED, Outcome.FAILED)
        assert execution.error is not None
        assert (execution.error.code, execution.error.step, execution.error.retryable) == ("probe.away", "call", True)


async def test_an_operators_retry_keeps_what_was_done(harness: Harness) -> None:
    harness.flow("f", [act("done"), act("broken")])
    harness.probe.does["broken"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.FAILED
        await engine.retry(execution_id)
        execution = await harness.until(engine, execution_id, State.SUCCEEDED)
        assert execution.attempt == 2
        with pytest.raises(IllegalStateChange):
            await engine.retry(execution_id)
    assert harness.probe.steps() == ["done", "broken", "broken"]


async def test_on_error_continue_keeps_the_message_and_says_what_went_wrong(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            act("call", on_error="continue"),
            {"id": "after", "use": "map", "with": {"body": {"kept": "$.body", "code": "$.steps.call.error.code"}}},
        ],
    )
    harness.probe.does["call"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 7)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        after = (await harness.journal(engine, execution_id))["after"]
    assert json.loads(after.output or b"")["body"] == {"kept": 7, "code": "probe.away"}


async def test_a_timeout_is_for_one_attempt_and_can_be_tried_again(harness: Harness) -> None:
    harness.flow("f", [act("slow", timeout="10ms", retry={"attempts": 2, "wait": "1s"})])
    calls = 0

    async def slow_once(value: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()
        return value

    harness.probe.does["slow"] = slow_once
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.clock.until_sleeping(SLEEPERS + 1)
        harness.clock.advance(1)
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        records = await engine.store.journal(execution_id)
    assert records[0].error is not None
    assert records[0].error.code == "timed_out"


async def test_a_defect_of_a_connector_is_named_with_its_plugin_and_fails_only_its_execution(harness: Harness) -> None:
    harness.flow("f", [act("call")])

    async def broken(value: Any) -> Any:
        return object() if value == 1 else 1 / 0 if value == 2 else value

    harness.probe.does["call"] = broken
    async with harness.engine() as engine:
        for value, hint in ((1, "no JSON form"), (2, "ZeroDivisionError")):
            execution = await harness.until(engine, await harness.send(engine, "f", value))
            assert execution.error is not None
            assert execution.error.code == "connector.defect"
            assert hint in execution.error.message
            assert "engine_harness" in execution.error.message
        assert (await harness.until(engine, await harness.send(engine, "f", 3))).state is State.SUCCEEDED


async def test_what_lacks_a_credential_waits_and_goes_on_when_it_is_there(harness: Harness) -> None:
    """Semantics 12."""
    harness.flow(
        "f", [act("first"), {"id": "use", "use": "probe.secret", "with": {"password": "hunter2"}, "credential": "key"}]
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.ready_at is None
        assert waiting.reason is not None
        assert waiting.reason.startswith("blocked: ")
        assert "key" in waiting.reason
        await engine.credentials.put("key", "probe", {"token": "t0k3n"})
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        record = (await harness.journal(engine, execution_id))["use"]
    assert harness.probe.steps() == ["first"]
    assert b"hunter2" not in (record.input or b"")


async def test_a_running_execution_keeps_its_version_and_a_queued_one_takes_the_new(harness: Harness) -> None:
    """Semantics 11, promise 6."""
    harness.flow(
        "f", [act("wait", retry={"attempts": 2, "wait": "1m"}), {"id": "v", "use": "map", "with": {"body": "old"}}]
    )
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        old = await harness.send(engine, "f", 1)
        await harness.until(engine, old, State.WAITING)
        harness.flow("f", [act("wait"), {"id": "v", "use": "map", "with": {"body": "new"}}])
        await engine.refresh()
        new = await harness.send(engine, "f", 1)
        await harness.until(engine, new)
    async with harness.engine() as engine:
        harness.clock.advance(60)
        await harness.until(engine, old)
        outputs = [json.loads((await harness.journal(engine, one))["v"].output or b"")["body"] for one in (old, new)]
        assert outputs == ["old", "new"]


async def test_an_execution_keeps_the_vars_with_which_it_started(harness: Harness) -> None:
    """Semantics 13."""
    steps = [act("wait", retry={"attempts": 2, "wait": "1m"}), act("end", {"to": "$.vars.to", "n": "$.vars.n"})]
    harness.flow("f", steps, vars={"to": "file", "n": 1})
    harness.probe.does["wait"] = fails(2)
    sent = []
    for environment in ({"HOOKLINE_VARS_F__TO": "first"}, {"HOOKLINE_VARS_F__TO": "second"}):
        async with harness.engine(environment=environment) as engine:
            sent.append(await harness.send(engine, "f", 1))
            await harness.until(engine, sent[-1], State.WAITING)
    harness.clock.advance(60)
    async with harness.engine() as engine:
        for execution_id in sent:
            await harness.until(engine, execution_id)
    ends = [value for step, _, _, value in harness.probe.calls if step == "end"]
    assert sorted(ends, key=str) == [{"to": "first", "n": 1}, {"to": "second", "n": 1}]


async def test_a_broken_file_leaves_the_last_good_version_serving(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        (harness.folder / "flows" / "f.json").write_text("{", encoding="utf-8")
        await engine.refresh()
        assert (await harness.until(engine, await harness.send(engine, "f", 1))).state is State.SUCCEEDED
        (harness.folder / "flows" / "f.json").unlink()
        await engine.refresh()
        with pytest.raises(FlowUnknown):
            engine.intake.flow("f")


async def test_a_paused_flow_accepts_and_keeps_and_runs_once_it_is_active(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        harness.flow("f", [act("one")])
        assert harness.probe.calls == []
        await engine.refresh()
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        harness.flow("f", [act("one")], state="stopped")
        await engine.refresh()
        with pytest.raises(FlowUnknown):
            engine.intake.flow("f")


async def test_a_stop_drains_what_runs_and_takes_nothing_more(harness: Harness) -> None:
    """Promise 8."""
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
    with pytest.raises(Unavailable):
        engine.intake.flow("f")
    go.set()
    await stopping
    async with harness.engine() as engine:
        execution = await engine.store.execution(execution_id)
        assert execution is not None
        assert execution.state is State.SUCCEEDED
    assert harness.probe.steps() == ["slow", "next"]


async def test_why_a_message_cant_be_stored_is_in_the_log_and_not_in_the_answer(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:

        async def put(_envelope: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(engine.intake._queue, "put", put)
        with structlog.testing.capture_logs() as logs, pytest.raises(Unavailable) as raised:
            await harness.send(engine, "f", 1)
    assert "disk" not in raised.value.message
    assert {
        "event": "a message can't be stored",
        "log_level": "error",
        "flow_id": "f",
        "error": "the disk is full",
    } in logs


async def test_a_finished_action_is_remembered_also_where_the_next_was_cut_off_before_it_began(
    harness: Harness,
) -> None:
    """Semantics: what is finished is journalled, on a stop as on a crash."""
    harness.flow(
        "f",
        [{"id": "each", "foreach": "$.body", "concurrency": 2, "steps": [act("one", "$.item"), act("two", "$.item")]}],
    )
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    harness.probe.does["two"] = hang
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        await reached.wait()
    del harness.probe.does["two"]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    assert harness.probe.steps().count("one") == 2


async def test_foreach_collects_results_in_order_leaves_filtered_items_out_and_names_paths(harness: Harness) -> None:
    """Semantics 25 and 26."""
    harness.flow(
        "f",
        [
            {
                "id": "lines",
                "foreach": "$.body",
                "as": "line",
                "concurrency": 3,
                "steps": [
                    {"id": "keep", "use": "filter", "with": {"keep": "{{ line.n != 2 }}"}},
                    act("post", {"n": "$.line.n", "i": "$.index"}),
                ],
            },
            {"id": "count", "use": "map", "with": {"body": {"all": "$.body", "same": "$.steps.lines.body"}}},
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [{"n": n} for n in range(5)])
        assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        journal = await harness.journal(engine, execution_id)
        body = json.loads(journal["count"].output or b"")["body"]
        assert body["all"] == body["same"] == [{"n": n, "i": n} for n in (0, 1, 3, 4)]
        assert "lines[3]/post" in journal
        assert journal["lines[2]/keep"].signal == "filtered"


async def test_items_of_a_foreach_that_wait_let_the_others_go_on(harness: Harness) -> None:
    harness.flow(
        "f",
        [{"id": "each", "foreach": "$.body", "steps": [act("post", "$.item", retry={"attempts": 2, "wait": "30s"})]}],
    )
    failed: set[int] = set()

    async def second_fails_once(value: Any) -> Any:
        if value == 2 and value not in failed:
            failed.add(value)
            return await fails(1)(value)
        return value * 10

    harness.probe.does["post"] = second_fails_once
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await harness.until(engine, execution_id, State.WAITING)
        assert [call[3] for call in harness.probe.calls] == [1, 2, 3]
        harness.clock.advance(30)
        await harness.until(engine, execution_id)
        assert [call[3] for call in harness.probe.calls] == [1, 2, 3, 2]
        journal = await harness.journal(engine, execution_id)
        assert json.loads(journal["each"].output or b"") == {"body": [10, 20, 30]}


@pytest.mark.parametrize("body", [{"a": 1}, "text", 3, True])
async def test_foreach_over_what_is_not_a_list_fails_and_over_null_does_nothing(harness: Harness, body: Any) -> None:
    harness.flow("f", [{"id": "each", "foreach": "$.body", "steps": [act("post")]}])
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", body))
        assert execution.error is not None
        assert execution.error.code == "foreach.not_a_list"
        nothing = await harness.until(engine, await harness.send(engine, "f", None))
        assert nothing.state is State.SUCCEEDED
    assert harness.probe.calls == []


async def test_switch_runs_the_first_case_that_holds_or_each(harness: Harness) -> None:
    cases = [
        {"when": "{{ body > 1 }}", "steps": [act("more", {"more": "$.body"})]},
        {"when": "{{ body > 0 }}", "steps": [act("some", {"some": "$.body"})]},
        {"otherwise": True, "steps": [act("none", "nothing")]},
    ]
    harness.flow("first", [{"id": "s", "switch": cases}, act("end")])
    harness.flow("each", [{"id": "s", "switch": cases, "match": "all"}, act("end")])
    async with harness.engine() as engine:
        for flow_id, body, steps, end in (
            ("first", 2, ["more", "end"], {"more": 2}),
            ("first", 0, ["none", "end"], "nothing"),
            ("each", 2, ["more", "some", "end"], 2),
            ("each", 0, ["none", "end"], 0),
        ):
            harness.probe.calls.clear()
            await harness.until(engine, await harness.send(engine, flow_id, body))
            assert harness.probe.steps() == steps
            assert harness.probe.calls[-1][3] == end


async def test_a_filter_ends_its_branch_and_stop_the_execution(harness: Harness) -> None:
    no = {"use": "filter", "with": {"keep": False}}
    harness.flow("whole", [no, act("never")])
    harness.flow("case", [{"switch": [{"when": True, "steps": [no, act("never")]}]}, act("after")])
    harness.flow("stop", [{"id": "s", "foreach": [1, 2], "steps": [{"use": "stop"}, act("never")]}, act("never2")])
    async with harness.engine() as engine:
        outcomes = []
        for flow_id in ("whole", "case", "stop"):
            outcomes.append((await harness.until(engine, await harness.send(engine, flow_id, 1))).outcome)
    assert outcomes == [Outcome.FILTERED, Outcome.COMPLETED, Outcome.STOPPED]
    assert harness.probe.steps() == ["after"]


async def test_a_step_whose_when_is_false_passes_the_message_on(harness: Harness) -> None:
    harness.flow("f", [act("skipped", "other", when="{{ body == 2 }}"), act("end")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id)
        journal = await harness.journal(engine, execution_id)
    assert journal["skipped"].state is StepState.SKIPPED
    assert [call[3] for call in harness.probe.calls] == [1]


async def test_a_condition_that_is_neither_true_nor_false_fails_its_step(harness: Harness) -> None:
    """Semantics 15."""
    harness.flow("f", [act("one", when="$.body")])
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", "false"))
    assert execution.error is not None
    assert execution.error.step == "one"
    assert execution.error.code.startswith("expression.")


async def test_a_duplicate_starts_nothing_and_is_known_over_the_rate_too(harness: Harness) -> None:
    """Semantics 4: duplicates come before the rate, and spend none of it."""
    harness.flow("f", [act("one")], rate="2/h")
    async with harness.engine() as engine:
        first = await harness.put(engine, "f", 1, "k")
        assert isinstance(first, Accepted)
        for _ in range(5):
            assert await harness.put(engine, "f", 1, "k") == Duplicate(first.execution_id)
        assert isinstance(await harness.put(engine, "f", 2, "k2"), Accepted)
        with pytest.raises(TooMany) as refused:
            await harness.put(engine, "f", 3, "k3")
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 1800
        assert await harness.put(engine, "f", 1, "k") == Duplicate(first.execution_id)
        harness.clock.advance(1800)
        assert isinstance(await harness.put(engine, "f", 3, "k3"), Accepted)


async def test_a_backlog_over_its_limit_is_refused_and_counted_over_a_restart(harness: Harness) -> None:
    harness.flow("f", [act("one")], state="paused")
    async with harness.engine(max_backlog=2) as engine:
        await harness.send(engine, "f", 1)
        await harness.send(engine, "f", 2)
        with pytest.raises(TooMany):
            await harness.send(engine, "f", 3)
    async with harness.engine(max_backlog=2) as engine:
        with pytest.raises(TooMany):
            await harness.send(engine, "f", 3)


async def test_a_flow_has_a_backlog_limit_of_its_own_and_the_server_one_for_all(harness: Harness) -> None:
    harness.flow("small", [act("one")], state="paused", max_queued=1)
    harness.flow("large", [act("one")], state="paused")
    async with harness.engine(max_backlog_total=3) as engine:
        await harness.send(engine, "small", 1)
        with pytest.raises(TooMany, match="'small' has 1 messages"):
            await harness.send(engine, "small", 2)
        for number in range(2):
            await harness.send(engine, "large", number)
        for _ in range(2):
            with pytest.raises(TooMany, match="the server has as many"):
                await harness.send(engine, "large", 3)


async def test_who_is_refused_for_a_backlog_is_told_how_long_it_takes_to_drain(harness: Harness) -> None:
    harness.flow("f", [act("one")], concurrency=1, max_queued=100)
    one_more = asyncio.Semaphore(0)

    async def work(value: Any) -> Any:
        await one_more.acquire()
        return value

    harness.probe.does["one"] = work
    async with harness.engine() as engine:

        async def refused() -> float | None:
            while True:
                try:
                    await harness.send(engine, "f", 1)
                except TooMany as error:
                    return error.retry_after

        assert await refused() == 30
        # Two each second leave the queue; a tenth of the hundred is to be free.
        for _ in range(60):
            calls = len(harness.probe.calls)
            one_more.release()
            await harness.until_calls(calls + 1)
            harness.clock.advance(0.5)
            await harness.send(engine, "f", 1)
        wait = await refused()
        assert wait is not None
        assert 4 < wait < 6
        harness.clock.advance(3600)
        assert await refused() == 600


async def test_no_more_executions_of_a_flow_run_at_once_than_it_says(harness: Harness) -> None:
    harness.flow("f", [act("one")], concurrency=2)
    running = peak = 0
    full = asyncio.Event()

    async def count(value: Any) -> Any:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == 2:
            full.set()
        await full.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return value

    harness.probe.does["one"] = count
    async with harness.engine() as engine:
        sent = [await harness.send(engine, "f", n) for n in range(20)]
        for execution_id in sent:
            await harness.until(engine, execution_id)
    assert peak == 2


async def test_a_flow_whose_executions_all_hang_leaves_the_others_room_to_run(harness: Harness) -> None:
    harness.flow("flood", [act("hang")], concurrency=10_000)
    harness.flow("other", [act("quick")])

    async def hang(value: Any) -> Any:
        await asyncio.Event().wait()

    harness.probe.does["hang"] = hang
    async with harness.engine(grace=0) as engine:
        await asyncio.gather(*(harness.send(engine, "flood", number) for number in range(TOTAL // 2 + 100)))
        await harness.until_calls(TOTAL // 2)
        for number in range(3):
            execution_id = await harness.send(engine, "other", number)
            assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
        assert harness.probe.steps().count("hang") == TOTAL // 2


async def test_two_engines_live_in_one_process(tmp_path: Path) -> None:
    harnesses = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        harnesses.append(Harness(tmp_path / name))
        harnesses[-1].flow("f", [act("one", name)])
    async with harnesses[0].engine() as first, harnesses[1].engine() as second:
        for harness, engine in zip(harnesses, (first, second), strict=True):
            await harness.until(engine, await harness.send(engine, "f", 1))
    assert [harness.probe.calls[0][3] for harness in harnesses] == ["a", "b"]
