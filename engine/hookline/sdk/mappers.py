"""Mappers, the expression languages with which steps map data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

Scope: TypeAlias = Mapping[str, Any]
"""The names that expressions may read: `body`, `headers`, `attachments`, `trigger`, `steps`, `vars`, `execution`, and
if they exist `item` (or the name that the foreach gives it), `index` and `error`. All are JSON values, which a mapper
must not change."""

TemplateFilter: TypeAlias = Callable[..., Any]
"""A filter of templates, used after `|`. It gets the value and then the arguments. It must be pure, and take time in
proportion to their size."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the scope that an expression reads, as far as it is known before the evaluation.

    `$.steps.order.body.lines[*].sku` has the path `("steps", "order", "body", "lines")`: it ends at the first part that
    is not a single key or index.
    """

    path: tuple[str | int, ...]
    optional: bool = False
    """True if the value may be missing, because the expression has a default."""


class Expression(ABC):
    """A compiled expression. It is pure: the same scope gives the same value.

    A server keeps one for each expression of its flows, so give subclasses `__slots__`.
    """

    __slots__ = ()

    source: str
    references: tuple[Reference, ...] = ()
    reads: tuple[tuple[str | int, ...], ...] | None = None
    """The paths that it reads, if they are known better than by `references`: a key may be that of each item of a list.
    They only say where its value comes from."""
    gives: type | None = None
    """The type of its values (`str`, `list`, `bool`, …), if it is known before the evaluation."""
    path: tuple[str | int, ...] | None = None
    """The path, if the expression only returns the value at one path."""

    @abstractmethod
    def evaluate(self, scope: Scope) -> Any:
        """Return the JSON value. Raises ExpressionError; MissingValue names the path and the nearest key."""


class Mapper(ABC):
    """An expression language."""

    name: ClassVar[str]
    """The name that flows use, as in `{"jsonpath": "$.a"}`."""
    title: ClassVar[str] = ""

    @property
    def unavailable(self) -> str | None:
        """The reason why it can't be used here, such as a missing extra, with the remedy; None if it can."""
        return None

    @abstractmethod
    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionSyntax."""

    def compile_exact(self, source: str) -> Expression:
        """Compile an expression of a flow with exact numbers: fractions in its scope and in its value are Decimals.

        The default is the same as `compile`.
        """
        return self.compile(source)

    def with_filters(self, filters: Mapping[str, TemplateFilter]) -> "Mapper":
        """Return the mapper with these filters; the default is the mapper itself, for languages without filters."""
        return self
