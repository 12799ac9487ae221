"""The fixes of values of a wrong type or form whose meaning is clear: `"5"` for 5, `30` for `30s`."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hookline.kernel.json import decode, encode
from hookline.kernel.pointers_and_patches import Patch, replacing
from hookline.model.flow import FLOW_ID, STEP_ID

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?")
_TRUTHS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_DURATION: Final = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|[smhdw])?(?:ec|ecs|econds?|in|ins|inutes?|ours?|ays?|eeks?)?"
)


def converted(kind: str, given: Any, pointer: str) -> tuple[Patch, ...]:
    """Return the fix of a value for which pydantic reports an error of this kind; empty if its meaning
    isn't clear."""
    for start, convert in _CONVERSIONS.items():
        if kind.startswith(start) and (found := convert(given)) is not None:
            return replacing(pointer, found)
    return ()


def renamed(pattern: str, given: Any, pointer: str) -> tuple[Patch, ...]:
    """Return the fix of the id of a flow or of a step: the same name in the right letters."""
    mark = {FLOW_ID: "-", STEP_ID: "_"}.get(pattern)
    if mark is None or not isinstance(given, str):
        return ()
    name = re.sub(r"[^a-z0-9]+", mark, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", mark, given).lower()).strip(mark)
    return replacing(pointer, name) if re.search(pattern, name) else ()


def duration(given: Any, pointer: str) -> tuple[Patch, ...]:
    """Return the fix of a duration whose unit is missing (seconds are meant) or spelt differently."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return ()
    found = _DURATION.fullmatch(str(given).strip().lower())
    return replacing(pointer, f"{found[1]}{found[2] or 's'}") if found else ()


def _number(given: Any) -> Any:
    return decode(given.strip().encode()) if isinstance(given, str) and _NUMBER.fullmatch(given.strip()) else None


def _truth(given: Any) -> bool | None:
    return _TRUTHS.get(given.strip().lower()) if isinstance(given, str) else None


def _text(given: Any) -> str | None:
    return encode(given).decode() if isinstance(given, bool | int | float) else None


def _list(given: Any) -> list[Any] | None:
    return [given] if isinstance(given, str | int | float) else None


#: By the beginning of the kind of error.
_CONVERSIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int_": _number,
    "float_": _number,
    "decimal_": _number,
    "bool_": _truth,
    "string_type": _text,
    "list_": _list,
    "tuple_": _list,
}
