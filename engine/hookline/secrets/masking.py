"""Masking: taking the values at given places out of JSON, and the same values wherever else they stand."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.kernel.json import encode

MASK: Final = "***"

#: Letters of a text that is hidden wherever it stands in another; shorter ones are where they stand as a word.
_ANYWHERE: Final = 6
#: Letters of a text that is hidden only where it is the whole.
_ALONE: Final = 2
#: First letters by which texts are found where there are many; at most so many as the shortest has.
_START: Final = 3
#: Texts that one pattern looks for.
_AT_ONCE: Final = 40
#: Letters of all texts together; beyond, nothing is shown.
_MOST_LETTERS: Final = 10_000_000
#: Letters that part of a text has in common with it by no accident.
_COMMON: Final = 12
_MOST_COMPARED: Final = 50_000_000
#: Digits of a number that is written out.
_EXPONENT: Final = 40


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
        self._texts: dict[str, None] = {}
        self._letters = 0
        self._forms: dict[str, None] = {}
        """What is looked for in other texts."""
        self._starts: dict[str, set[int]] = {}
        """From the first letters of these to their lengths."""
        self._pattern: re.Pattern[str] | None = None
        self.everything = False
        """There are too many to be looked for, or some are not known: then nothing is shown at all."""
        for text in texts:
            self._add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def __bool__(self) -> bool:
        return self.everything or bool(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, value: Any) -> None:
        """Hide a value, or whatever is in it."""
        for leaf in _leaves(value):
            if self._letters > _MOST_LETTERS:
                self.everything = True
                return
            self._add(leaf)

    def text(self, text: str) -> str:
        """A text, without those in it."""
        if self.everything or text in self._texts:
            return MASK
        if not self._forms:
            return text
        if len(self._forms) > _AT_ONCE:
            return self._scanned(text)
        if self._pattern is None:
            # The longest first, so that none is left half.
            parts = [_part(form) for form in sorted(self._forms, key=len, reverse=True)]
            self._pattern = re.compile("|".join(parts))
        return self._pattern.sub(MASK, text)

    def excerpt(self, text: str) -> str:
        """The same for a text that may quote some of a long one: what they have in common is hidden too."""
        text = self.text(text)
        long = [one for one in self._texts if len(one) > 2 * _COMMON]
        if not long or self.everything:
            return text
        if self._letters * len(text) > _MOST_COMPARED:
            return MASK
        runs = {one[start : start + _COMMON] for one in long for start in range(len(one) - _COMMON + 1)}
        shown: list[str] = []
        start = end = 0
        for at in range(len(text) - _COMMON + 1):
            if text[at : at + _COMMON] in runs:
                if at >= end:
                    shown += (text[start:at], MASK)
                start = end = at + _COMMON
        return "".join((*shown, text[start:]))

    def value(self, value: Any) -> Any:
        """A JSON value without those in it, copied as far as it changes."""
        if not self:
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
        forms = _number(value)
        return MASK if forms and (self.everything or not self._texts.keys().isdisjoint(forms)) else value

    def _add(self, text: str) -> None:
        if text in self._texts:
            return
        self._texts[text] = None
        self._letters += len(text)
        if len(text) <= _ALONE:
            return
        # As they are, and as they stand in URLs and in JSON.
        for form in (text, quote(text, safe=""), quote_plus(text), encode(text).decode()[1:-1]):
            if form not in self._forms:
                self._forms[form] = None
                self._starts.setdefault(form[:_START], set()).add(len(form))
                self._pattern = None

    def _scanned(self, text: str) -> str:
        """A pattern of many texts would try each of them at each letter."""
        shown: list[str] = []
        start = at = 0
        while at <= len(text) - _START:
            lengths = self._starts.get(text[at : at + _START])
            found = 0 if lengths is None else max((one for one in lengths if self._stands(text, at, one)), default=0)
            if found:
                shown += (text[start:at], MASK)
                start = at = at + found
            else:
                at += 1
        return "".join((*shown, text[start:])) if shown else text

    def _stands(self, text: str, at: int, length: int) -> bool:
        end = at + length
        if text[at:end] not in self._forms or end > len(text):
            return False
        if length >= _ANYWHERE:
            return True
        around = text[at - 1 : at] + text[end : end + 1]
        return not any(letter == "_" or letter.isalnum() for letter in around)


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
        else:
            yield from _number(one)


def _number(value: Any) -> tuple[str, ...]:
    """The texts of a number: without an exponent, as JSON has it, as Python writes it. None of what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return ()
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not -_EXPONENT < exact.adjusted() < _EXPONENT:
        return (encode(value).decode(), str(value))
    plain = f"{exact:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return (plain, encode(value).decode(), str(value))


def _part(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _ANYWHERE else rf"(?<!\w){escaped}(?!\w)"


def secret_values(value: Any) -> Iterator[str]:
    """The values that a credential's type declares secret, wherever they stand in it."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode("utf-8", "replace")
        case BaseModel():
            for name in type(value).model_fields:
                yield from secret_values(getattr(value, name))
        case dict():
            for item in value.values():
                yield from secret_values(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from secret_values(item)
        case _:
            pass
