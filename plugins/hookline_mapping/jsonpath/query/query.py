"""A compiled query, and one evaluation of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from hookline.api import Scope
from hookline_mapping.budget import Budget


class Run:
    """One evaluation: its root, what it may still visit, and whether its flow's numbers are exact."""

    __slots__ = ("budget", "exact", "root")

    def __init__(self, scope: Scope, exact: bool = False) -> None:
        self.root = scope
        self.exact = exact
        self.budget = Budget()


Find: TypeAlias = Callable[[Any, Run], list[Any]]
"""From a value to the values that match, in order."""
Holds: TypeAlias = Callable[[Any, Run], bool]
"""A condition on a value."""


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query."""

    find: Find
    single: bool
    """It can match at most once."""


CompileQuery: TypeAlias = Callable[[Any], Query]
"""Compiles a tree of the library's: what has others inside is given it, and compiles them by it."""
