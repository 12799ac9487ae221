"""The JSON values that result from expressions, and their form in text."""

import math
from collections.abc import ItemsView, Iterable, KeysView, Mapping, ValuesView
from decimal import Decimal
from types import GeneratorType
from typing import Any, Final

import msgspec
from jinja2 import Undefined

from hookline.api import ExpressionFailed, ExpressionLimit
from hookline_mapping.budget import Budget

_MAX_DEPTH: Final = 200
_SCALARS: Final = frozenset({str, int, bool, type(None), Decimal})
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


def to_json(value: Any, budget: Budget, depth: int = 0) -> Any:
    """Return the value as JSON, with lists for lazy values; the same object if nothing has to change.

    Raises MissingValue for an undefined anywhere inside, ExpressionFailed for a value that JSON can't represent, and
    ExpressionLimit.
    """
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        raise ExpressionFailed(f"the result is {value}, which JSON can't represent")
    if depth > _MAX_DEPTH:
        raise ExpressionLimit(f"the result is nested deeper than {_MAX_DEPTH} levels")
    if kind is dict:
        return _object(value, budget, depth)
    if kind is list:
        budget.spend_nodes(len(value) + 1)
        for index, item in enumerate(value):
            if type(item) is str:
                budget.spend_text(len(item))
            elif type(item) is int:
                budget.spend_digits(item)
            elif type(item) not in _SCALARS:
                made = to_json(item, budget, depth + 1)
                if made is not item:
                    # The list may be the scope's own, which is never changed.
                    rest = [to_json(each, budget, depth + 1) for each in value[index + 1 :]]
                    return [*value[:index], made, *rest]
        return value
    if isinstance(value, Undefined):
        bool(value)  # It raises the error that names the missing value.
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return _object(dict(value), budget, depth)
    if isinstance(value, tuple | range | GeneratorType | KeysView | ValuesView | ItemsView):
        return _listed(value, budget, depth)
    raise ExpressionFailed(f"the result is a {kind.__name__}, which isn't a JSON value")


def _object(value: dict[Any, Any], budget: Budget, depth: int) -> dict[str, Any]:
    budget.spend_nodes(len(value) + 1)
    changed: dict[str, Any] = {}
    for key, item in value.items():
        if type(key) is not str:
            raise ExpressionFailed(f"the result is an object whose key {key!r} isn't text")
        if type(item) is str:
            budget.spend_text(len(item))
        elif type(item) is int:
            budget.spend_digits(item)
        elif type(item) not in _SCALARS:
            made = to_json(item, budget, depth + 1)
            if made is not item:
                changed[key] = made
    return {**value, **changed} if changed else value


def _listed(value: Iterable[Any], budget: Budget, depth: int) -> list[Any]:
    items = []
    for item in value:
        budget.spend_nodes(1)
        items.append(to_json(item, budget, depth + 1))
    return items


def key_of(value: Any) -> Any:
    """Return a key that equal values share, and that can be looked up in a set.

    Numbers become text: a sender could choose a thousand with equal hashes, which would all be compared with each
    other.
    """
    if isinstance(value, list | tuple):
        return ("list", *map(key_of, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, key_of(each)) for key, each in value.items()))
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return ("number", "{:x}/{:x}".format(*value.as_integer_ratio()))
    return (type(value), value)


def is_whole(value: str) -> bool:
    """Return true if a text can be encoded: half of a surrogate pair can't."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def text(value: Any, budget: Budget) -> str:
    """Return a value's form in text: text as it is, everything else as JSON (`true`, `null`, `[1,2]`)."""
    if type(value) is int:
        budget.spend_digits(value)
    if isinstance(value, str) or type(value) is int or isinstance(value, Decimal):
        made = str(value)
    else:
        made = json_text(value, budget)
    budget.spend_text(len(made))
    return made


def json_text(value: Any, budget: Budget) -> str:
    """Return the value as compact JSON. Raises the exceptions of `to_json`."""
    return _encoder.encode(to_json(value, budget)).decode()
