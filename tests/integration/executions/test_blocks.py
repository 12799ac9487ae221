"""Parallel branches, handled errors, waits, timeouts and cancelling, on a real store, restarts included."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, fails

from hookline.engine import Engine
from hookline.kernel.errors import IllegalStateChange, StepError
from hookline.model.access import SYSTEM
from hookline.model.callbacks_and_pages import Call, pack_callback, raw_json
from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import (
    CallbackOutcome,
    CallbackRepeated,
    CallbackStored,
    NotWaiting,
    StoreCallback,
)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def act(step_id: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "probe.act", "with": {"value": value}, **more}


async def steps(engine: Engine, execution_id: str) -> dict[str, str]:
    return {record.path: record.state.value for record in await engine.store.journal(execution_id)}


async def body(engine: Engine, execution_id: str, path: str) -> Any:
    import msgspec

    found = [record for record in await engine.store.journal(execution_id) if record.path == path and record.output]
    return msgspec.json.decode(found[-1].output)["body"] if found else None


async def test_a_result_with_the_results_of_all_steps_stays_as_it_was(harness: Harness) -> None:
    seen = {"id": "seen", "use": "map", "with": {"body": "$.steps"}}
    harness.flow(
        "f", [act("first", 1), {"id": "all", "try": [seen, act("later", 2)], "finally": []}, act("last", "$.steps")]
    )
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.COMPLETED
        last = harness.probe.calls[-1][3]
        assert last.keys() >= {"first", "seen", "later"}
        assert last["seen"]["body"].keys() == {"first"}


# --- parallel --------------------------------------------------------------------------------------------------------


async def test_branches_run_side_by_side_and_their_results_are_one_object(harness: Harness) -> None:
    arrived = asyncio.Event()
    both: list[str] = []

    async def meet(value: Any) -> Any:
        both.append(value)
        if len(both) == 2:
            arrived.set()
        await asyncio.wait_for(arrived.wait(), 10)
        return f"{value}!"

    harness.probe.does.update(one=meet, two=meet)
    harness.flow(
        "f",
        [
            {"id": "fan", "parallel": {"left": [act("one", "l")], "right": [act("two", "r")]}},
            act("last", "$.body"),
        ],
    )
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == {"left": "l!", "right": "r!"}


@pytest.mark.rule(27)
async def test_the_first_failure_of_a_branch_cuts_the_others_off(harness: Harness) -> None:
    cut = asyncio.Event()

    async def hang(_: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cut.set()
            raise

    async def fail(_: Any) -> Any:
        raise StepError("no", code="probe.no")

    harness.probe.does.update(slow=hang, bad=fail)
    harness.flow("f", [{"id": "fan", "parallel": {"a": [act("slow"), act("never")], "b": [act("bad")]}}])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.state is State.FAILED
        assert done.error is not None
        assert done.error.code == "probe.no"
        assert cut.is_set()
        assert "never" not in harness.probe.steps()


@pytest.mark.rule(27)
async def test_a_branch_that_fails_is_listed_where_the_block_goes_on(harness: Harness) -> None:
    async def fail(_: Any) -> Any:
        raise StepError("no", code="probe.no")

    harness.probe.does.update(bad=fail)
    harness.flow(
        "f",
        [
            {"id": "fan", "on_error": "continue", "parallel": {"a": [act("good", 1)], "b": [act("bad")]}},
            act("last", ["$.body", "$.steps.fan.errors.b.code"]),
        ],
    )
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == [{"a": 1}, "probe.no"]


async def test_a_branch_that_waits_lets_the_others_end_and_a_restart_repeats_nothing(harness: Harness) -> None:
    harness.probe.does.update(late=fails(1))
    retry = {"attempts": 2, "wait": "10m"}
    harness.flow("f", [{"id": "fan", "parallel": {"a": [act("late", 1, retry=retry)], "b": [act("soon", 2)]}}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
    harness.clock.advance(601)
    async with harness.engine() as engine:
        done = await harness.until(engine, execution_id)
        assert done.outcome is Outcome.COMPLETED
        assert await body(engine, execution_id, "fan") == {"a": 1, "b": 2}
        assert harness.probe.steps() == ["late", "soon", "late"] or harness.probe.steps() == ["soon", "late", "late"]


# --- switch ----------------------------------------------------------------------------------------------------------


async def test_a_switch_gives_the_message_that_it_passes_on(harness: Harness) -> None:
    cases = [
        {"when": "{{ body.n > 1 }}", "steps": [act("many", "many")]},
        {"otherwise": True, "steps": [act("one", "one")]},
    ]
    harness.flow("f", [{"id": "how", "switch": cases}, act("between", 1), act("last", "$.steps.how.body")])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "f", {"n": 2}))
        assert harness.probe.calls[-1][3] == "many"


# --- try -------------------------------------------------------------------------------------------------------------


def booking(**more: Any) -> dict[str, Any]:
    return {
        "id": "booking",
        "try": [act("charge", "$.body.n"), act("ship", 1)],
        "catch": [act("refund", ["$.error.code", "$.error.step", "$.body"])],
        "finally": [act("report", "x")],
        **more,
    }


async def test_a_failure_is_caught_with_the_error_and_the_message_that_reached_the_block(harness: Harness) -> None:
    harness.probe.does.update(ship=fails(9, retryable=False))
    harness.flow("f", [booking(), act("last", "$.steps.booking.error.code")])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {"n": 7}))
        assert done.outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["charge", "ship", "refund", "report", "last"]
        assert harness.probe.calls[2][3] == ["probe.away", "booking/ship", {"n": 7}]
        assert harness.probe.calls[-1][3] == "probe.away"


async def test_a_failure_in_catch_fails_the_execution_once_finally_has_run(harness: Harness) -> None:
    harness.probe.does.update(ship=fails(9, retryable=False), refund=fails(9, retryable=False))
    harness.flow("f", [booking(), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 7})
        done = await harness.until(engine, execution_id)
        assert done.state is State.FAILED
        assert done.error is not None
        assert done.error.step == "booking/refund"
        assert harness.probe.steps() == ["charge", "ship", "refund", "report"]
        # An operator's retry goes on from what failed: what catch has taken stays taken.
        harness.probe.does.clear()
        await engine.operations.retry(execution_id, by=SYSTEM)
        again = await harness.until(engine, execution_id)
        assert again.outcome is Outcome.COMPLETED
        assert harness.probe.steps()[4:] == ["refund", "last"]


@pytest.mark.rule(27)
async def test_finally_runs_where_the_execution_is_stopped(harness: Harness) -> None:
    harness.flow("f", [{"id": "t", "try": [{"use": "stop"}], "finally": [act("report")]}, act("never")])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.STOPPED
        assert harness.probe.steps() == ["report"]


async def test_what_catch_has_begun_is_resumed_after_a_restart(harness: Harness) -> None:
    harness.probe.does.update(ship=fails(9, retryable=False), refund=fails(1))
    catch = [act("refund", "$.error.code", retry={"attempts": 2, "wait": "10m"})]
    harness.flow("f", [booking(catch=catch)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 7})
        await harness.until(engine, execution_id, State.WAITING)
    harness.clock.advance(601)
    async with harness.engine() as engine:
        done = await harness.until(engine, execution_id)
        assert done.outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["charge", "ship", "refund", "refund", "report"]


# --- sleep -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise(5)
@pytest.mark.rule(20)
async def test_an_execution_sleeps_as_a_row_and_passes_its_message_on(harness: Harness) -> None:
    harness.flow("f", [{"use": "sleep", "with": {"for": "2h"}}, act("after", "$.body")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 1})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason == "sleep"
        assert waiting.ready_at == harness.clock.now() + timedelta(hours=2)
    harness.clock.advance(7201)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == {"n": 1}


# --- webhooks in the middle ------------------------------------------------------------------------------------------


def call_for(engine: Engine, url: str, value: Any, *, flow_id: str = "f", step_id: str = "approve") -> StoreCallback:
    named = engine.resume_tokens.read(url.rpartition("/")[2])
    assert named is not None
    payload = pack_callback(Call(body=raw_json(value)))
    return StoreCallback(engine.ids.new(), *named, flow_id, step_id, None, payload, engine.clock.now(), None, payload)


@pytest.mark.promise(5)
async def test_a_call_to_the_steps_url_wakes_the_execution_across_a_restart(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            act("ask", "$.execution.hooks.approve.url"),
            {"id": "approve", "use": "webhook", "with": {"timeout": "2d"}},
            act("after", ["$.body", "$.steps.approve.method"]),
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert waiting.reason == "callback"
        url = harness.probe.calls[0][3]
        assert url.startswith("http://127.0.0.1:8080/resume/")
    async with harness.engine() as engine:
        call = call_for(engine, url, {"ok": True})
        assert await engine.callbacks.deliver(call) == CallbackStored(execution_id)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["ask", "after"]
        assert harness.probe.calls[-1][3] == [{"ok": True}, "POST"]
        assert await engine.callbacks.deliver(call_for(engine, url, {"ok": True})) == CallbackRepeated(
            execution_id, identical=True
        )
        assert await engine.callbacks.deliver(call_for(engine, url, {"ok": 2})) == CallbackRepeated(
            execution_id, identical=False
        )


@pytest.mark.rule(29)
async def test_a_call_that_comes_early_is_kept(harness: Harness) -> None:
    outcome: list[CallbackOutcome] = []
    engines: list[Engine] = []

    async def call(url: Any) -> Any:
        outcome.append(await engines[0].callbacks.deliver(call_for(engines[0], url, "early")))

    harness.probe.does.update(ask=call)
    harness.flow(
        "f",
        [
            act("ask", "$.execution.hooks.approve.url"),
            {"id": "approve", "use": "webhook"},
            act("after", "$.body"),
        ],
    )
    async with harness.engine() as engine:
        engines.append(engine)
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert outcome == [CallbackStored(execution_id)]
        assert harness.probe.calls[-1][3] == "early"


async def test_calls_may_come_in_another_order_than_the_steps_that_wait_for_them(harness: Harness) -> None:
    correlate = {"key": "$.trigger.body.order", "from": "$.body.order_id"}
    harness.flow(
        "f",
        [
            act("ask", ["$.execution.hooks.approve.url", "$.execution.hooks.second.url"]),
            {"id": "approve", "use": "webhook"},
            {"id": "second", "use": "webhook"},
            {"id": "paid", "use": "webhook", "with": {"verify": "none", "correlate": correlate}},
            act("after", "$.body"),
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"order": "a"})
        await harness.until(engine, execution_id, State.WAITING)
        first, second = harness.probe.calls[0][3]
        now = engine.clock.now()
        payload = pack_callback(Call(body=raw_json("paid")))
        early = StoreCallback(
            engine.ids.new(), None, None, "f", "paid", "s:a", payload, now, now + timedelta(hours=1), payload
        )
        assert await engine.callbacks.deliver(early) == CallbackStored(None)
        assert await engine.callbacks.deliver(call_for(engine, second, 2, step_id="second")) == CallbackStored(
            execution_id
        )
        assert await engine.callbacks.deliver(call_for(engine, first, 1)) == CallbackStored(execution_id)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == "paid"


@pytest.mark.rule(29)
async def test_a_wait_without_a_call_times_out_and_a_later_call_is_told_so(harness: Harness) -> None:
    wait = {"id": "approve", "use": "webhook", "with": {"timeout": "1h"}}
    harness.flow(
        "f",
        [
            act("ask", "$.execution.hooks.approve.url"),
            {"id": "t", "try": [wait], "catch": [act("escalate", "$.error.code")]},
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
    harness.clock.advance(3601)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == "wait_timed_out"
        assert await engine.callbacks.deliver(call_for(engine, harness.probe.calls[0][3], 1)) == NotWaiting()


@pytest.mark.rule(29)
async def test_each_item_of_a_foreach_has_a_url_of_its_own(harness: Harness) -> None:
    harness.flow(
        "f",
        [
            {
                "id": "lines",
                "foreach": "$.body",
                "concurrency": 4,
                "steps": [act("ask", "$.execution.hooks.approve.url"), {"id": "approve", "use": "webhook"}],
            }
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2, 3])
        await harness.until(engine, execution_id, State.WAITING)
        urls = [call[3] for call in harness.probe.calls]
        assert len(set(urls)) == 3
        for number in (2, 0, 1):
            assert isinstance(await engine.callbacks.deliver(call_for(engine, urls[number], number)), CallbackStored)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert await body(engine, execution_id, "lines") == [0, 1, 2]
        assert len(harness.probe.calls) == 3


@pytest.mark.parametrize("early", [True, False])
async def test_a_correlated_call_finds_its_execution_by_the_key(harness: Harness, early: bool) -> None:
    correlate = {"key": "$.body.order", "from": "$.body.order_id"}
    harness.flow(
        "f",
        [
            {"id": "paid", "use": "webhook", "with": {"verify": "none", "correlate": correlate}},
            act("after", "$.body.sum"),
        ],
    )

    def call(engine: Engine, order: str, total: int) -> StoreCallback:
        payload = pack_callback(Call(body=raw_json({"order_id": order, "sum": total})))
        now = engine.clock.now()
        return StoreCallback(
            engine.ids.new(), None, None, "f", "paid", f"s:{order}", payload, now, now + timedelta(hours=1), payload
        )

    async with harness.engine() as engine:
        if early:
            assert await engine.callbacks.deliver(call(engine, "a", 5)) == CallbackStored(None)
        execution_id = await harness.send(engine, "f", {"order": "a"})
        other = await harness.send(engine, "f", {"order": "b"})
        if not early:
            await harness.until(engine, execution_id, State.WAITING)
            assert await engine.callbacks.deliver(call(engine, "a", 5)) == CallbackStored(execution_id)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.calls[-1][3] == 5
        assert (await harness.until(engine, other, State.WAITING)).reason == "callback"
        assert await engine.callbacks.deliver(call(engine, "a", 5)) == CallbackRepeated(execution_id, identical=True)


# --- timeouts, cancelling, on_error ----------------------------------------------------------------------------------


async def test_an_execution_whose_time_is_up_fails_and_runs_its_finally(harness: Harness) -> None:
    begun = asyncio.Event()

    async def hang(_: Any) -> Any:
        begun.set()
        await asyncio.sleep(60)

    harness.probe.does.update(slow=hang)
    harness.flow(
        "f", [{"id": "t", "try": [act("slow")], "catch": [act("no")], "finally": [act("report")]}], timeout="5m"
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await begun.wait()
        harness.clock.advance(301)
        done = await harness.until(engine, execution_id)
        assert (done.state, done.outcome) == (State.FAILED, Outcome.TIMED_OUT)
        assert done.error is not None
        assert done.error.code == "flow.timed_out"
        assert harness.probe.steps() == ["slow", "report"]


async def test_time_runs_out_while_an_execution_waits(harness: Harness) -> None:
    harness.flow("f", [{"id": "approve", "use": "webhook"}], timeout="5m")
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
    harness.clock.advance(301)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.TIMED_OUT


Begin = Callable[[Harness, Engine], Any]


@pytest.mark.rule(27)
@pytest.mark.parametrize("what", ["action", "wait", "sleep", "queued"])
async def test_a_cancelled_execution_ends_so_and_runs_its_finally(harness: Harness, what: str) -> None:
    begun = asyncio.Event()

    async def hang(_: Any) -> Any:
        begun.set()
        await asyncio.sleep(60)

    inner = {
        "action": act("slow"),
        "wait": {"id": "approve", "use": "webhook"},
        "sleep": {"use": "sleep", "with": {"for": "1h"}},
        "queued": act("slow"),
    }[what]
    harness.probe.does.update(slow=hang)
    harness.flow("f", [{"id": "t", "try": [inner], "finally": [act("report")]}], concurrency=1)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        if what in ("action", "queued"):
            await begun.wait()
        else:
            await harness.until(engine, execution_id, State.WAITING)
        if what == "queued":
            execution_id = await harness.send(engine, "f", {})
        await engine.operations.cancel(execution_id, by=SYSTEM)
        done = await harness.until(engine, execution_id)
        assert (done.state, done.outcome) == (State.CANCELLED, Outcome.CANCELLED)
        assert ("report" in harness.probe.steps()) == (what != "queued")
        with pytest.raises(IllegalStateChange):
            await engine.operations.cancel(execution_id, by=SYSTEM)


async def test_a_wish_to_cancel_outlives_a_restart(harness: Harness) -> None:
    harness.flow("f", [{"id": "approve", "use": "webhook"}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
    from hookline.storage.change_declarations import Cancel

    async with harness.engine(role="webhook") as engine:
        await engine.store.commit((Cancel(execution_id, harness.clock.now()),))
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).state is State.CANCELLED


async def test_steps_on_error_run_before_an_execution_ends_as_failed(harness: Harness) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    harness.flow("f", [act("bad")], on_error=[act("tell", ["$.error.step", "$.body"])])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"n": 1})
        done = await harness.until(engine, execution_id)
        assert done.state is State.FAILED
        assert harness.probe.calls[-1][3] == ["bad", {"n": 1}]
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert harness.probe.steps() == ["bad", "tell", "bad"]
