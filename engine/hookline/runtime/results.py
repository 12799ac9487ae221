"""What an action returned, made into JSON values once, before anything reads it.

So an execution that is resumed from its journal sees just what it saw before: a tuple is a list, a datetime is
text, a model is an object, and what can't be any of these is a defect of the connector.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec
from pydantic import BaseModel

from hookline.clock import rfc3339
from hookline.connector import Reply, Signal
from hookline.jsontypes import MAX_DEPTH
from hookline.model.message import Attachment
from hookline.model.reply import CallerReply

_PLAIN: Final = (str, int, type(None))


class NotJson(TypeError):
    """A result holds a value that has no JSON form."""


def to_json(value: Any, place: str = "result", depth: int = 0) -> Any:
    """The JSON value of what an action returned. Raises NotJson, which names the place."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if depth > 2 * MAX_DEPTH:
        raise NotJson(f"{place[:80]}… is nested deeper than {2 * MAX_DEPTH} levels")
    if kind is dict:
        return {
            _key(key, place): item
            if type(item) is str or type(item) is int
            else to_json(item, f"{place}.{key}", depth + 1)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [
            item if type(item) is str or type(item) is int else to_json(item, f"{place}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    return _unusual(value, place, depth)


def _key(key: Any, place: str) -> str:
    if isinstance(key, str):
        return key
    raise NotJson(f"{place} has the key {key!r}; keys must be text")


def _unusual(value: Any, place: str, depth: int) -> Any:
    match value:
        case float():
            if not math.isfinite(value):
                raise NotJson(f"{place} is {value}, which JSON can't say")
            return float(value)
        case Decimal():
            return _number(value, place)
        case datetime():
            return rfc3339(value) if value.tzinfo else value.isoformat()
        case date() | time():
            return value.isoformat()
        case Enum():
            return to_json(value.value, place, depth + 1)
        case UUID():
            return str(value)
        case str():
            return str(value)
        case int():
            return int(value)
        case BaseModel():
            return to_json(value.model_dump(mode="json", by_alias=True), place, depth + 1)
        case Attachment() | msgspec.Struct():
            return to_json(msgspec.to_builtins(value), place, depth + 1)
        case Mapping():
            return to_json(dict(value), place, depth + 1)
        case list() | tuple() | set() | frozenset():
            return to_json(list(value), place, depth + 1)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return to_json(
                {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, place, depth + 1
            )
        case _:
            raise NotJson(f"{place} is of type {type(value).__qualname__}, which has no JSON form")


def _number(value: Decimal, place: str) -> int | float:
    if not value.is_finite():
        raise NotJson(f"{place} is {value}, which JSON can't say")
    number = float(value)
    if value == value.to_integral_value():
        # Whole numbers stay exact however long they are.
        return int(value)
    if not math.isfinite(number):
        raise NotJson(f"{place} is {value}, which is too large for a fraction")
    return number


def normal(returned: Any) -> Signal | Reply | CallerReply:
    """What an action returned, its values made JSON. Raises NotJson."""
    match returned:
        case Signal():
            return returned
        case CallerReply():
            return msgspec.structs.replace(returned, headers=_headers(returned.headers), body=to_json(returned.body))
        case Reply():
            extra = to_json(dict(returned.extra), "extra")
            return Reply(to_json(returned.body), _headers(returned.headers), extra, returned.attachments)
        case _:
            return Reply(to_json(returned))


def _headers(headers: Any) -> dict[str, str]:
    try:
        return {str(name).lower(): str(value) for name, value in headers.items()}
    except AttributeError as error:
        raise NotJson("the reply's headers are not a mapping") from error
