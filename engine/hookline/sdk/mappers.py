"""Mappers: the expression languages with which steps map data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

Scope: TypeAlias = Mapping[str, Any]
"""What expressions see: `body`, `headers`, `attachments`, `trigger`, `steps`, `vars`, `execution`, and where they
exist `item` (or the foreach's own name for it), `index` and `error`. All are JSON values: never changed by a mapper."""

TemplateFilter: TypeAlias = Callable[..., Any]
"""What stands behind `|` in a template: takes the value, then the arguments. Pure, and as quick as they are small."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the scope that an expression reads, as far as it is known before it runs.

    `$.steps.order.body.lines[*].sku` gives `("steps", "order", "body", "lines")`: it stops at the first part that
    isn't one key or index.
    """

    path: tuple[str | int, ...]
    optional: bool = False
    """It may be missing: a default stands by."""


class Expression(ABC):
    """A compiled expression. Pure: the same scope gives the same value."""

    source: str
    references: tuple[Reference, ...] = ()
    gives: type | None = None
    """The type of its values (`str`, `list`, `bool`, …) where that is known before it runs."""
    path: tuple[str | int, ...] | None = None
    """The path, where it gives just what stands at one: then its type is that of what stands there."""

    @abstractmethod
    def evaluate(self, scope: Scope) -> Any:
        """Its JSON value. Raises ExpressionError; MissingValue names the path and the nearest key that exists."""


class Mapper(ABC):
    """An expression language."""

    name: ClassVar[str]
    """As in `{"jsonpath": "$.a"}`."""
    title: ClassVar[str] = ""

    @property
    def unavailable(self) -> str | None:
        """Why it can't be used here (an extra that isn't installed), with the remedy; None where it can."""
        return None

    @abstractmethod
    def compile(self, source: str) -> Expression:
        """Compile an expression, once. Raises ExpressionSyntax."""

    def compile_exact(self, source: str) -> Expression:
        """The same for a flow whose numbers are exact: fractions in its scope are Decimals, and so should be its own.

        By default it is compiled as any other.
        """
        return self.compile(source)

    def with_filters(self, filters: Mapping[str, TemplateFilter]) -> "Mapper":
        """The mapper that knows these filters, too: itself, unless its language has filters."""
        return self
