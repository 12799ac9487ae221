"""A `filter` ends its branch: a case, an item, a branch of a parallel, or the flow; a `try` is no branch."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act

from hookline.model.execution import Outcome, State

STOPS = {"id": "none", "use": "filter", "with": {"keep": False}}
NEVER = act("never")


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def case(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"id": "kind", "switch": [{"when": True, "steps": list(steps)}], **settings}


def tried(*steps: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"id": "safe", "try": list(steps), "finally": [act("last")], **parts}


def fails_at_once(step_id: str) -> dict[str, Any]:
    return {"id": step_id, "use": "fail", "with": {"message": "no"}}


CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[str, Any]], Outcome]] = {
    "the flow": ([act("a"), STOPS, NEVER], [("a", 1)], Outcome.FILTERED),
    "a case": ([case(act("a", 2), STOPS, NEVER), act("after")], [("a", 2), ("after", 2)], Outcome.COMPLETED),
    "a case of all": (
        [case(act("a", 2), STOPS, NEVER, match="all"), act("after")],
        [("a", 2), ("after", 1)],
        Outcome.COMPLETED,
    ),
    "an item": (
        [
            {
                "id": "lines",
                "foreach": [1, 2, 3],
                "steps": [{"id": "odd", "use": "filter", "with": {"keep": "{{ item != 2 }}"}}, act("a")],
            },
            act("after"),
        ],
        [("a", 1), ("a", 3), ("after", [1, 3])],
        Outcome.COMPLETED,
    ),
    "a branch of a parallel": (
        [{"id": "both", "parallel": {"left": [STOPS, NEVER], "right": [act("a")]}}, act("after")],
        [("a", 1), ("after", {"right": 1})],
        Outcome.COMPLETED,
    ),
    "a try in the flow": (
        [tried(act("a"), STOPS, NEVER), act("never_after")],
        [("a", 1), ("last", 1)],
        Outcome.FILTERED,
    ),
    "a catch in the flow": (
        [tried(fails_at_once("bad"), catch=[STOPS, NEVER]), act("never_after")],
        [("last", 1)],
        Outcome.FILTERED,
    ),
    "a finally": (
        [tried(act("a"), **{"finally": [STOPS, NEVER]}), act("after")],
        [("a", 1), ("after", 1)],
        Outcome.COMPLETED,
    ),
    "a try in a case": (
        [case(tried(STOPS, NEVER), act("never_too")), act("after")],
        [("last", 1), ("after", 1)],
        Outcome.COMPLETED,
    ),
    "a try in an item": (
        [{"id": "lines", "foreach": [1, 2], "steps": [tried(STOPS, NEVER), act("never_too")]}, act("after")],
        [("last", 1), ("last", 2), ("after", [])],
        Outcome.COMPLETED,
    ),
    "a case in an item": (
        [{"id": "lines", "foreach": [1], "steps": [case(STOPS, NEVER), act("a")]}, act("after")],
        [("a", 1), ("after", [1])],
        Outcome.COMPLETED,
    ),
    "a case in a try": (
        [tried(case(STOPS, NEVER), act("a")), act("after")],
        [("a", 1), ("last", 1), ("after", 1)],
        Outcome.COMPLETED,
    ),
}


@pytest.mark.rule(26)
@pytest.mark.parametrize("place", CASES)
async def test_a_filter_ends_its_branch_and_nothing_else(harness: Harness, place: str) -> None:
    steps, calls, outcome = CASES[place]
    harness.flow("f", steps)
    async with harness.engine() as engine:
        ended = await harness.until(engine, await harness.send(engine, "f", 1))
        assert (ended.state, ended.outcome) == (State.SUCCEEDED, outcome)
    assert [(step, value) for step, _, _, value in harness.probe.calls] == calls


@pytest.mark.rule(26)
@pytest.mark.parametrize("place", ["case", "item", "branch", "try"])
async def test_a_stop_ends_the_execution_wherever_it_is(harness: Harness, place: str) -> None:
    stop = {"id": "end", "use": "stop"}
    steps = {
        "case": case(stop),
        "item": {"id": "lines", "foreach": [1], "steps": [stop]},
        "branch": {
            "id": "both",
            "parallel": {"left": [stop], "right": [{"id": "n", "use": "log", "with": {"message": "x"}}]},
        },
        "try": tried(stop),
    }
    harness.flow("f", [steps[place], NEVER])
    async with harness.engine() as engine:
        assert (await harness.until(engine, await harness.send(engine, "f", 1))).outcome is Outcome.STOPPED
    assert "never" not in harness.probe.steps()
