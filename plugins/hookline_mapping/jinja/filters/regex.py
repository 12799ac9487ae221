"""Filters with regular expressions, only for patterns whose time is bounded."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from hookline.api import ExpressionFailed, ExpressionLimit
from hookline_mapping.budget import Budget
from hookline_mapping.expression_results import text
from hookline_mapping.jinja.sandbox import BudgetedContext
from hookline_mapping.patterns import Pattern, bounded

_MAX_PATTERN: Final = 1_000


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern:
    return bounded(pattern)


def _ready(context: BudgetedContext, value: Any, pattern: str, ignore_case: bool) -> tuple[Any, str, Budget]:
    """Return the pattern, whose cost is counted, and the text."""
    if not isinstance(pattern, str):
        raise ExpressionFailed("a pattern must be a text")
    if len(pattern) > _MAX_PATTERN:
        raise ExpressionLimit(f"a pattern may have at most {_MAX_PATTERN:,} characters")
    shown = value if isinstance(value, str) else text(value, context.budget)
    made = _compiled(f"(?i){pattern}" if ignore_case else pattern)
    made.spend(shown, context.budget)
    return made.compiled, shown, context.budget


def _match(context: BudgetedContext, value: Any, pattern: str, ignore_case: bool = False) -> bool:
    """Return true if the pattern matches the whole text."""
    compiled, shown, _ = _ready(context, value, pattern, ignore_case)
    return compiled.fullmatch(shown) is not None


def _search(
    context: BudgetedContext, value: Any, pattern: str, group: int | str = 0, ignore_case: bool = False
) -> str | None:
    """Return the first part of the text that matches the pattern, or a group of it; null if none matches."""
    compiled, shown, _ = _ready(context, value, pattern, ignore_case)
    found = compiled.search(shown)
    return None if found is None else _group(found, group)


def _find_all(
    context: BudgetedContext, value: Any, pattern: str, group: int | str = 0, ignore_case: bool = False
) -> list[str | None]:
    """Return all parts of the text that match the pattern, or a group of each."""
    compiled, shown, budget = _ready(context, value, pattern, ignore_case)
    made = []
    for found in compiled.finditer(shown):
        budget.spend_turns(1)
        made.append(_group(found, group))
    return made


def _replace(
    context: BudgetedContext, value: Any, pattern: str, replacement: str, count: int = 0, ignore_case: bool = False
) -> str:
    """Replace all matches of the pattern, or the first `count`; `\\1` is the first group."""
    compiled, shown, budget = _ready(context, value, pattern, ignore_case)

    if not isinstance(replacement, str) or len(replacement) > _MAX_PATTERN:
        raise ExpressionLimit(f"a replacement must be a text of at most {_MAX_PATTERN:,} characters")

    def replaced(found: Any) -> str:
        made: str = found.expand(replacement)
        budget.spend_turns(1)
        budget.spend_text(len(made))
        return made

    made: str = compiled.sub(replaced, shown, count)
    return made


def _group(found: Any, group: int | str) -> str | None:
    try:
        made: str | None = found.group(group)
    except IndexError:
        raise ExpressionFailed(f"the pattern has no group {group!r}") from None
    return made


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "regex_match": _match,
    "regex_search": _search,
    "regex_find_all": _find_all,
    "regex_replace": _replace,
}
