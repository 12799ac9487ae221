"""A bound for the automaton that matches a pattern: the states that it visits for each character of a text."""

import re
import warnings
from importlib import import_module
from typing import Any, Final

_ANY: Final = 20
"""States for a character out of most of Unicode, which is matched byte by byte."""
_WIDE: Final = 4
"""States for one character outside of ASCII."""
_MOST: Final = 5000

# Not every release of the type checker knows these modules as attributes of `re`.
_CODES: Final = import_module("re._constants")
_PARSER: Final = import_module("re._parser")
_ENDS: Final = frozenset({_CODES.AT_BEGINNING, _CODES.AT_END, _CODES.AT_BEGINNING_STRING, _CODES.AT_END_STRING})
_REPEATS: Final = (_CODES.MAX_REPEAT, _CODES.MIN_REPEAT)


def states_of(pattern: str) -> int | None:
    """Return the most states that a character of a text visits; None if they are too many, or aren't known.

    `re` reads the pattern, which is written for JavaScript: what both understand means nearly the same.
    """
    try:
        with warnings.catch_warnings():
            # Sets of sets, of which Python may become capable.
            warnings.simplefilter("ignore", FutureWarning)
            states = _of(_PARSER.parse(pattern))
    except (re.error, RecursionError, OverflowError, _Unknown):
        return None
    return states if states <= _MOST else None


class _Unknown(Exception):
    pass


def _of(parsed: Any) -> int:
    return 1 + sum(_of_one(operation, argument) for operation, argument in parsed)


def _of_one(operation: Any, argument: Any) -> int:
    if operation is _CODES.LITERAL:
        return 1 if argument < 128 else _WIDE
    # The library matches boundaries of words in a slower way: they are unknown.
    if operation is _CODES.AT and argument in _ENDS:
        return 1
    if operation in (_CODES.ANY, _CODES.NOT_LITERAL, _CODES.CATEGORY):
        return _ANY
    if operation is _CODES.RANGE:
        return 1 if argument[1] < 128 else _ANY
    if operation is _CODES.IN:
        negated = any(one is _CODES.NEGATE for one, _ in argument)
        return _ANY if negated else max(_of_one(*one) for one in argument)
    if operation is _CODES.SUBPATTERN:
        _, added, removed, parsed = argument
        if added or removed:
            raise _Unknown
        return _of(parsed)
    if operation is _CODES.BRANCH:
        return sum(map(_of, argument[1]))
    if operation in _REPEATS:
        least, most, parsed = argument
        times: int = least + 1 if most is _CODES.MAXREPEAT else max(1, most)
        return 1 + times * _of(parsed)
    raise _Unknown
