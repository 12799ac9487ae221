"""Parts of messages: the name that was probably meant, and counts of things."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a word, ignoring case; None if none is similar."""
    names = {name.lower(): name for name in sorted(known, reverse=True)}
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return `did you mean 'filter'?`, or `otherwise` if no name is similar to the word."""
    name = nearest_name(word, known)
    return f"did you mean {name!r}?" if name is not None else otherwise


def counted(number: int, name: str) -> str:
    """Return a number with the name of what is counted, as `1 execution` or `1,200 executions`."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
