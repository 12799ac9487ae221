"""What goes through a large message in Python runs in a thread, so that it holds nobody up."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator
from tests.integration.engine_harness import Harness, act, each

from hookline.executions.blocks import block_expressions, foreach
from hookline.executions.blocks.foreach_items import ListItems
from hookline.executions.steps import attempt
from hookline.flows.elements.expressions import Condition
from hookline.kernel.json import JsonValue
from hookline.model.execution import FINAL, State

LARGE = [[number, {"sku": "A1"}] for number in range(3000)]
SMALL = LARGE[:3]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[bool]]]:
    """For each kind of work, whether it was done beside the event loop."""
    loop, found = threading.get_ident(), dict[str, set[bool]]()

    def watch(owner: Any, name: str, kind: str) -> None:
        work = getattr(owner, name)

        def watched(*args: Any, **settings: Any) -> Any:
            found.setdefault(kind, set()).add(threading.get_ident() != loop)
            return work(*args, **settings)

        monkeypatch.setattr(owner, name, watched)

    watch(attempt, "normalize_result", "results")
    watch(Condition, "evaluate", "conditions")
    return found


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The keys of blocks whose expressions are evaluated, each with whether that is done beside the event loop."""
    loop, found, work = threading.get_ident(), list[tuple[str, bool]](), block_expressions.evaluate

    def watched(run: Any, expression: Any, scope: Any, key: str, path: str) -> Any:
        found.append((key, threading.get_ident() != loop))
        return work(run, expression, scope, key, path)

    monkeypatch.setattr(block_expressions, "evaluate", watched)
    return found


async def run(harness: Harness, body: Any, steps: Sequence[dict[str, Any]]) -> None:
    harness.flow("f", steps)
    async with harness.engine() as engine:
        execution = await harness.send(engine, "f", body)
        assert (await harness.until(engine, execution, *FINAL)).error is None


def settings_seen(harness: Harness) -> list[bool]:
    """Add an action whose settings note whether they were validated beside the event loop."""
    loop, seen = threading.get_ident(), list[bool]()

    def note(value: Any) -> Any:
        seen.append(threading.get_ident() != loop)
        return value

    @harness.probe.connector.action
    async def noted(value: Annotated[JsonValue, AfterValidator(note)] = None) -> Any:
        """Give the value back."""
        return value

    return seen


@pytest.mark.rule(16)
@pytest.mark.parametrize(("body", "offloaded"), [(LARGE, True), (SMALL, False)])
async def test_settings_conditions_and_results_of_a_large_message_are_made_in_a_thread(
    harness: Harness, beside: dict[str, set[bool]], body: Any, offloaded: bool
) -> None:
    validated = settings_seen(harness)
    cases = [{"when": "{{ body | length > 100000 }}", "steps": []}, {"otherwise": True, "steps": []}]
    step = {"id": "one", "use": "probe.noted", "with": {"value": "$.body"}, "when": "{{ body | length > 1 }}"}
    await run(harness, body, [step, {"id": "choose", "switch": cases}])
    # The flow is checked by a value when it is read.
    assert validated[-1] is offloaded
    assert beside == {"results": {offloaded}, "conditions": {offloaded}}


async def test_a_message_that_a_step_made_large_is_large_from_then_on(
    harness: Harness, beside: dict[str, set[bool]]
) -> None:
    async def grow(_: Any) -> Any:
        return LARGE

    harness.probe.does["grow"] = grow
    validated = settings_seen(harness)
    await run(
        harness,
        SMALL,
        [
            {"id": "before", "use": "probe.noted", "with": {"value": "$.body"}},
            act("grow"),
            {"id": "small", "use": "map", "with": {"body": {"a": 1}}},
            {"id": "after", "use": "probe.noted", "with": {"value": "$.steps.grow.body"}},
        ],
    )
    assert validated[-2:] == [False, True]
    assert beside == {"results": {False, True}}


@pytest.mark.parametrize(("body", "offloaded"), [(LARGE, True), (SMALL, False)])
async def test_what_a_called_flow_gets_of_a_large_message_is_made_in_a_thread(
    harness: Harness, keys: list[tuple[str, bool]], body: Any, offloaded: bool
) -> None:
    harness.flow("child", [])
    given = {"id": "child", "wait": False, "body": "{{ body[:2] }}", "headers": {"x-count": "{{ body | length }} rows"}}
    await run(harness, body, [{"id": "call", "use": "flow", "with": given}])
    assert keys == [("body", offloaded), ("headers", offloaded)]


@pytest.mark.parametrize(("body", "offloaded"), [(LARGE, True), (SMALL, False)])
async def test_the_key_of_a_wait_is_taken_from_a_large_message_in_a_thread(
    harness: Harness, keys: list[tuple[str, bool]], body: Any, offloaded: bool
) -> None:
    correlate = {"key": "{{ body | length }}", "from": "$.body.count"}
    harness.flow("f", [{"id": "wait", "use": "webhook", "with": {"verify": "none", "correlate": correlate}}])
    async with harness.engine() as engine:
        execution = await harness.send(engine, "f", body)
        await harness.until(engine, execution, State.WAITING)
    assert keys == [("correlate.key", offloaded)]


async def test_items_of_a_large_list_see_what_they_would_see_of_a_small_one(harness: Harness) -> None:
    numbers = list(range(12_000))
    harness.flow("f", [{"id": "m", "use": "map", "with": {"body": "{{ body[:3] }}"}}, each(act("one", "$.item"))])
    async with harness.engine() as engine:
        execution = await harness.send(engine, "f", numbers)
        await harness.until(engine, execution, *FINAL)
    assert [call[3] for call in harness.probe.calls] == [0, 1, 2]


@pytest.mark.rule(16)
async def test_a_foreach_over_many_items_lets_others_have_their_turn(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of items that await nothing, few run in one go, however long each takes."""
    seconds, items = itertools.count(step=0.0004), Counter[int]()
    turn, take = 0, ListItems.take

    async def taken(source: ListItems) -> tuple[int, Any] | None:
        items[turn] += 1
        return await take(source)

    async def beside() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(foreach, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(ListItems, "take", taken)
    harness.flow("f", [each({"id": "one", "use": "map", "with": {"body": 1}})])
    async with harness.engine() as engine:
        watching = asyncio.create_task(beside())
        execution = await harness.send(engine, "f", [0] * 900)
        await harness.until(engine, execution, *FINAL)
        watching.cancel()
    assert items.total() > 900
    assert max(items.values()) < 10
