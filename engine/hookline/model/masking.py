"""Masking: taking the values at given places out of JSON, and the same values wherever else they stand."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from hookline.jsontypes import encode

MASK: Final = "***"

#: Letters of a text that is hidden wherever it stands in another; shorter ones are where they stand as a word.
_ANYWHERE: Final = 6
#: Letters of a text that is hidden only where it is the whole.
_ALONE: Final = 2


class Step(Enum):
    """A part of a place that names no key."""

    EACH = "*"
    """Each item of a list, and each member of an object."""
    DEEP = ".."
    """What follows is looked for at every depth."""


Part: TypeAlias = str | int | Step
Place: TypeAlias = Sequence[Part]
"""The way to values in JSON, from its root."""


def without(value: Any, place: Place, found: list[Any]) -> Any:
    """The value without what is at a place, which is added to `found`.

    It is copied as far as it changes: the same object where there is nothing at that place.
    """
    if not place:
        found.append(value)
        return MASK
    part, rest = place[0], place[1:]
    if part is Step.DEEP:
        return _at_every_depth(value, rest, place, found)
    return _changed(value, {key: without(value[key], rest, found) for key in _keys(value, part)})


def _at_every_depth(value: Any, rest: Place, place: Place, found: list[Any]) -> Any:
    value = without(value, rest, found)
    return _changed(value, {key: without(value[key], place, found) for key in _keys(value, Step.EACH)})


def _keys(value: Any, part: Part) -> Iterable[Any]:
    if isinstance(value, dict):
        return tuple(value) if part is Step.EACH else (part,) if part in value else ()
    if isinstance(value, list):
        if part is Step.EACH:
            return range(len(value))
        if isinstance(part, str) and part.isascii() and part.isdigit():
            part = int(part[:9])  # JSON pointers don't tell places from keys
        return (part,) if isinstance(part, int) and -len(value) <= part < len(value) else ()
    return ()


def _changed(value: Any, new: dict[Any, Any]) -> Any:
    """A copy of a list or an object with other items; the same where they are no others."""
    new = {key: item for key, item in new.items() if item is not value[key]}
    if not new:
        return value
    if isinstance(value, dict):
        return {**value, **new}
    return [new.get(place, new.get(place - len(value), item)) for place, item in enumerate(value)]


class Hidden:
    """Values that are to be seen nowhere: texts and numbers. True, false and null say too little to be known again."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: dict[str, None] = dict.fromkeys(texts)
        self._pattern: re.Pattern[str] | None = None

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, value: Any) -> None:
        """Hide a value, or whatever is in it."""
        before = len(self._texts)
        for leaf in _leaves(value):
            self._texts.setdefault(leaf)
        if len(self._texts) != before:
            self._pattern = None

    def text(self, text: str) -> str:
        """A text, without those in it."""
        if not self._texts:
            return text
        if text in self._texts:
            return MASK
        if self._pattern is None:
            self._pattern = _pattern(self._texts)
        return self._pattern.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """A JSON value without those in it, copied as far as it changes."""
        if not self._texts:
            return value
        if isinstance(value, str):
            shown = self.text(value)
            return value if shown == value else shown
        if isinstance(value, dict):
            # Keys too: a message may name its objects by what is secret.
            new = {self.text(key): self.value(item) for key, item in value.items()}
            return value if all(new.get(key, MASK) is item for key, item in value.items()) else new
        if isinstance(value, list):
            return _changed(value, {place: self.value(item) for place, item in enumerate(value)})
        text = _number(value)
        return MASK if text is not None and text in self._texts else value


def _leaves(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, str):
            if one:
                yield one
        elif (text := _number(one)) is not None:
            yield text


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return encode(value).decode()


def _pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """What finds the texts in others: as they are, and as they stand in URLs and in JSON."""
    forms: dict[str, None] = {}
    for text in texts:
        if len(text) > _ALONE:
            for form in (text, quote(text, safe=""), quote_plus(text), encode(text).decode()[1:-1]):
                forms.setdefault(form)
    # The longest first, so that none is left half.
    parts = [_part(form) for form in sorted(forms, key=len, reverse=True)]
    return re.compile("|".join(parts) or r"(?!)")


def _part(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _ANYWHERE else rf"(?<!\w){escaped}(?!\w)"
