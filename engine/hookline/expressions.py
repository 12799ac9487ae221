"""Expressions in a flow's settings: which language a string is in, and nested settings compiled whole."""

from collections.abc import Mapping
from typing import Any

from hookline.errors import Problem
from hookline.jsontypes import JsonValue
from hookline.mapper import Mapper, Reference, Scope


class Template:
    """A JSON value, compiled: some of its strings are expressions. Pure."""

    references: tuple[Reference, ...]
    constant: bool
    """It holds no expression: `evaluate` always gives the same."""

    def evaluate(self, scope: Scope) -> Any:
        """The value. Raises ExpressionError, which names the place within the value where there are several."""
        raise NotImplementedError


class Condition:
    """An expression that gives true or false; anything else is an error."""

    references: tuple[Reference, ...]

    def evaluate(self, scope: Scope) -> bool:
        """Raises ExpressionError."""
        raise NotImplementedError


class Expressions:
    """Compiles expressions with the mappers that are installed."""

    def __init__(self, mappers: Mapping[str, Mapper]) -> None:
        raise NotImplementedError

    def template(self, value: JsonValue, pointer: str = "") -> tuple[Template, list[Problem]]:
        """A compiled value, and what is wrong with the expressions in it, each at its pointer."""
        raise NotImplementedError

    def condition(self, value: JsonValue, pointer: str = "") -> tuple[Condition, list[Problem]]:
        """A compiled condition."""
        raise NotImplementedError
