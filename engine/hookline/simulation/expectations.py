"""Comparing the result of a case with its expectation."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from hookline.kernel.json import reader
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.execution import StepRecord, StepState
from hookline.simulation.cases import Case, ExpectedCall
from hookline.simulation.result import SimulatedCall, SimulationResult

_SECOND: Final = timedelta(seconds=1)


def compare_with_case(case: Case, ended: SimulationResult) -> tuple[str, ...]:
    """Return the differences between the result of a case and its expectation; none if it passed."""
    expect, named = case.expect, case.expect.model_fields_set
    found: list[str] = list(ended.missing)
    outcome = "waiting" if ended.outcome is None else ended.outcome.value
    if outcome != expect.outcome:
        found.append(f"outcome should be {expect.outcome}, and is {outcome}{_why(ended)}")
    if "body" in named:
        found += json_differences(expect.body, ended.body, "body")
    if "error" in named:
        error = None if ended.error is None else msgspec.to_builtins(ended.error)
        found += json_differences(expect.error, error, "error")
    if "reply" in named:
        reply = None if ended.reply is None else msgspec.to_builtins(ended.reply)
        if reply is not None:
            reply = {"status": ended.reply.status, "headers": {}, "body": None, **reply} if ended.reply else None
        wanted = None if expect.reply is None else expect.reply.model_dump(exclude_unset=True)
        found += json_differences(wanted, reply, "reply")
    found += _step_differences(expect.steps, ended)
    if expect.path is not None:
        found += _path_differences(expect.path, ended.path)
    if expect.calls is not None:
        found += _call_differences(expect.calls, ended.calls)
    if expect.took is not None and abs(ended.took - expect.took) >= _SECOND:
        found.append(f"it should have taken {expect.took}, and took {ended.took}")
    return tuple(found)


def actual_step(records: Sequence[StepRecord], *, exact: bool) -> dict[str, Any]:
    """Return a step as in `expect.steps`: its result with `error`, `attempts` and `state`."""
    last = records[-1]
    output: dict[str, Any] = {} if last.output is None else reader(Any, exact=exact).decode(last.output)
    return {
        **output,
        "error": None if last.error is None else msgspec.to_builtins(last.error),
        "attempts": last.attempt,
        "state": last.state.value,
    }


def json_differences(expected: Any, actual: Any, place: str = "") -> list[str]:
    """Return the differences between two values. Keys that aren't expected are ignored; lists are compared whole."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return [f"{place or 'value'} should be an object, and is {_short(actual)}"]
        found: list[str] = []
        for key, value in expected.items():
            inner = f"{place}.{key}" if place else key
            if key not in actual:
                found.append(f"{inner} is missing")
            else:
                found += json_differences(value, actual[key], inner)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return [f"{place or 'value'} should be a list, and is {_short(actual)}"]
        if len(expected) != len(actual):
            items = counted(len(expected), "item")
            return [f"{place or 'value'} should have {items}, and has {len(actual)}: {_short(actual)}"]
        return [
            text
            for index, (left, right) in enumerate(zip(expected, actual, strict=True))
            for text in json_differences(left, right, f"{place}[{index}]")
        ]
    if isinstance(expected, float) and isinstance(actual, Decimal):
        # The result is exact but the flow's numbers aren't, so that the nearest float counts.
        actual = float(actual)
    # 1 and True are equal in Python, but not in JSON.
    if isinstance(expected, bool) is not isinstance(actual, bool) or expected != actual:
        return [f"{place or 'value'} should be {_short(expected)}, and is {_short(actual)}"]
    return []


def _why(ended: SimulationResult) -> str:
    if ended.error is not None:
        return f": {ended.error.step or 'flow'}: {ended.error.message}"
    if ended.unanswered:
        return f": nobody calls {', '.join(ended.unanswered)}; the case's answers say who does"
    return f": {ended.reason}" if ended.outcome is None and ended.reason else ""


def _step_differences(expected: dict[str, Any], ended: SimulationResult) -> list[str]:
    found: list[str] = []
    for path, wanted in expected.items():
        records = ended.steps.get(path, ())
        ran = bool(records) and records[-1].state is not StepState.SKIPPED
        if wanted is None:
            if ran:
                found.append(f"step {path} should not have run, and did")
        elif not ran:
            found.append(f"step {path} should have run, and did not")
        else:
            found += json_differences(wanted, actual_step(records, exact=ended.exact), f"steps.{path}")
    return found


def _path_differences(expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    for index, wanted in enumerate(expected):
        if index >= len(actual):
            return [f"path: {wanted} should have come next, and nothing did"]
        if actual[index] != wanted:
            return [f"path: {wanted} should have come next, and {actual[index]} did"]
    if len(actual) > len(expected):
        return [f"path: it should have ended, and {actual[len(expected)]} came"]
    return []


def _call_differences(expected: Sequence[ExpectedCall], actual: Sequence[SimulatedCall]) -> list[str]:
    if len(expected) != len(actual):
        made = ", ".join(call.step for call in actual) or "none"
        return [f"there should be {len(expected)} calls, and there are {len(actual)}: {made}"]
    found: list[str] = []
    for number, (wanted, call) in enumerate(zip(expected, actual, strict=True)):
        place = f"calls[{number}]"
        if wanted.step is not None:
            found += json_differences(wanted.step, call.step, f"{place}.step")
        if wanted.use is not None:
            found += json_differences(wanted.use, call.use, f"{place}.use")
        if wanted.with_ is not None:
            found += json_differences(wanted.with_, call.settings, f"{place}.with")
    return found


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
