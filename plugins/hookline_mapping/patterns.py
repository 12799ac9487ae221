"""Regular expressions whose time is bounded beforehand, because their texts come from messages.

The standard library's matcher backtracks. A pattern is accepted only if its cost is a known power of the text's length:
it has no repeated group with a repeat or a choice inside, and no backreference. The cost is counted before each match.
"""

import re
import warnings
from dataclasses import dataclass

from hookline.api import ExpressionSyntax
from hookline_mapping.budget import Budget

_STEPS_PER_NODE = 32
"""The number of matcher steps that take as long as visiting one value in a query."""
_MAX_POWER = 4

_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*+,?\d*+\})[?+]?")
_GROUP = re.compile(r"\((?:\?(?:P<\w+>|[aiLmsu\-]*:|[aiLmsu\-]+(?=\))|<?[=!]|>))?")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_REJECTED = re.compile(r"\\[1-9]|\(\?P=|\(\?\(|\(\?#|\(\?[a-zA-Z]*x")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern and its cost: `branches * (length + 1) ** power` steps at most."""

    compiled: re.Pattern[str]
    power: int
    branches: int

    def spend(self, text: str, budget: Budget) -> None:
        """Count the possible cost of a search through `text`. Raises ExpressionLimit if it can cost too much."""
        budget.spend_nodes(1 + self.branches * (len(text) + 1) ** self.power // _STEPS_PER_NODE)


def bounded(source: str) -> Pattern:
    """Compile a pattern whose cost is bounded. Raises ExpressionSyntax for any other."""
    try:
        with warnings.catch_warnings():
            # Python warns if the meaning of such a pattern may change; a message must not cause such warnings.
            warnings.simplefilter("ignore", FutureWarning)
            compiled = re.compile(source)
    except (re.error, OverflowError, RecursionError) as error:
        raise ExpressionSyntax(f"the pattern {source!r} is invalid: {error}") from error
    if rejected := _REJECTED.search(_CLASS.sub("c", source)):
        raise ExpressionSyntax(f"the pattern {source!r} has {rejected[0]!r}, whose time can't be bounded")
    repeats, choices = _measure(source)
    power = repeats + (0 if source.startswith(("^", r"\A")) and "|" not in source else 1)
    if power > _MAX_POWER or choices > 10:
        raise ExpressionSyntax(f"the pattern {source!r} has too many repeats or choices for a bounded time")
    return Pattern(compiled, power, 2**choices)


def _measure(source: str) -> tuple[int, int]:
    """Count the repeats and the choices of a pattern. Raises ExpressionSyntax if they are nested."""
    repeats = choices = at = 0
    # For each open group, the number of repeats and choices before it; for a group just closed, true if it had any.
    opened: list[int] = []
    varied = False
    while at < len(source):
        character = source[at]
        if quantifier := _QUANTIFIER.match(source, at):
            text = quantifier[0]
            if text.startswith(("?", "{0,1}", "{,1}")):
                choices += 1
            else:
                if varied:
                    raise ExpressionSyntax(
                        f"the pattern {source!r} repeats a group that itself repeats or chooses, "
                        "whose time can't be bounded; repeat a set of characters instead, as in [a-z]+"
                    )
                repeats += 1
            at, varied = quantifier.end(), False
        elif character == "\\":
            at, varied = at + 2, False
        elif in_class := _CLASS.match(source, at):
            at, varied = in_class.end(), False
        elif group := _GROUP.match(source, at):
            opened.append(repeats + choices)
            at, varied = group.end(), False
        else:
            if character == "|":
                choices += 1
            varied = character == ")" and repeats + choices > opened.pop()
            at += 1
    return repeats, choices
