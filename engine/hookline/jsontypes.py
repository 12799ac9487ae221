"""JSON values, and the one place where they are encoded and decoded.

Integers are exact, fractions are binary64; NaN, infinities and lone surrogates don't exist. Keys keep their order.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from pydantic import JsonValue

__all__ = ["MAX_DEPTH", "JsonObject", "JsonValue", "canonical", "decode", "encode"]

JsonObject: TypeAlias = Mapping[str, JsonValue]

MAX_DEPTH = 128
"""Nesting allowed in what comes from outside: JSON, XML and properties alike."""

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON. Takes frozen records (`msgspec.Struct`) and datetimes besides JSON values.

    Raises TypeError for anything else, and ValueError for what JSON can't say.
    """
    return _encoder.encode(value)


def canonical(value: JsonValue) -> bytes:
    """The same bytes for equal values, whatever the order of their keys: for hashing."""
    return _canonical.encode(value)


def decode(data: bytes) -> Any:
    """The value of trusted JSON text, such as what `encode` wrote. Raises ValueError."""
    return _decoder.decode(data)
