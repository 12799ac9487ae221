"""Values of flows whose numbers are exact, made by what knows binary fractions alone."""

from typing import Any

from hookline_mapping.decimals import decimal_of


def exact_value(value: Any) -> Any:
    """A JSON value with its binary fractions as Decimals, as they read. Gives the same object where it has none."""
    if isinstance(value, float):
        return decimal_of(value)
    if isinstance(value, list):
        made = [exact_value(each) for each in value]
        return made if any(new is not old for new, old in zip(made, value, strict=True)) else value
    if isinstance(value, dict):
        changed = {key: new for key, each in value.items() if (new := exact_value(each)) is not each}
        return {**value, **changed} if changed else value
    return value
