"""JSON values, and the one place where they are encoded and decoded.

Integers are exact. Fractions are binary64, or Decimals where numbers are exact: in flows that say so, and in a result
that no binary64 says. NaN, infinities and lone surrogates don't exist. Keys keep their order.
"""

from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from pydantic import Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_EXPONENT",
    "JsonObject",
    "JsonValue",
    "by_value",
    "canonical",
    "decode",
    "encode",
    "exact_fraction",
    "fraction",
    "is_large",
    "is_plain_json",
    "reader",
    "to_binary64",
    "to_decimal",
    "within_bounds",
]

MAX_DEPTH = 128
"""Nesting allowed in what comes from outside: JSON, XML and properties alike."""
MAX_DIGITS: Final = 1000
"""Digits of an exact fraction."""
MAX_EXPONENT: Final = 1000
"""An exact fraction's first digit stands at most so many places before or behind the point.

So whatever is done to one (making an integer of it, adding two, writing it out) ends soon.
"""

if TYPE_CHECKING:
    JsonValue: TypeAlias = "list[JsonValue] | dict[str, JsonValue] | str | bool | int | float | Decimal | None"
else:

    def _kind(value: Any) -> str:
        kind = type(value)
        if kind in _KINDS:
            return kind.__name__
        return next((each.__name__ for each in _KINDS if isinstance(value, each)), kind.__name__)

    _KINDS = frozenset({str, bool, int, float, list, dict, type(None), Decimal})

    class _AnyInJson:
        """Whatever JSON says is a JSON value: so its own JSON Schema allows everything.

        What is plainly one is taken as it is: pydantic would ask of each value inside which of the types it has, which
        takes seconds for a large message.
        """

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
            return core_schema.json_or_python_schema(
                json_schema=core_schema.any_schema(),
                python_schema=core_schema.no_info_wrap_validator_function(_unless_plain, handler(source)),
            )

    def _unless_plain(value: Any, judge: Any) -> Any:
        return value if is_plain_json(value, decimals=True) else judge(value)

    # As pydantic's own, with Decimals besides.
    _Judged = TypeAliasType(
        "_Judged",
        Annotated[
            Annotated[list["_Judged"], Tag("list")]
            | Annotated[dict[str, "_Judged"], Tag("dict")]
            | Annotated[str, Tag("str")]
            | Annotated[bool, Tag("bool")]
            | Annotated[int, Tag("int")]
            | Annotated[float, Tag("float")]
            | Annotated[Decimal, Tag("Decimal")]
            | Annotated[None, Tag("NoneType")],
            Discriminator(
                _kind,
                custom_error_type="invalid-json-value",
                custom_error_message="input was not a valid JSON value",
            ),
        ],
    )
    JsonValue = TypeAliasType("JsonValue", Annotated[_Judged, _AnyInJson])

JsonObject: TypeAlias = Mapping[str, JsonValue]


def is_plain_json(value: Any, *, decimals: bool, depth: int = 2 * MAX_DEPTH) -> bool:
    """Whether a value is JSON just as it would be decoded: no subclass, no tuple, nothing nested deeper than `depth`.

    `decimals`: Decimals are, too. It takes no longer than decoding does.
    """
    kind = type(value)
    if kind is dict:
        if not depth:
            return False
        for key, item in value.items():
            if type(key) is not str or not (
                type(item) in _SAME or is_plain_json(item, decimals=decimals, depth=depth - 1)
            ):
                return False
        return True
    if kind is list:
        if not depth:
            return False
        for item in value:  # noqa: SIM110 - `all` would take twice as long
            if not (type(item) in _SAME or is_plain_json(item, decimals=decimals, depth=depth - 1)):
                return False
        return True
    if kind is float:
        return isfinite(value)
    return kind in _SAME or (decimals and kind is Decimal and value.is_finite())


def is_large(value: Any, limit: int = 10_000) -> bool:
    """Whether a JSON value has so many values in it that going through them in Python takes milliseconds."""
    if type(value) not in _CONTAINERS:
        return False
    containers = [value]
    while containers:
        container = containers.pop()
        limit -= len(container)
        if limit < 0:
            return True
        for item in container.values() if type(container) is dict else container:
            if type(item) in _CONTAINERS:
                containers.append(item)
    return False


_SAME: Final = frozenset({str, int, bool, type(None)})
_CONTAINERS: Final = frozenset({dict, list})


def within_bounds(number: Decimal) -> bool:
    """Whether an exact fraction is finite, and within the bounds."""
    if not number.is_finite():
        return False
    return abs(number.adjusted()) <= MAX_EXPONENT and len(number.as_tuple().digits) <= MAX_DIGITS


