"""JSON values: their types, encoding and decoding.

Integers are exact. Fractions are binary64, or Decimals if numbers are exact: in flows that ask for it, and in results
that binary64 can't represent. NaN, infinities and lone surrogates are rejected. Keys keep their order.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from pydantic import Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

__all__ = [
    "DECIMALS",
    "FLOATS",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_EXPONENT",
    "JsonObject",
    "JsonValue",
    "Numbers",
    "by_value",
    "canonical",
    "decode",
    "encode",
    "encode_in_pieces",
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
"""The deepest nesting of data from outside: JSON, XML and properties."""
MAX_DIGITS: Final = 1000
"""The most digits of an exact fraction."""
MAX_EXPONENT: Final = 1000
"""The most places between an exact fraction's first digit and its point.

So every operation on one (making it an integer, adding two, writing it out) ends soon.
"""
MANY: Final = 10_000
"""Values above which they are processed in a thread."""
OFF_THE_LOOP: Final = 64 * 1024
"""Bytes above which data is read in a thread."""
_MARKS: Final = (b",", b":", b"[", b"{", b"<", b"=", b"%", b"&")

if TYPE_CHECKING:
    JsonValue: TypeAlias = "list[JsonValue] | dict[str, JsonValue] | str | bool | int | float | Decimal | None"
    """A value of JSON. With exact numbers, fractions are Decimals."""
else:

    def _kind(value: Any) -> str:
        kind = type(value)
        if kind in _KINDS:
            return kind.__name__
        return next((each.__name__ for each in _KINDS if isinstance(value, each)), kind.__name__)

    _KINDS = frozenset({str, bool, int, float, list, dict, type(None), Decimal})

    class _AnyInJson:
        """Every JSON value is valid, so the JSON Schema allows everything.

        A value that plainly is one is taken as it is: pydantic would check each inner value against each type, which
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

    # Like pydantic's JsonValue, with Decimals.
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
"""An object of JSON."""


def is_plain_json(value: Any, *, decimals: bool, depth: int = 2 * MAX_DEPTH) -> bool:
    """Return true if a value has only types that decoding gives: no subclass, no tuple, nothing nested deeper than
    `depth`.

    With `decimals`, Decimals are allowed too. It takes no longer than decoding.
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


def is_large(value: Any, limit: int = MANY) -> bool:
    """Return true if a JSON value holds so many values that visiting them in Python takes milliseconds."""
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


def is_heavy(data: bytes) -> bool:
    """Return True if bytes are so many, or stand for so many values, that reading them takes milliseconds."""
    if len(data) <= MANY:
        return False
    return len(data) > OFF_THE_LOOP or sum(map(data.count, _MARKS)) > MANY


def is_heavy_value(value: Any) -> bool:
    """Return True if a JSON value is so large that encoding or copying it takes milliseconds."""
    return is_large(value) or _has_long_text(value)


_SAME: Final = frozenset({str, int, bool, type(None)})
_CONTAINERS: Final = frozenset({dict, list})


def within_bounds(number: Decimal) -> bool:
    """Return true if an exact fraction is finite and within the bounds."""
    if not number.is_finite():
        return False
    return abs(number.adjusted()) <= MAX_EXPONENT and len(number.as_tuple().digits) <= MAX_DIGITS


def exact_fraction(text: str) -> Decimal:
    """Return the fraction of a JSON text, digit for digit. Raises ValueError if it is out of bounds."""
    # A short text without an exponent is always within the bounds.
    if len(text) > 30 or "e" in text or "E" in text:
        if len(text) > MAX_DIGITS + 20:
            raise ValueError(f"the number {text[:20]}… has more than {MAX_DIGITS:,} digits")
        exponent = text.replace("E", "e").partition("e")[2]
        # The exponent can be a number of any size, and Decimal rejects large ones.
        if len(exponent) > 10 or not within_bounds(number := Decimal(text)):
            raise ValueError(f"the number {text[:40]} has more than {MAX_DIGITS:,} digits, or as many zeros")
        return number
    return Decimal(text)


def fraction(text: str) -> float | Decimal:
    """Return the fraction of a JSON text: binary64 if that represents it exactly, otherwise a Decimal.

    Raises ValueError if it is out of bounds.
    """
    number = float(text)
    # Binary64 keeps this many digits unless the exponent is extreme.
    if len(text) <= 16 and "e" not in text and "E" not in text:
        return number
    # `encode` writes this form, except for large exponents.
    if repr(number) == text:
        return number
    exact = exact_fraction(text)
    return number if isfinite(number) and Decimal(repr(number)) == exact else exact


def _plain(value: Any) -> Any:
    """Return a mapping as a dict: a hook of msgspec for types that it doesn't know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} can't be written as JSON")


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)
_canonical = msgspec.json.Encoder(order="sorted", decimal_format="number")
_decoder = msgspec.json.Decoder()
_exact_decoder = msgspec.json.Decoder(float_hook=exact_fraction)


