"""Conversion of the results of actions to JSON values, once, before anything reads them.

So an execution that is resumed from its journal sees the same values as before: tuples become lists, datetimes become
text, and models become objects. A value that can't be converted is a defect of the connector. In a flow with exact
numbers, Decimals stay and floats become Decimals. In other flows, a Decimal becomes an integer or a float if that has
the same value, and otherwise stays.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel

from hookline.kernel.clocks import rfc3339
from hookline.kernel.json import MAX_DEPTH, MAX_DIGITS, is_plain_json, to_decimal, within_bounds
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Attachment, CallerReply
from hookline.sdk.action import Increment, Reply, Signal, Sleep


class NotJson(TypeError):
    """The result has a value that has no JSON form."""


def to_json(value: Any, place: str = "result", *, exact: bool = False, shared: bool = False) -> Any:
    """Return the result of an action as a JSON value. Raises NotJson, which names the place.

    `exact`: the flow has exact numbers. The value is copied unless it is `shared`: nobody changes it.
    """
    if is_plain_json(value, decimals=False):
        same = value if shared else msgspec.to_builtins(value)
        return to_decimal(same) if exact else same
    return _to_json(value, place, 0, exact)


def _to_json(value: Any, place: str, depth: int, exact: bool) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if depth > 2 * MAX_DEPTH:
        raise NotJson(f"{place[:80]}… is nested deeper than {2 * MAX_DEPTH} levels")
    if kind is dict:
        return {
            _key(key, place): item
            if type(item) is str or type(item) is int
            else _to_json(item, f"{place}.{key}", depth + 1, exact)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [
            item if type(item) is str or type(item) is int else _to_json(item, f"{place}[{index}]", depth + 1, exact)
            for index, item in enumerate(value)
        ]
    return _unusual(value, place, depth, exact)


def _key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return key
    raise NotJson(f"{place} has the key {key!r}; keys must be text")


def _unusual(value: Any, place: str, depth: int, exact: bool) -> Any:
    match value:
        case float():
            if not math.isfinite(value):
                raise NotJson(f"{place} is {value}, which has no JSON form")
            return to_decimal(float(value)) if exact else float(value)
        case Decimal():
            return _number(value, place, exact)
        case datetime():
            return rfc3339(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case Enum():
            return _to_json(value.value, place, depth + 1, exact)
        case UUID():
            return str(value)
        case str():
            return str(value)
        case int():
            return int(value)
        case BaseModel():
            return _to_json(_dumped(value), place, depth + 1, exact)
        case Attachment() | msgspec.Struct():
            return _to_json(msgspec.to_builtins(value, builtin_types=(Decimal,)), place, depth + 1, exact)
        case Mapping():
            return _to_json(dict(value), place, depth + 1, exact)
        case list() | tuple() | set() | frozenset():
            return _to_json(list(value), place, depth + 1, exact)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return _to_json(
                {field.name: getattr(value, field.name) for field in dataclasses.fields(value)},
                place,
                depth + 1,
                exact,
            )
        case _:
            raise NotJson(f"{place} is of type {type(value).__qualname__}, which has no JSON form")


def _dumped(model: BaseModel) -> Any:
    """Return the values of a model as in pydantic's JSON mode, but with Decimals, which pydantic turns into text."""
    return _with_decimals(model.model_dump(mode="json", by_alias=True), model.model_dump(by_alias=True))


def _with_decimals(dumped: Any, plain: Any) -> Any:
    if isinstance(plain, Decimal):
        # The model may have a serializer of its own.
        return plain if dumped == str(plain) else dumped
    if isinstance(plain, dict) and isinstance(dumped, dict) and len(plain) == len(dumped):
        pairs = zip(dumped.items(), plain.values(), strict=True)
        return {key: _with_decimals(item, of) for (key, item), of in pairs}
    if isinstance(plain, list | tuple) and isinstance(dumped, list) and len(plain) == len(dumped):
        return [_with_decimals(item, of) for item, of in zip(dumped, plain, strict=True)]
    return dumped


def _number(value: Decimal, place: str, exact: bool) -> int | float | Decimal:
    if not value.is_finite():
        raise NotJson(f"{place} is {value}, which has no JSON form")
    if not within_bounds(value):
        raise NotJson(f"{place} is a number of more than {MAX_DIGITS:,} digits")
    if exact:
        # Without a point or an exponent it is written as an integer, and so is read as one.
        return int(value) if value.as_tuple().exponent == 0 else value
    if value == value.to_integral_value():
        # Integers are exact at any length.
        return int(value)
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else value


def normalize_result(
    returned: Any, *, exact: bool = False, shared: bool = False
) -> Signal | Sleep | Increment | Reply | CallerReply:
    """Return the result of an action with its values converted to JSON. Raises NotJson.

    `exact`: the flow has exact numbers. `shared`: nobody changes the values, so they need not be copied.
    """
    match returned:
        case Signal() | Sleep() | Increment():
            return returned
        case CallerReply():
            body = to_json(returned.body, exact=exact, shared=shared)
            return msgspec.structs.replace(returned, headers=_headers(returned.headers), body=body)
        case Reply():
            extra = to_json(dict(returned.extra), "extra", exact=exact)
            body = (
                returned.body if type(returned.body) is Stream else to_json(returned.body, exact=exact, shared=shared)
            )
            return Reply(body, _headers(returned.headers), extra, returned.attachments)
        case Stream():
            return Reply(returned)
        case _:
            return Reply(to_json(returned, exact=exact, shared=shared))


def _headers(headers: Any) -> dict[str, str]:
    try:
        return {str(name).lower(): str(value) for name, value in headers.items()}
    except AttributeError as error:
        raise NotJson("the reply's headers are not a mapping") from error