def exact_fraction(text: str) -> Decimal:
    """The fraction that a JSON text says, digit for digit. Raises ValueError for one that is out of bounds."""
    # A short text without an exponent can't be.
    if len(text) > 30 or "e" in text or "E" in text:
        if len(text) > MAX_DIGITS + 20:
            raise ValueError(f"the number {text[:20]}… has more than {MAX_DIGITS:,} digits")
        exponent = text.replace("E", "e").partition("e")[2]
        # What stands behind the `e` can be a number of any size, which Decimal doesn't take.
        if len(exponent) > 10 or not within_bounds(number := Decimal(text)):
            raise ValueError(f"the number {text[:40]} has more than {MAX_DIGITS:,} digits, or as many zeros")
        return number
    return Decimal(text)


def fraction(text: str) -> float | Decimal:
    """The fraction that a JSON text says: binary64 where that says the same, or else a Decimal.

    Raises ValueError for one that is out of bounds.
    """
    number = float(text)
    # As many digits survive in any binary64 whose exponent isn't extreme.
    if len(text) <= 16 and "e" not in text and "E" not in text:
        return number
    # What `encode` wrote of one is this, but for large exponents.
    if repr(number) == text:
        return number
    exact = exact_fraction(text)
    return number if isfinite(number) and Decimal(repr(number)) == exact else exact


_encoder = msgspec.json.Encoder(decimal_format="number")
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number")
_decoder = msgspec.json.Decoder()
_exact_decoder = msgspec.json.Decoder(float_hook=exact_fraction)


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON. Takes frozen records (`msgspec.Struct`) and datetimes besides JSON values.

    Raises TypeError for anything else, and ValueError for what JSON can't say.
    """
    return _encoder.encode(value)


def canonical(value: JsonValue) -> bytes:
    """The same bytes for equal values, whatever the order of their keys: for hashing.

    Of Decimals that are equal, each keeps its zeros: `by_value` makes them one.
    """
    return _canonical.encode(value)


def decode(data: bytes, *, exact: bool = False) -> Any:
    """The value of a JSON text; `exact`: fractions are Decimals.

    Raises ValueError, for a fraction that is out of bounds too, and RecursionError.
    """
    return (_exact_decoder if exact else _decoder).decode(data)


def reader(type: Any, *, exact: bool) -> msgspec.json.Decoder[Any]:
    """A decoder of records that `encode` wrote, for values of a flow whose numbers are exact, or aren't.

    In a flow whose numbers aren't exact a result still may hold a number that no binary64 says: that is a Decimal
    again.
    """
    # What we wrote is within the bounds.
    return msgspec.json.Decoder(type, float_hook=Decimal if exact else fraction)


def to_decimal(value: Any) -> Any:
    """A JSON value whose binary64 fractions became the shortest Decimals that read the same; the same object without.

    Lists and objects that change are copied.
    """
    return _changed(value, float, _decimal)


def to_binary64(value: Any) -> Any:
    """A JSON value whose Decimals became binary64; those that are out of its range stay."""
    return _changed(value, Decimal, _binary)


def by_value(value: Any) -> Any:
    """A JSON value whose Decimals have one form for each number: `1.10` is `1.1`, and `5.0` is 5."""
    return _changed(value, Decimal, _without_zeros)


def _decimal(number: float) -> Decimal:
    made = Decimal(repr(number))
    # One without a point or an exponent would be written as an integer.
    return made if made.as_tuple().exponent else Decimal(f"{made}.0")


def _binary(number: Decimal) -> float | Decimal:
    made = float(number)
    return made if isfinite(made) else number


def _without_zeros(number: Decimal) -> int | Decimal:
    whole = number.to_integral_value()
    if number == whole:
        return int(whole)
    digits = str(number)
    if "E" in digits:
        mantissa, _, exponent = digits.partition("E")
        return Decimal(f"{mantissa.rstrip('0') if '.' in mantissa else mantissa}E{exponent}")
    return Decimal(digits.rstrip("0"))


def _changed(value: Any, kind: type, change: Any) -> Any:
    """The value with each part of a kind changed. Its depth is bounded where it came in."""
    of = type(value)
    if of is kind:
        return change(value)
    if of is dict:
        changed = {key: made for key, item in value.items() if (made := _changed(item, kind, change)) is not item}
        return {**value, **changed} if changed else value
    if of is list:
        items = [_changed(item, kind, change) for item in value]
        return items if any(one is not two for one, two in zip(items, value, strict=True)) else value
    return value
