"""What flows keep from one execution to the next: `state.get`, `state.set`, and `ctx.state`."""

from decimal import Decimal
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, each, fails

from hookline.api import Connector, Context, Increment, StepError, hookimpl
from hookline.kernel.json import decode
from hookline.model.execution import State
from hookline.sdk.context_parts import check_key
from hookline.storage.change_declarations import SetState


def keep(step_id: str, key: str = "k", **settings: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "state.set", "with": {"key": key, **settings}}


def read(step_id: str, key: str = "k", **settings: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "state.get", "with": {"key": key, **settings}}


async def results(harness: Harness, body: Any = None, **settings: Any) -> dict[str, Any]:
    """The bodies of the steps of an execution of the flow `f`, which succeeds."""
    async with harness.engine() as engine:
        id_ = await harness.send(engine, "f", body)
        assert (await harness.until(engine, id_)).state is State.SUCCEEDED
        journal = await harness.journal(engine, id_)
    return {path: None if one.output is None else decode(one.output)["body"] for path, one in journal.items()}


async def test_the_next_execution_reads_what_one_has_kept(harness: Harness) -> None:
    harness.flow("f", [read("before", default="nothing"), keep("keep", value={"n": [1, None]}), read("after")])
    assert await results(harness) == {"before": "nothing", "keep": None, "after": {"n": [1, None]}}
    assert (await results(harness))["before"] == {"n": [1, None]}


@pytest.mark.rule(20)
async def test_null_removes_what_is_kept_and_the_message_passes_on(harness: Harness) -> None:
    harness.flow("f", [keep("one", value=1), keep("none", value=None), act("see"), read("after", default="gone")])
    found = await results(harness, {"the": "message"})
    assert found["see"] == {"the": "message"}
    assert found["after"] == "gone"


async def test_items_see_what_the_items_before_them_kept(harness: Harness) -> None:
    steps = [
        read("last", default=0),
        keep("keep", value="{{ item }}"),
        {"id": "m", "use": "map", "with": {"body": "$.steps.last.body"}},
    ]
    harness.flow("f", [each(*steps), act("see")])
    assert (await results(harness, [1, 2, 3]))["see"] == [0, 1, 2]


async def test_what_flows_keep_is_their_own(harness: Harness) -> None:
    harness.flow("other", [keep("keep", value=1)])
    harness.flow("f", [read("see", default="nothing")])
    async with harness.engine() as engine:
        await harness.until(engine, await harness.send(engine, "other", None))
    assert (await results(harness))["see"] == "nothing"


async def test_a_counter_counts_each_execution_once_however_many_run_at_one_time(harness: Harness) -> None:
    harness.flow("f", [keep("n", add=1), act("see")])
    async with harness.engine() as engine:
        ids = [await harness.send(engine, "f", None) for _ in range(50)]
        for id_ in ids:
            await harness.until(engine, id_)
        assert await engine.store.state("f", "k") == b"50"
    assert sorted(value for _, _, _, value in harness.probe.calls) == list(range(1, 51))


async def test_files_stay_with_the_message_whose_step_counts(harness: Harness) -> None:
    async def made(_: Any) -> bytes:
        return b"a file"

    harness.probe.does["made"] = made
    harness.flow("f", [act("made"), keep("n", add=1), act("see", "{{ attachments | length }}")])
    assert (await results(harness))["see"] == 1


async def test_items_side_by_side_count_and_each_gets_its_number(harness: Harness) -> None:
    harness.flow("f", [each(keep("n", add="{{ item }}"), concurrency=8), act("see")])
    found = await results(harness, [1] * 300)
    assert sorted(found["see"]) == list(range(1, 301))


async def test_fractions_are_counted_digit_for_digit(harness: Harness) -> None:
    harness.flow("f", [keep("a", add=0.1), keep("b", add=0.2), act("see")])
    assert (await results(harness))["see"] == 0.3


async def test_a_flow_with_exact_numbers_keeps_and_counts_decimals(harness: Harness) -> None:
    trigger = {"use": "webhook", "with": {"verify": "none", "numbers": "exact"}}
    harness.flow(
        "f",
        [keep("keep", value="$.body"), read("get"), act("see"), keep("n", "n", add="$.body"), act("sum")],
        trigger=trigger,
    )
    await results(harness, Decimal("1.10"))
    assert [str(value) for _, _, _, value in harness.probe.calls] == ["1.10", "1.10"]


