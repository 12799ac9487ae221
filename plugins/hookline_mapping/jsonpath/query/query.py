"""A compiled query, and one evaluation of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from hookline.api import Scope
from hookline_mapping.budget import Budget


class Run:
    """One evaluation: its root, its remaining budget, and the exactness of its flow's numbers."""

    __slots__ = ("budget", "exact", "root")

    def __init__(self, scope: Scope, exact: bool = False) -> None:
        self.root = scope
        self.exact = exact
        self.budget = Budget()


Find: TypeAlias = Callable[[Any, Run], list[Any]]
"""A function from a value to the matching values, in order."""
Holds: TypeAlias = Callable[[Any, Run], bool]
"""A condition on a value."""


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query."""

    find: Find
    single: bool
    """It can match at most once."""


CompileQuery: TypeAlias = Callable[[Any], Query]
"""The function that compiles a tree of the library; nodes that contain others use it to compile them."""
