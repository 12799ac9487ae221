"""The name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word; None where none is like it. Case doesn't count."""
    names = {name.lower(): name for name in sorted(known, reverse=True)}
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean 'filter'?`, or where no name is like the word, `otherwise`."""
    name = nearest_name(word, known)
    return f"did you mean {name!r}?" if name is not None else otherwise
