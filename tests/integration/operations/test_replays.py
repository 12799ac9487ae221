"""Executions are done again: whole or from a step, with other input, on the same or the current version."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, each, fails
from tests.integration.store_trouble import Trouble, holds

from hookline.engine import Engine
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowUnknown,
    IllegalStateChange,
    NotReplayable,
    SchemaViolation,
    StoreError,
)
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter, State
from hookline.operations.replay import Edit
from hookline.storage.change_declarations import Accept


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
async def engine(harness: Harness) -> AsyncIterator[Engine]:
    async with harness.engine() as engine:
        yield engine


async def ran(
    harness: Harness, engine: Engine, flow_id: str, steps: list[dict[str, Any]], body: Any, **flow: Any
) -> str:
    """An execution that has ended; what it called is forgotten."""
    harness.flow(flow_id, steps, **flow)
    await engine.version_switch.refresh()
    id_ = await harness.send(engine, flow_id, body)
    await harness.until(engine, id_)
    harness.probe.calls.clear()
    return id_


def called(harness: Harness) -> list[tuple[str, Any]]:
    return [(step, value) for step, _, _, value in harness.probe.calls]


CHAIN = [act("a", {"was": "$.body"}), act("b", {"was": "$.body"}), act("c", {"was": "$.body"})]


@pytest.mark.rule(32)
async def test_a_replay_is_an_execution_of_its_own_with_the_same_message(harness: Harness, engine: Engine) -> None:
    harness.flow("f", [act("a")])
    await engine.version_switch.refresh()
    first = await harness.send(engine, "f", {"n": 1}, dedupe_key="k")
    await harness.until(engine, first)
    again = await engine.operations.replay(first, by=SYSTEM)
    ended = await harness.until(engine, again)
    assert (ended.state, ended.replay_of) == (State.SUCCEEDED, first)
    assert called(harness) == [("a", {"n": 1})] * 2
    assert len({key for _, _, key, _ in harness.probe.calls}) == 2
    assert engine.intake.backlog("f") == 0


async def test_a_replay_that_cant_be_stored_does_not_count_as_queued(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    trouble = Trouble(engine, holds(Accept))
    with pytest.raises(StoreError):
        await engine.operations.replay(first, by=SYSTEM)
    assert (trouble.rejected, engine.intake.backlog("f")) == (1, 0)


async def test_a_replay_from_a_step_runs_it_and_what_follows(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    again = await engine.operations.replay(first, step="b", by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert called(harness) == [("b", {"was": {"was": 1}}), ("c", {"was": {"was": {"was": 1}}})]
    assert [entry.path for entry in await engine.store.journal(again)] == ["a", "b", "c"]


async def test_what_reaches_the_step_can_be_replaced(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    again = await engine.operations.replay(first, step="b", edit=Edit(body=b'{"other": true}'), by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert called(harness)[0] == ("b", {"was": {"other": True}})
    edited = (await engine.store.journal(again))[1]
    assert (edited.path, edited.use) == ("b#input", "replay")


async def test_an_edited_replay_that_fails_keeps_its_input_when_it_is_retried(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    harness.probe.does["c"] = fails(1, retryable=False)
    again = await engine.operations.replay(first, step="b", edit=Edit(body=b'"x"'), by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.FAILED
    await engine.operations.retry(again, by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert called(harness) == [("b", {"was": "x"}), ("c", {"was": {"was": "x"}}), ("c", {"was": {"was": "x"}})]
    harness.probe.calls.clear()
    third = await engine.operations.replay(again, step="c", by=SYSTEM)
    assert (await harness.until(engine, third)).state is State.SUCCEEDED
    assert called(harness) == [("c", {"was": {"was": "x"}})]


async def test_the_first_message_can_be_edited_whole_by_path_and_by_a_patch(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", [act("a")], {"n": 1, "lines": [{"sku": "a"}, {"sku": "b"}], "old": True})
    for edit, expected in (
        (Edit(body=b"[1]"), [1]),
        (
            Edit(paths={"$.body.n": 2, "$.body.lines[*].sku": "x", "$.body.new": 1}),
            {"n": 2, "lines": [{"sku": "x"}, {"sku": "x"}], "old": True, "new": 1},
        ),
        (Edit(merge={"n": 3, "old": None, "lines": []}), {"n": 3, "lines": []}),
    ):
        again = await engine.operations.replay(first, edit=edit, by=SYSTEM)
        await harness.until(engine, again)
        assert harness.probe.calls[-1][3] == expected
        kept = await engine.store.envelope(first)
        assert kept is not None
        assert kept.message.body["n"] == 1


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit(paths={"$.headers.x": 1}), "values are texts"),
        (Edit(paths={"$.steps.a": 1}), "must begin with"),
        (Edit(paths={"$.body.lines[*].sku": 1}), "nothing in the message matches"),
        (Edit(paths={"$.body.[": 1}), "can't be edited there"),
    ],
)
async def test_an_edit_that_cant_be_made_says_so(harness: Harness, engine: Engine, edit: Edit, says: str) -> None:
    first = await ran(harness, engine, "f", [act("a")], {"n": 1})
    with pytest.raises(NotReplayable, match=says):
        await engine.operations.replay(first, edit=edit, by=SYSTEM)


async def test_an_edited_message_has_to_satisfy_the_flows_schema(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", [act("a")], {"n": 1}, schema={"type": "object", "required": ["n"]})
    with pytest.raises(SchemaViolation):
        await engine.operations.replay(first, edit=Edit(body=b"{}"), by=SYSTEM)
    assert (await engine.store.executions(ExecutionFilter(replay_of=first))).items == ()


async def test_a_replay_runs_on_the_current_version_or_on_its_own(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    old = await engine.store.execution(first)
    harness.flow("f", [act("a"), act("b", "changed"), act("c")])
    await engine.version_switch.refresh()
    current = await harness.until(engine, await engine.operations.replay(first, step="b", by=SYSTEM))
    same = await harness.until(engine, await engine.operations.replay(first, step="b", version="same", by=SYSTEM))
    whole = await harness.until(engine, await engine.operations.replay(first, version="same", by=SYSTEM))
    assert old is not None
    assert current.flow_version != old.flow_version
    assert {same.flow_version, whole.flow_version} == {old.flow_version}
    assert called(harness)[:3] == [("b", "changed"), ("c", "changed"), ("b", {"was": {"was": 1}})]
    assert called(harness)[4] == ("a", {"was": 1})


async def test_a_replay_on_its_own_version_leaves_the_order_of_deployments_as_it_is(
    harness: Harness, engine: Engine
) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    harness.flow("f", [act("a"), act("b", "changed"), act("c")])
    harness.clock.advance(60)
    await engine.version_switch.refresh()
    before = await engine.store.flow_versions("f")
    harness.clock.advance(60)
    await harness.until(engine, await engine.operations.replay(first, step="b", version="same", by=SYSTEM))
    assert await engine.store.flow_versions("f") == before


async def test_a_step_that_uses_something_else_now_runs_again_though_it_stands_before(
    harness: Harness, engine: Engine
) -> None:
    first = await ran(harness, engine, "f", CHAIN, 1)
    harness.flow("f", [{"id": "a", "use": "map", "with": {"body": "mapped"}}, act("b"), act("c")])
    await engine.version_switch.refresh()
    await harness.until(engine, await engine.operations.replay(first, step="b", by=SYSTEM))
    assert called(harness)[0] == ("b", "mapped")


BLOCKS = [
    act("first"),
    {"id": "par", "parallel": {"left": [act("l1"), act("l2")], "right": [act("r1")]}},
    {"id": "sw", "switch": [{"when": True, "steps": [act("s1"), act("s2")]}], "match": "all"},
    {"id": "safe", "try": [act("t1"), act("t2")], "catch": [act("c1"), act("c2")], "finally": [act("f1")]},
    {"id": "lines", "foreach": [10, 20], "steps": [act("i1"), act("i2")]},
    act("last"),
]


@pytest.mark.rule(46)
@pytest.mark.parametrize(
    ("step", "runs"),
    [
        ("first", "first l1 l2 r1 s1 s2 t1 t2 c1 c2 f1 i1 i2 i1 i2 last"),
        ("par/l2", "l2 s1 s2 t1 t2 c1 c2 f1 i1 i2 i1 i2 last"),
        ("par", "l1 l2 r1 s1 s2 t1 t2 c1 c2 f1 i1 i2 i1 i2 last"),
        ("s2", "s2 t1 t2 c1 c2 f1 i1 i2 i1 i2 last"),
        ("t2", "t2 c1 c2 f1 i1 i2 i1 i2 last"),
        ("c2", "c2 f1 i1 i2 i1 i2 last"),
        ("f1", "f1 i1 i2 i1 i2 last"),
        ("lines", "i1 i2 i1 i2 last"),
        ("lines[1]/i2", "i2 last"),
        ("lines[0]/i1", "i1 i2 last"),
        ("last", "last"),
    ],
)
async def test_what_ran_before_or_beside_a_step_inside_blocks_isnt_run_again(
    harness: Harness, engine: Engine, step: str, runs: str
) -> None:
    async def t2(_: Any) -> Any:
        raise ValueError("no")

    harness.probe.does["t2"] = t2
    first = await ran(harness, engine, "f", BLOCKS, 1)
    again = await engine.operations.replay(first, step=step, by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert sorted(harness.probe.steps()) == sorted(runs.split())


async def test_a_failed_execution_is_replayed_from_the_step_that_failed(harness: Harness, engine: Engine) -> None:
    harness.probe.does["i1"] = fails(1, retryable=False)
    first = await ran(harness, engine, "f", [act("a"), each(act("i1"), act("i2")), act("b")], [1, 2])
    again = await engine.operations.replay(first, step="i1", by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert called(harness) == [("i1", 1), ("i2", 1), ("i1", 2), ("i2", 2), ("b", [1, 2])]


@pytest.mark.rule(46)
@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("i1", "ran several times: give the path of one of each\\[0\\]/i1, each\\[1\\]/i1"),
        ("nothing", "has no step 'nothing'; its steps are a, each, each/i1, never, b"),
        ("never", "didn't reach step 'never'"),
        ("each[7]/i1", "didn't reach step 'each\\[7\\]/i1': it reached each\\[0\\]/i1, each\\[1\\]/i1"),
        ("each[1]", "didn't reach step 'each\\[1\\]': it reached each"),
        ("a[0]", "didn't reach step 'a\\[0\\]': it reached a"),
    ],
)
async def test_a_step_that_cant_be_replayed_from_says_why(
    harness: Harness, engine: Engine, step: str, says: str
) -> None:
    never = {**act("never"), "when": False}
    first = await ran(harness, engine, "f", [act("a"), each(act("i1")), act("b")], [1, 2])
    harness.flow("f", [act("a"), each(act("i1")), never, act("b")])
    await engine.version_switch.refresh()
    with pytest.raises(NotReplayable, match=says):
        await engine.operations.replay(first, step=step, by=SYSTEM)


@pytest.fixture
def reached_by_one_item(harness: Harness) -> list[dict[str, Any]]:
    """Steps of which the last inside each block is reached by the item 10 alone."""

    async def only_10(value: Any) -> Any:
        if value != 10:
            raise ValueError("no")
        return value

    harness.probe.does["first"] = only_10
    inner = {"id": "inner", "foreach": "{{ [body, body] }}", "steps": [act("in_inner")]}
    return [
        {
            "id": "lines",
            "foreach": [10, 20],
            "on_error": "continue",
            "steps": [
                {"id": "kind", "switch": [{"when": "{{ body == 10 }}", "steps": [act("tenth")]}]},
                {"id": "safe", "try": [act("first"), act("tried")], "finally": [act("closed")]},
                {"id": "both", "parallel": {"left": [act("in_left")], "right": [act("in_right")]}},
                {"id": "back", "use": "map", "with": {"body": "$.item"}},
                inner,
                act("post"),
            ],
        }
    ]


@pytest.mark.rule(46)
@pytest.mark.parametrize(
    "step", ["kind/tenth", "safe/tried", "both", "both/in_left", "both/in_right", "inner", "inner[0]/in_inner", "post"]
)
async def test_a_step_that_the_named_item_didnt_reach_isnt_replayed_for_another_item(
    harness: Harness, engine: Engine, reached_by_one_item: list[dict[str, Any]], step: str
) -> None:
    first = await ran(harness, engine, "f", reached_by_one_item, 1)
    journal = await harness.journal(engine, first)
    assert f"lines[0]/{step}" in journal
    with pytest.raises(NotReplayable, match=r"didn't reach step 'lines\[1\]/.*': it reached lines\[0\]/"):
        await engine.operations.replay(first, step=f"lines[1]/{step}", edit=Edit(body=b'"edited"'), by=SYSTEM)
    assert (await engine.store.executions(ExecutionFilter(replay_of=first))).items == ()


@pytest.mark.rule(46)
async def test_a_path_that_names_some_items_means_the_step_in_those(harness: Harness, engine: Engine) -> None:
    inner = {"id": "inner", "foreach": "{{ range(body) | list }}", "steps": [act("post", "edited {{ body }}")]}
    first = await ran(harness, engine, "f", [{"id": "lines", "foreach": [1, 2], "steps": [inner]}], 1)
    again = await engine.operations.replay(first, step="lines/inner[1]/post", edit=Edit(body=b'"x"'), by=SYSTEM)
    await harness.until(engine, again)
    assert called(harness) == [("post", "edited x")]
    edited = [record.path for record in await engine.store.journal(again) if record.use == "replay"]
    assert edited == ["lines[1]/inner[1]/post#input"]
    with pytest.raises(NotReplayable, match="ran several times"):
        await engine.operations.replay(first, step="lines/inner[0]/post", by=SYSTEM)


@pytest.mark.rule(46)
@pytest.mark.parametrize("on_error", ["continue", "fail"])
async def test_an_item_among_so_many_that_they_arent_recorded_isnt_replayed_alone(
    harness: Harness, engine: Engine, on_error: str
) -> None:
    """The journal keeps the failed items alone, and a replay from one would run all the others again."""

    async def not_5(value: Any) -> Any:
        if value == 5:
            raise ValueError("no")
        return value

    harness.probe.does["post"] = not_5
    lines = {"id": "lines", "foreach": "{{ range(1001) | list }}", "on_error": on_error, "steps": [act("post")]}
    first = await ran(harness, engine, "f", [lines], 1)
    assert "lines[5]/post" in await harness.journal(engine, first)
    with pytest.raises(NotReplayable, match=r"'lines' had so many items that .* choose 'lines' or a step before it"):
        await engine.operations.replay(first, step="lines[5]/post", by=SYSTEM)


async def test_what_isnt_there_is_not_replayed(harness: Harness, engine: Engine) -> None:
    with pytest.raises(ExecutionNotFound):
        await engine.operations.replay(engine.ids.new(), by=SYSTEM)
    first = await ran(harness, engine, "f", CHAIN, 1)
    harness.flow("f", CHAIN, state="stopped")
    await engine.version_switch.refresh()
    with pytest.raises(FlowUnknown):
        await engine.operations.replay(first, by=SYSTEM)
    edit = Edit(merge={}, paths={"$.body": 1})
    with pytest.raises(NotReplayable, match="as a whole"):
        await engine.operations.replay(first, step="a", version="same", edit=edit, by=SYSTEM)


async def test_a_replay_waits_for_its_turn_where_its_flow_runs_in_order(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", CHAIN, {"key": "x"}, order_by="$.body.key")
    gate = harness.probe.does["a"] = fails(0)
    assert gate
    ids = [await engine.operations.replay(first, step="b", by=SYSTEM), await engine.operations.replay(first, by=SYSTEM)]
    for id_ in ids:
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED
    kept = await engine.store.envelope(ids[0])
    assert kept is not None
    assert kept.order_key is not None
    assert kept.dedupe_key is None


async def test_dead_letters_are_replayed_once_each_however_often_it_is_asked_for(
    harness: Harness, engine: Engine
) -> None:
    harness.flow("f", [act("a")])
    await engine.version_switch.refresh()
    harness.probe.does["a"] = fails(3, retryable=False)
    failed = [await harness.send(engine, "f", number) for number in range(3)]
    for id_ in failed:
        assert (await harness.until(engine, id_)).state is State.FAILED
    (group,) = (await engine.store.dead_letters()).items
    assert (group.count, group.error.code) == (3, "probe.away")
    chosen = ExecutionFilter(flow_id="f", cause=group.cause)
    first = await engine.operations.bulk("replay", chosen, limit=2, by=SYSTEM)
    assert [id_ for id_, _ in first.done] == failed[:0:-1]
    assert first.next == failed[1]
    rest = await engine.operations.bulk("replay", chosen, limit=2, by=SYSTEM)
    assert ([id_ for id_, _ in rest.done], rest.next) == ([failed[0]], None)
    assert (await engine.operations.bulk("replay", chosen, by=SYSTEM)).done == ()
    assert (await engine.store.dead_letters()).items == ()
    for _, again in (*first.done, *rest.done):
        assert again is not None
        assert (await harness.until(engine, again)).state is State.SUCCEEDED


async def test_a_bulk_operation_says_with_which_it_couldnt_be_done(harness: Harness, engine: Engine) -> None:
    first = await ran(harness, engine, "f", [act("a")], 1)
    done = await engine.operations.bulk("cancel", ExecutionFilter(flow_id="f"), by=SYSTEM)
    assert done.done == ()
    assert [(one.id, one.code) for one in done.rejected] == [(first, "execution.state")]
    with pytest.raises(IllegalStateChange):
        await engine.operations.discard(first, by=SYSTEM)


@pytest.mark.rule(32)
async def test_a_replay_from_a_step_takes_the_failures_before_it_that_the_flow_continued_after(
    harness: Harness, engine: Engine
) -> None:
    harness.probe.does.update(work=fails(1, retryable=False))
    harness.flow("child", [act("work")])
    calling = {"id": "call", "use": "flow", "with": {"id": "child"}, "on_error": "continue"}
    first = await ran(harness, engine, "f", [calling, act("a"), act("b")], {})
    again = await engine.operations.replay(first, step="b", by=SYSTEM)
    assert (await harness.until(engine, again)).state is State.SUCCEEDED
    assert harness.probe.steps() == ["b"]
    assert len((await engine.store.executions(ExecutionFilter(flow_id="child"))).items) == 1
