"""A foreach over streams and long lists: little is kept of it, and it goes on from where it was."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.integration.engine_harness import Harness, act, each, fails

from hookline.api import Context, Reply, StepError
from hookline.engine import Engine
from hookline.executions.blocks import foreach_results
from hookline.executions.waiting_callers import FINISHED
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State

N = 1500


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)

    @harness.probe.connector.action
    async def rows(ctx: Context[Any], count: int, fail_at: int | None = None) -> AsyncIterator[dict[str, int]]:
        """Numbered rows, one by one."""
        harness.probe.calls.append((ctx.step_id, ctx.attempt, ctx.idempotency_key, count))
        for number in range(count):
            if number == fail_at:
                raise StepError("away", code="probe.away", retryable=ctx.attempt == 1)
            yield {"n": number}

    return harness


def rows(count: int = N, **settings: Any) -> dict[str, Any]:
    return {"id": "rows", "use": "probe.rows", "with": {"count": count, **settings}}


async def output(engine: Engine, execution_id: str, path: str) -> Any:
    found = [record for record in await engine.store.journal(execution_id) if record.path == path]
    return msgspec.json.decode(found[-1].output or b"null")


def values(harness: Harness, step: str) -> list[Any]:
    return [value for step_id, _, _, value in harness.probe.calls if step_id == step]


def bad(*wanted: int) -> Callable[[Any], Any]:
    async def run(value: Any) -> Any:
        if value in wanted:
            raise StepError("bad", code="probe.bad")
        return value

    return run


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule(26)
async def test_each_item_of_a_stream_runs_once_and_the_journal_keeps_the_counts(harness: Harness) -> None:
    harness.flow("f", [rows(), each(act("a", "$.item.n"), concurrency=16), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert sorted(values(harness, "a")) == list(range(N))
        assert harness.probe.calls[-1][3] == {"count": N, "failed": 0}
        assert len({key for step, _, key, _ in harness.probe.calls if step == "a"}) == N
        assert list(await harness.journal(engine, execution_id)) == ["rows", "each", "last"]
        assert (await output(engine, execution_id, "rows"))["body"]["count"] == N
        assert list(await engine.store.progress(execution_id)) == []


async def test_a_stream_of_nothing_is_done_at_once(harness: Harness) -> None:
    harness.flow("f", [rows(0), each(act("a")), act("last")])
    async with harness.engine() as engine:
        assert (await harness.until(engine, await harness.send(engine, "f", {}))).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [{"count": 0, "failed": 0}]


async def test_a_stream_that_breaks_off_is_tried_again_from_its_beginning(harness: Harness) -> None:
    harness.flow("f", [{**rows(fail_at=5), "retry": {"attempts": 2, "wait": "10ms"}}, each(act("a"))])
    async with harness.engine() as engine:
        done = await harness.advance_until(engine, await harness.send(engine, "f", {}))
        assert done.state is State.FAILED
        assert done.error is not None
        assert (done.error.code, done.error.step) == ("probe.away", "rows")
        assert harness.probe.steps() == ["rows", "rows"]


@pytest.mark.rule(26)
async def test_collected_results_of_a_stream_are_a_stream_again(harness: Harness) -> None:
    harness.probe.does.update(a=lambda value: asyncio.sleep(0, value * 2))
    harness.flow(
        "f",
        [
            rows(),
            each(
                {"id": "some", "use": "filter", "with": {"keep": "{{ item.n % 3 == 0 }}"}},
                act("a", "$.item.n"),
                concurrency=16,
                collect="results",
            ),
            {"id": "again", "foreach": "$.body", "steps": [act("b", "$.item")]},
            act("last", ["$.steps.each.body.count", "$.steps.again.body"]),
        ],
    )
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "b") == list(range(0, 2 * N, 6))
        assert values(harness, "last") == [[N // 3, {"count": N // 3, "failed": 0}]]
        assert list(await engine.store.item_results(execution_id, "each")) == []


@pytest.mark.parametrize(
    "value",
    ["$.body", "$.body[0]", "$.body[*].n", "{{ body | length }}", "{{ body }}", {"deep": ["$.steps.rows"]}, "$..n"],
)
async def test_a_stream_is_no_value_and_the_error_says_what_goes_through_it(harness: Harness, value: Any) -> None:
    harness.flow("f", [rows(5), act("a", value)])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.error is not None
        assert done.error.step == "a"
        assert "stream of 5 items" in done.error.message
        assert "foreach" in done.error.message


def _streams(*before: Any, **settings: Any) -> list[Any]:
    """Steps whose block `outer` has a stream as the result of each item."""
    inner = {"id": "inner", "foreach": "$.body", "collect": "results", "steps": [act("a", "$.item.n")]}
    steps = [{"id": "more", "use": "probe.rows", "with": {"count": 2}}, inner]
    return [*before, {"id": "outer", "foreach": "$.body", "steps": steps, **settings}]


async def test_a_stream_is_no_result_of_an_item_whose_entries_are_dropped(harness: Harness) -> None:
    harness.flow("f", _streams(rows(2), collect="results"))
    harness.flow("g", _streams(rows(2), collect="results", on_error="continue"))
    harness.flow("h", _streams(rows(2)))
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.error is not None
        assert (done.error.code, done.error.step) == ("step.stream", "outer[0]")
        assert "a stream of 2 items is no value" in done.error.message
        execution_id = await harness.send(engine, "g", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        result = await output(engine, execution_id, "outer")
        assert (result["count"], result["failed"], result["body"]["count"]) == (2, 2, 0)
        execution_id = await harness.send(engine, "h", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED, "they are only counted"


async def test_streams_of_a_short_list_stay_streams(harness: Harness) -> None:
    harness.flow("f", [*_streams(), {"id": "x", "foreach": "$.steps.outer.body[1]", "steps": [act("b", "$.item")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [1, 2])
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "b") == [0, 1]
        kept = [one["stream"] for one in (await output(engine, execution_id, "outer"))["body"]]
        assert set(await engine.store.referenced(kept)) == set(kept)


async def test_a_message_that_looks_like_a_stream_is_none(harness: Harness) -> None:
    harness.flow("f", [each(act("a"))])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {"stream": "x", "count": 3}))
        assert done.error is not None
        assert done.error.code == "foreach.not_a_list"


async def test_a_stream_may_pass_through_other_blocks(harness: Harness) -> None:
    fan = {"id": "fan", "parallel": {"one": [rows(3)]}}
    attempt = {"id": "safe", "try": [{**rows(4), "id": "more"}], "catch": [act("never")]}
    last = [{"id": "x", "foreach": "$.steps.fan.body.one", "steps": [act("a", "$.item.n")]}]
    harness.flow("f", [fan, attempt, each(act("b", "$.item.n")), *last])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.COMPLETED
        assert (values(harness, "a"), values(harness, "b")) == ([0, 1, 2], [0, 1, 2, 3])


async def test_a_reply_may_have_a_stream_for_its_body(harness: Harness) -> None:
    @harness.probe.connector.action
    async def listed(ctx: Context[Any]) -> Reply:
        """Give items and a header."""

        async def items() -> AsyncIterator[int]:
            yield 1
            yield 2

        return Reply(items(), {"X-Total": "2"})

    harness.flow("f", [{"id": "rows", "use": "probe.listed"}, each(act("a", ["$.item", "$.steps.rows.headers"]))])
    async with harness.engine() as engine:
        assert (await harness.until(engine, await harness.send(engine, "f", {}))).outcome is Outcome.COMPLETED
        assert values(harness, "a") == [[1, {"x-total": "2"}], [2, {"x-total": "2"}]]


# --- going on --------------------------------------------------------------------------------------------------------


async def test_a_stopped_engine_goes_on_from_the_items_that_are_not_done(harness: Harness) -> None:
    reached = asyncio.Event()

    async def hang(value: Any) -> Any:
        if value >= 1000 and not reached.is_set():
            await asyncio.sleep(0)
            if value >= 1010:
                reached.set()
            await asyncio.Event().wait()
        return value

    harness.probe.does.update(a=hang)
    harness.flow("f", [rows(), each(act("a", "$.item.n"), concurrency=16, collect="results"), act("last", 1)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        async with asyncio.timeout(30):
            await reached.wait()
    before = values(harness, "a")
    async with harness.engine() as engine:
        (progress,) = await engine.store.progress(execution_id)
        assert progress.finished >= 990
        entries = await engine.store.journal(execution_id)
        assert len(entries) < 20
        harness.probe.does.clear()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "rows") == [N], "the stream is not read from its source again"
        again = values(harness, "a")[len(before) :]
        assert len(set(before) & set(again)) <= 16
        assert set(before) | set(again) == set(range(N))
        keys: dict[int, set[str]] = {}
        for step, _, key, value in harness.probe.calls:
            if step == "a":
                keys.setdefault(value, set()).add(key)
        assert {len(found) for found in keys.values()} == {1}
        assert (await output(engine, execution_id, "each"))["body"]["count"] == N


async def test_items_that_wait_are_held_as_entries_and_no_more_than_a_bound(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreach_results, "MOST_WAITING", 10)
    pause = {"id": "pause", "use": "sleep", "with": {"for": "10m"}, "when": "{{ item.n % 20 == 7 }}"}
    harness.flow("f", [rows(300), each(act("a", "$.item.n"), pause, act("b", "$.item.n")), act("last", 1)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        assert values(harness, "a") == list(range(188))
        assert len(await engine.store.journal(execution_id)) < 40
    harness.clock.advance(601)
    async with harness.engine() as engine:
        await harness.until_calls(len(harness.probe.calls) + 10)
        await harness.until(engine, execution_id, State.WAITING)
        assert values(harness, "a")[-1] == 299
        while (execution := await engine.store.execution(execution_id)) and execution.state is not State.SUCCEEDED:
            harness.clock.advance(601)
            await asyncio.sleep(0.01)
        assert sorted(values(harness, "a")) == sorted(values(harness, "b")) == list(range(300))


async def test_the_first_failure_ends_it_and_a_retry_goes_on_there(harness: Harness) -> None:
    harness.probe.does.update(a=bad(1200))
    harness.flow("f", [rows(), each(act("a", "$.item.n"), concurrency=4), act("last", 1)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        done = await harness.until(engine, execution_id)
        assert done.error is not None
        assert done.error.step == "each[1200]/a"
        assert len(await engine.store.journal(execution_id)) < 20
        harness.probe.does.clear()
        before = len(values(harness, "a"))
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert set(values(harness, "a")) == set(range(N))
        assert values(harness, "a")[before:][0] == 1200
        assert len(values(harness, "a")) <= N + 4


async def test_items_that_are_done_stay_done_when_another_branch_ends_the_one_that_waits(harness: Harness) -> None:
    """The block is entered again in the same delivery, so that its waiting item runs its `finally`."""
    waits = asyncio.Event()

    async def bad_later(value: Any) -> Any:
        await waits.wait()
        raise StepError("bad", code="probe.bad", retryable=False)

    harness.probe.does.update(b=bad_later, last=fails(1, retryable=False))
    pause = {"id": "pause", "use": "sleep", "with": {"for": "1h"}, "when": "{{ item == 7 }}"}
    ends = act("last", "$.item", when="{{ item == 7 }}")
    block = each({"id": "t", "try": [act("a", "$.item"), pause], "finally": [ends]}, on_error="continue")
    harness.flow("f", [{"id": "p", "parallel": {"first": [block], "second": [act("b", 1)]}}, act("after", 1)])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", list(range(N)))
        async with asyncio.timeout(30):
            while [one.finished for one in await engine.store.progress(execution_id)] != [N - 1]:  # noqa: ASYNC110 - it is another task
                await asyncio.sleep(0.01)
        waits.set()
        assert (await harness.until(engine, execution_id)).outcome is Outcome.FAILED
        assert values(harness, "last") == [7]
        harness.probe.does.clear()
        await engine.operations.retry(execution_id, by=SYSTEM)
        await harness.until(engine, execution_id, State.SUCCEEDED)
        assert sorted(values(harness, "a")) == list(range(N))
        assert values(harness, "after") == [1]


async def test_items_that_fail_are_counted_and_the_first_of_them_shown(harness: Harness) -> None:
    harness.probe.does.update(a=bad(*range(0, N, 10)))
    harness.flow("f", [rows(), each(act("a", "$.item.n"), concurrency=8, on_error="continue"), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [{"count": N, "failed": N // 10}]
        shown = [record for record in await engine.store.journal(execution_id) if record.path.startswith("each[")]
        assert len(shown) == 100
        assert {record.error.code for record in shown if record.error is not None} == {"probe.bad"}
        assert shown[0].path == "each[0]/a"


async def test_an_item_whose_block_fails_is_shown_too(harness: Harness) -> None:
    switch = {"id": "s", "switch": [{"when": "$.item.n", "steps": [act("x")]}]}
    harness.flow("f", [rows(3), each(switch, on_error="continue"), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [{"count": 3, "failed": 3}]
        shown = [record for record in await engine.store.journal(execution_id) if record.path.startswith("each[")]
        assert len(shown) == 3


async def test_stop_in_an_item_ends_the_execution(harness: Harness) -> None:
    stop = {"id": "s", "switch": [{"when": "{{ item.n == 1100 }}", "steps": [{"use": "stop"}]}]}
    harness.flow("f", [rows(), each(act("a", "$.item.n"), stop), act("never")])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.outcome is Outcome.STOPPED
        assert values(harness, "a") == list(range(1101))
        assert values(harness, "never") == []


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_a_long_list_gives_its_results_and_leaves_no_entries_of_its_items(harness: Harness) -> None:
    harness.flow("f", [each(act("a", "$.item"), concurrency=16), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", list(range(N)))
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [list(range(N))]
        assert list(await harness.journal(engine, execution_id)) == ["each", "last"]


@pytest.mark.rule(26)
async def test_a_short_list_keeps_the_entries_of_its_items_and_may_be_counted(harness: Harness) -> None:
    harness.probe.does.update(a=bad(1))
    harness.flow("f", [each(act("a", "$.item"), on_error="continue", collect="count"), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", [0, 1, 2])
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [{"count": 3, "failed": 1}]
        assert "each[1]/a" in await harness.journal(engine, execution_id)


async def test_results_of_a_long_list_that_are_large_are_a_stream(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.executions.blocks.foreach_results.LARGEST_LIST", 1000)
    harness.flow("f", [each(act("a", "$.item"), concurrency=16), act("last", "$.body.count")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", list(range(N)))
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [N]


async def test_lists_inside_lists_keep_few_entries_however_short_each_is(harness: Harness) -> None:
    inner = {"id": "inner", "foreach": "$.body", "steps": [act("a", "$.item")]}
    harness.flow("f", [each(inner, concurrency=4), act("last", "$.body")])
    async with harness.engine() as engine:
        body = [[[0, 1, 2, 3, 4], [5]][number % 2] for number in range(300)]
        execution_id = await harness.send(engine, "f", body)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert values(harness, "last") == [body]
        assert len(await engine.store.journal(execution_id)) < 800


async def test_a_list_inside_the_items_of_a_stream_goes_with_the_item(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreach_results, "ROOM_INSIDE", 10)
    inner = {"id": "inner", "foreach": "{{ range(item.n) | list }}", "steps": [act("a", "$.item")], "as": "part"}
    harness.probe.does.update(b=fails(1))
    late = act("b", "$.steps.inner.body", retry={"attempts": 2, "wait": "10m"})
    harness.flow("f", [rows(30), each(inner, late), act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await harness.until(engine, execution_id, State.WAITING)
        (progress,) = await engine.store.progress(execution_id)
        assert progress.done == ((1, 30),)
    harness.clock.advance(601)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert len(values(harness, "b")) == 31
        assert len(values(harness, "a")) == 30 * 29 // 2
        assert list(await harness.journal(engine, execution_id)) == ["rows", "each", "last"]
        assert list(await engine.store.progress(execution_id)) == []


async def test_a_stream_stays_in_its_execution(harness: Harness) -> None:
    harness.flow("g", [act("never")])
    harness.flow("f", [rows(3), {"id": "call", "use": "flow", "with": {"id": "g"}}])
    async with harness.engine() as engine:
        done = await harness.until(engine, await harness.send(engine, "f", {}))
        assert done.error is not None
        assert (done.error.code, done.error.step) == ("step.stream", "call")
        assert harness.probe.steps() == ["rows"]


async def test_who_waits_for_the_flows_end_gets_the_count_of_a_stream(harness: Harness) -> None:
    trigger = {"use": "webhook", "with": {"verify": "none", "respond": "finished"}}
    harness.flow("f", [rows(3)], trigger=trigger)
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        assert (await output(engine, execution_id, FINISHED))["body"] == {"count": 3}


async def test_a_long_list_of_steps_that_only_compute_can_be_cancelled(harness: Harness) -> None:
    step = {"id": "doubled", "use": "map", "with": {"body": "{{ item * 2 }}"}}
    harness.flow("f", [{"id": "each", "foreach": "$.body", "steps": [step], "collect": "count"}, act("last")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", list(range(50_000)))
        await harness.until(engine, execution_id, State.RUNNING)
        await engine.operations.cancel(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id)).outcome is Outcome.CANCELLED
        progress = await engine.store.progress(execution_id)
        assert all(one.done[-1][1] < 50_000 for one in progress), "it went on to the last item"
        assert values(harness, "last") == []
