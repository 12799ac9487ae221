"""The state of a flow when an execution began, as far as the execution's reads and counts show it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from hookline.kernel.json import decode, encode
from hookline.secrets.masking import MASK, is_secret_name

_GET: Final = "state.get"
_SET: Final = "state.set"


def state_before(steps: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return the state by key, and the paths of the steps that used values which others had set meanwhile.

    If there are such steps, the state is left empty.
    """
    before: dict[str, Any] = {}
    now: dict[str, Any] = {}
    paths: list[str] = []
    alone = True
    for one in steps:
        if one["use"] not in (_GET, _SET) or one["state"] != "succeeded" or not isinstance(one["input"], dict):
            continue
        given, body = one["input"], (one["output"] or {}).get("body")
        key: str = given["key"]
        if one["use"] == _GET:
            default = given.get("default")
            # A stored value that equals the default makes no difference.
            value = None if body == default else body
            found = value
        elif "add" in given:
            value, found = body, _less(body, given["add"])
        else:
            now[key] = given.get("value")
            continue
        paths.append(one["path"])
        if key not in now:
            if found not in (None, 0) or (found == 0 and one["use"] == _GET):
                before[key] = found
        elif not _same(now[key], found):
            alone = False
        now[key] = value
    return (before, frozenset()) if alone else ({}, frozenset(paths))


def masked_state(steps: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the steps with values masked whose keys are named like secrets, and these secrets."""
    secrets: list[str] = []
    masked: list[dict[str, Any]] = []
    for one in steps:
        step, given, output = dict(one), one["input"], one["output"]
        if one["use"] in (_GET, _SET) and isinstance(given, dict) and is_secret_name(str(given.get("key"))):
            for name, part, place in (
                ("input", given, "value"),
                ("input", given, "default"),
                ("output", output, "body"),
            ):
                if isinstance(part, dict) and isinstance(part.get(place), str):
                    secrets.append(part[place])
                    step[name] = {**step[name], place: MASK}
        masked.append(step)
    return masked, secrets


def _less(number: Any, by: Any) -> Any:
    return decode(encode(Decimal(str(number)) - Decimal(str(by))))


def _same(left: Any, right: Any) -> bool:
    # A key without a value counts from 0.
    return bool((left or 0) == (right or 0)) if not left or not right else bool(left == right)
