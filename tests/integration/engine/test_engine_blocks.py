"""The blocks of the flow language while they run: foreach, switch, filter, when."""

import json
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, fails

from hookline.model.execution import Outcome, State, StepState


@pytest.mark.rule(25, 26)
async def test_foreach_collects_results_in_order_leaves_filtered_items_out_and_names_paths(harness: Harness) -> None:
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


@pytest.mark.rule(26)
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


@pytest.mark.rule(26)
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


@pytest.mark.rule(20)
async def test_a_step_whose_when_is_false_passes_the_message_on(harness: Harness) -> None:
    harness.flow("f", [act("skipped", "other", when="{{ body == 2 }}"), act("end")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", 1)
        await harness.until(engine, execution_id)
        journal = await harness.journal(engine, execution_id)
    assert journal["skipped"].state is StepState.SKIPPED
    assert [call[3] for call in harness.probe.calls] == [1]


@pytest.mark.rule(15)
async def test_a_condition_that_is_neither_true_nor_false_fails_its_step(harness: Harness) -> None:
    harness.flow("f", [act("one", when="$.body")])
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", "false"))
    assert execution.error is not None
    assert execution.error.step == "one"
    assert execution.error.code.startswith("expression.")
