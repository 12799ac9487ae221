"""Forms as Stripe reads them: nested values are written with brackets, `items[0][price]=price_1`."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any


def form(fields: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form, flat. Null, and an empty list or object, unset the value at Stripe."""
    return dict(_flat("", fields))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case Mapping() if value:
            for key, item in value.items():
                yield from _flat(f"{name}[{key}]" if name else str(key), item)
        case list() | tuple() if value:
            for place, item in enumerate(value):
                yield from _flat(f"{name}[{place}]", item)
        case None | Mapping() | list() | tuple():
            if name:
                yield name, ""
        case bool():
            yield name, "true" if value else "false"
        case Decimal():
            yield name, f"{value:f}"
        case _:
            yield name, str(value)
