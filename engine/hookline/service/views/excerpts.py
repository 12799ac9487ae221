"""Excerpts of large JSON values: a part that is small enough to show, and the places where something is left out."""

from collections import deque
from itertools import islice
from typing import Any, Final

import msgspec

from hookline.kernel.pointers_and_patches import escape
from hookline.service.views.json_field_types import Count

MAX_VALUES: Final = 2000
"""The most values in an excerpt."""
MAX_INSIDE: Final = 200
"""The most values of one list or object."""
MAX_TEXT: Final = 4096
"""The most characters of one text."""
MAX_TEXTS: Final = 256 * 1024
"""The most characters of all texts and keys together, but for the first key of each object."""


class Cut(msgspec.Struct, frozen=True):
    """A text, a list or an object of which an excerpt has only a part."""

    pointer: str
    """JSON pointer in the whole document."""
    size: Count
    """The characters of the text, or the values in the list or the object."""
    offset: Count
    """The number of them before the part."""
    shown: Count
    """The number of them in the part."""


class Excerpt(msgspec.Struct, frozen=True):
    """A part of a JSON value."""

    value: Any
    cuts: list[Cut]
    """The texts, lists and objects of which it has only a part, the outer ones first."""


def excerpt(
    value: Any, pointer: str = "", offset: int = 0, *, values: int = MAX_VALUES, texts: int = MAX_TEXTS
) -> Excerpt:
    """Return the beginning of a value that is at `pointer`, or what comes after the first `offset` characters or
    values.

    What lies further outside is shown first, so that the outline of the value is whole as far as possible. `values` and
    `texts`: see `MAX_VALUES` and `MAX_TEXTS`.
    """
    cuts: list[Cut] = []
    found: list[Any] = [None]
    left: deque[tuple[Any, Any, Any, str, int]] = deque([(found, 0, value, pointer, offset)])
    while left:
        around, key, one, at, first = left.popleft()
        if isinstance(one, str):
            shown: Any = one[first : first + min(MAX_TEXT, texts)]
            texts -= len(shown)
        elif isinstance(one, list):
            inside = one[first : first + min(MAX_INSIDE, values)]
            values -= len(inside)
            shown = [None] * len(inside)
            left.extend((shown, index, item, f"{at}/{first + index}", 0) for index, item in enumerate(inside))
        elif isinstance(one, dict):
            shown = {}
            for name, item in islice(one.items(), first, first + min(MAX_INSIDE, values)):
                if shown and len(name) > texts:
                    break
                texts = max(0, texts - len(name))
                shown[name] = None
                left.append((shown, name, item, f"{at}/{escape(name)}", 0))
            values -= len(shown)
        else:
            around[key] = one
            continue
        around[key] = shown
        if len(shown) < len(one):
            cuts.append(Cut(at, len(one), first, len(shown)))
    return Excerpt(found[0], cuts)