async def test_what_is_no_number_can_not_be_counted_on_and_the_step_says_so(harness: Harness) -> None:
    harness.flow(
        "f",
        [keep("word", value="seven"), {"id": "t", "try": [keep("n", add=1)], "catch": [act("see", "$.error.code")]}],
    )
    await results(harness)
    assert [value for _, _, _, value in harness.probe.calls] == ["state.not_a_number"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"key": "k"}, "state.settings"),
        ({"key": "k", "value": 1, "add": 1}, "state.settings"),
        ({"key": "a\nb", "value": 1}, "state.key"),
        ({"key": "k", "value": "$.body"}, "state.too_large"),
        ({"key": "{{ body[:201] }}", "value": 1}, "step.settings"),
        ({"key": "k", "add": "{{ body[:2] }}"}, "step.settings"),
    ],
)
async def test_what_is_out_of_bounds_is_rejected(harness: Harness, given: dict[str, Any], code: str) -> None:
    harness.flow("f", [{"id": "bad", "use": "state.set", "with": given}])
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", "x" * 262_143))
        assert execution.error is not None
        assert execution.error.code == code
        assert (await engine.store.state_entries("f")).items == ()


class Keeper:
    """A plugin that changes what the flow keeps, and may fail then."""

    def __init__(self) -> None:
        self.does = fails(0)
        self.connector = Connector("keeper")

        @self.connector.action
        async def bump(ctx: Context[None], counts: bool = False) -> Any:
            """Count by hand."""
            before = await ctx.state.get("k") or 0
            assert isinstance(before, int)
            await ctx.state.set("k", before + 1)
            await self.does(None)
            return Increment("n") if counts else await ctx.state.get("k")

        @self.connector.action(pure=True)
        async def pure(ctx: Context[None]) -> Any:
            """Ask for what isn't there."""
            return await ctx.state.get("k")

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """The keeper."""
        return [self.connector]


async def test_an_attempt_that_fails_keeps_nothing(harness: Harness) -> None:
    keeper = Keeper()
    keeper.does = fails(2)
    harness.plugins.append(keeper)
    harness.flow("f", [{"id": "bump", "use": "keeper.bump", "retry": {"attempts": 3, "wait": "1ms"}}])
    async with harness.engine() as engine:
        id_ = await harness.send(engine, "f", None)
        await harness.advance_until(engine, id_)
        assert await engine.store.state("f", "k") == b"1"


async def test_an_action_keeps_values_in_the_commit_in_which_it_counts(harness: Harness) -> None:
    harness.plugins.append(Keeper())
    harness.flow("f", [{"id": "bump", "use": "keeper.bump", "with": {"counts": True}}, act("see")])
    commits: list[list[str]] = []
    async with harness.engine() as engine:
        commit = engine.store.commit

        async def heard(changes: Any) -> Any:
            commits.append([type(change).__name__ for change in changes])
            return await commit(changes)

        engine.store.commit = heard  # type: ignore[method-assign]
        await harness.until(engine, await harness.send(engine, "f", None))
        assert (await engine.store.state("f", "k"), await engine.store.state("f", "n")) == (b"1", b"1")
    assert [one for one in commits if "AddState" in one] == [["AddState"]]


async def test_an_action_that_cannot_count_keeps_nothing(harness: Harness) -> None:
    harness.plugins.append(Keeper())
    harness.flow("f", [{"id": "bump", "use": "keeper.bump", "with": {"counts": True}}])
    async with harness.engine() as engine:
        await engine.store.commit([SetState("f", "n", b'"no number"', harness.clock.now())])
        execution = await harness.until(engine, await harness.send(engine, "f", None), State.FAILED)
        assert execution.error is not None
        assert execution.error.code == "state.not_a_number"
        assert (await engine.store.state("f", "k"), await engine.store.state("f", "n")) == (None, b'"no number"')


async def test_a_pure_action_has_no_state(harness: Harness) -> None:
    harness.plugins.append(Keeper())
    harness.flow("f", [{"id": "p", "use": "keeper.pure"}])
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", None))
        assert execution.error is not None
        assert execution.error.code == "connector.defect"


async def test_what_another_execution_sets_later_is_seen(harness: Harness) -> None:
    harness.flow("f", [keep("keep", value=1), act("between"), read("see")])

    async with harness.engine() as engine:

        async def other(value: Any) -> Any:
            await engine.store.commit([SetState("f", "k", b'"theirs"', harness.clock.now())])
            return value

        harness.probe.does["between"] = other
        id_ = await harness.send(engine, "f", None)
        await harness.until(engine, id_)
        see = (await harness.journal(engine, id_))["see"]
        assert decode(see.output or b"")["body"] == "theirs"


def test_a_key_can_be_rejected_before_anything_runs() -> None:
    with pytest.raises(StepError, match="can't be empty"):
        check_key("")
