"""The message about a missing value: its full path and the nearest key that exists."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from hookline.api import MissingValue, Scope

_KEYS_COMPARED = 100
"""Keys come from messages: an object with a million of them must not make an error slow."""
_KEYS_SHOWN = 5
_KEY_LENGTH = 60


def path_text(keys: Iterable[str | int], root: str = "$") -> str:
    """Return a path as an author would write it: `$.body.lines[0]['unit price']`; without a root, `body.lines[0]`."""
    text = root
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key.replace("-", "_").replace("@", "_").isidentifier():
            text += f".{key}" if text else key
        else:
            text += f"[{_short(key)!r}]"
    return text


def missing_value(shown: str, where: str, container: Any, key: Any) -> MissingValue:
    """Return the error for `key`, which `container` at the path `where` lacks; `shown` is the whole path."""
    return MissingValue(f"{shown}: {_reason(where, container, key)}")


def first_missing(keys: Iterable[str | int], scope: Any) -> tuple[list[str | int], Any, str | int] | None:
    """Return the keys of a path that exist, the value there, and the key that it lacks; None if all exist."""
    value, there = scope, list[str | int]()
    for key in keys:
        found = _step(value, key)
        if found is _NOTHING:
            return there, value, key
        value = found
        there.append(key)
    return None


def not_there(paths: Iterable[tuple[str | int, ...]], scope: Scope) -> MissingValue | None:
    """Return the error that names the first of these paths that doesn't exist."""
    for path in paths:
        if end := first_missing(path, scope):
            there, container, key = end
            return missing_value(path_text(path, ""), path_text(there, ""), container, key)
    return None


_NOTHING = object()


def _step(value: Any, key: str | int) -> Any:
    if isinstance(key, str):
        return value.get(key, _NOTHING) if isinstance(value, Mapping) else _NOTHING
    if isinstance(value, list | tuple) and -len(value) <= key < len(value):
        return value[key]
    return _NOTHING


def _reason(where: str, container: Any, key: Any) -> str:
    place = where or "the scope"
    if isinstance(container, Mapping):
        return f"there is no {_short(str(key))!r} in {place}; {_nearest(str(key), container)}"
    if isinstance(container, list | tuple):
        if isinstance(key, int):
            return f"{place} has {len(container)} item{'' if len(container) == 1 else 's'}, none at [{key}]"
        return f"{place} is a list, not an object with {_short(str(key))!r}; name an item first, as in {where}[0]"
    kind = "null" if container is None else "text" if isinstance(container, str) else "not an object"
    return f"{place} is {kind} and has no {_short(str(key))!r}"


def _nearest(key: str, container: Mapping[Any, Any]) -> str:
    if not container:
        return "it is empty"
    keys = [_short(str(each)) for each in islice(container, _KEYS_COMPARED)]
    lower = {each.lower(): each for each in keys}
    near = get_close_matches(_short(key).lower(), lower, 1)
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    shown = ", ".join(repr(each) for each in keys[:_KEYS_SHOWN])
    more = len(container) - _KEYS_SHOWN
    return f"it has {shown}" + (f" and {more} more" if more > 0 else "")


def _short(key: str) -> str:
    return key if len(key) <= _KEY_LENGTH else key[:_KEY_LENGTH] + "…"