def encode(value: Any) -> bytes:
    """Encode as compact UTF-8 JSON. Accepts frozen records (`msgspec.Struct`) and datetimes besides JSON values.

    Raises TypeError for anything else, and ValueError for values that JSON can't represent.
    """
    return _encoder.encode(value)


def encode_in_pieces(value: Any) -> bytes:
    """Encode like `encode`, but each long text in pieces, except for keys, and each of many exact fractions by itself.

    Escaping a text holds the interpreter's lock, and so does writing a fraction; in between, other threads run.
    """
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.replace(
            value, **{name: _pieces_of(getattr(value, name)) for name in value.__struct_fields__}
        )
    return encode(_pieces_of(value))


def _pieces_of(value: Any) -> Any:
    if _has_long_text(value):
        value = _changed(value, str, _text_in_pieces)
    if _has_many_decimals(value):
        value = _changed(value, Decimal, _decimal_in_json)
    return value


def _has_long_text(value: Any) -> bool:
    return any(type(item) is str and len(item) > OFF_THE_LOOP for item in _leaves(value))


def _has_many_decimals(value: Any) -> bool:
    found = (item for item in _leaves(value) if type(item) is Decimal)
    return next(islice(found, MANY, None), None) is not None


def _leaves(value: Any) -> Iterator[Any]:
    """Yield everything in a JSON value that isn't a list or an object."""
    containers = [[value]]
    while containers:
        container: Any = containers.pop()
        for item in container.values() if type(container) is dict else container:
            if type(item) in _CONTAINERS:
                containers.append(item)
            else:
                yield item


def _decimal_in_json(number: Decimal) -> msgspec.Raw:
    return msgspec.Raw(str(number).encode())


def _text_in_pieces(text: str) -> str | msgspec.Raw:
    if len(text) <= OFF_THE_LOOP:
        return text
    pieces = (text[start : start + OFF_THE_LOOP] for start in range(0, len(text), OFF_THE_LOOP))
    return msgspec.Raw(b'"%b"' % b"".join(encode(piece)[1:-1] for piece in pieces))


def canonical(value: JsonValue) -> bytes:
    """Encode equal values as the same bytes, independent of the order of their keys: for hashing.

    Equal Decimals keep their different zeros; `by_value` makes them the same.
    """
    return _canonical.encode(value)


def decode(data: bytes, *, exact: bool = False) -> Any:
    """Decode a JSON text. With `exact`, fractions are Decimals.

    Raises ValueError, also for a fraction that is out of bounds, and RecursionError.
    """
    return (_exact_decoder if exact else _decoder).decode(data)


def reader(type: Any, *, exact: bool) -> msgspec.json.Decoder[Any]:
    """Return a decoder of records that `encode` wrote, for values of a flow with exact or other numbers.

    Without exact numbers, a number that binary64 can't represent is still decoded as a Decimal.
    """
    # Values that Hookline wrote are within the bounds.
    return msgspec.json.Decoder(type, float_hook=Decimal if exact else fraction)


class Numbers:
    """The form in which a flow reads the fractions of JSON: binary64 numbers or exact Decimals."""

    __slots__ = ("decode", "exact", "read", "read_object")

    def __init__(self, *, exact: bool) -> None:
        self.exact: Final = exact
        self.decode: Final[Callable[[bytes], Any]] = (_exact_decoder if exact else _decoder).decode
        """Decodes any JSON text, as the function `decode` does."""
        self.read: Final[Callable[[bytes], Any]] = reader(Any, exact=exact).decode
        """Decodes a value that Hookline wrote, as a `reader` does."""
        self.read_object: Final[Callable[[bytes], dict[str, Any]]] = reader(dict[str, Any], exact=exact).decode
        """Decodes an object that Hookline wrote."""


FLOATS: Final = Numbers(exact=False)
DECIMALS: Final = Numbers(exact=True)


def to_decimal(value: Any) -> Any:
    """Replace binary64 fractions in a JSON value by the shortest Decimals that read the same.

    Changed lists and objects are copied; without changes the same object is returned.
    """
    return _changed(value, float, _decimal)


def to_binary64(value: Any) -> Any:
    """Replace Decimals in a JSON value by binary64; a Decimal out of its range stays."""
    return _changed(value, Decimal, _binary)


def by_value(value: Any) -> Any:
    """Give equal Decimals in a JSON value the same form: `1.10` becomes `1.1`, and `5.0` becomes 5."""
    return _changed(value, Decimal, _without_zeros)


def _decimal(number: float) -> Decimal:
    made = Decimal(repr(number))
    # Without a point or an exponent, it would be written as an integer.
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
    """Replace all values of one type. The nesting was limited when the value was received."""
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
