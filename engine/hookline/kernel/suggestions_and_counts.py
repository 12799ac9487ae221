"""Parts of messages: the name that was probably meant, and counts of things."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice
from typing import Final, Literal

from hookline.kernel.errors import Problem

_SEARCHED: Final = 700
"""The most names among which a similar one is searched: there are 600 time zones. A document with thousands of names
may have thousands of wrong ones as well, and each search takes as long as there are names."""
_LISTED: Final = 300
"""The most names in a message."""
_LONGEST: Final = 100
"""The most characters of a name for which a similar one is searched: that takes the square of its length."""


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a word, ignoring case; None if none is similar, or there are too
    many."""
    if len(word) > _LONGEST:
        return None
    given = list(islice(known, _SEARCHED + 1))
    if len(given) > _SEARCHED:
        return None
    names = {name.lower(): name for name in sorted(given, reverse=True) if len(name) <= 2 * _LONGEST}
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return `did you mean 'filter'?`, or `otherwise` if no name is similar to the word."""
    return question(nearest_name(word, known), otherwise)


def question(name: str | None, otherwise: str = "") -> str:
    """Return `did you mean 'filter'?`, or `otherwise` if there is no name."""
    return f"did you mean {name!r}?" if name is not None else otherwise


def unknown_name(
    message: str,
    pointer: str,
    code: str,
    name: str,
    known: Iterable[str],
    otherwise: str = "",
    severity: Literal["error", "warning"] = "error",
    *,
    before: str = "",
) -> Problem:
    """Return the problem of a name that isn't known. Its remedy is the similar name, or `otherwise` if there is none.

    `before`: the path in which the name stands, such as `steps.`.
    """
    near = nearest_name(name, known)
    similar = None if near is None else before + near
    return Problem(message, pointer, code, question(near, otherwise), severity, unknown=before + name, similar=similar)


def listed(before: str, names: Collection[str]) -> str:
    """Return the names in order, as in `the vars are a, b`, or their number if there are many."""
    if len(names) > _LISTED:
        return f"there are {len(names):,} names"
    return f"{before} {', '.join(sorted(names))}"


def counted(number: int, name: str) -> str:
    """Return a number with the name of what is counted, as `1 execution` or `1,200 executions`."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
