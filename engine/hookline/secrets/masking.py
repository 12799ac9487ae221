"""Masking: the names of secrets, and the replacement of secret values in texts, log fields and JSON."""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.kernel.json import encode

MASK: Final = "***"

# --- Names of secrets ------------------------------------------------------------------------------------------------

#: Words that name the secret itself: the last word of a setting, a var or a field that holds one.
_KEYS: Final = r"secret|token|passw(or)?d|passphrase|(api|private|access)[-_]?key"
#: Words in the names of headers and fields that prove who sends a request.
_PROOFS: Final = r"authorization|cookie|signature|hmac"

_SECRET_NAME: Final = re.compile(rf"{_KEYS}|{_PROOFS}|(^|[-_])sig(n|ned)?($|[-_])", re.IGNORECASE)
_KEY_NAME: Final = re.compile(rf"(^|[-_])({_KEYS}|credentials?)$", re.IGNORECASE)
_FIELD: Final = re.compile(
    rf"(?:{_KEYS}|{_PROOFS}|credential|(?<![^\W_])sig(?:n(?:ed)?)?(?![^\W_]))"
    r"""[\w.-]{0,60}+["'\\\])]{0,20}+\s{0,20}+(?:[:=>]|&gt;)""",
    re.IGNORECASE,
)
"""Such a name within a text, and what stands between a name and its value, or closes a tag."""


def is_secret_name(name: str) -> bool:
    """Return true if a header or a field of this name may hold a secret, so that its value must be masked."""
    return _SECRET_NAME.search(name) is not None


def names_a_key(name: str) -> bool:
    """Return true if the name ends with a word for a secret, so that its value should be kept as one.

    `access_token` does, but `token_count` doesn't.
    """
    return _KEY_NAME.search(name) is not None


def has_secret_field(text: str) -> bool:
    """Return true if a text of any format seems to have a field with the name of a secret: `token=`, `"password":`,
    `<password>`."""
    return _FIELD.search(text) is not None


# --- Fields of the log -----------------------------------------------------------------------------------------------

#: It begins at the slashes: a search from each letter of a scheme would take the square of a text's length.
_PASSWORD_IN_URL: Final = re.compile(r"(://[^\s/:@]*+):[^\s/@]++@")


def mask_log_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask fields with secret names, and passwords in URLs: a processor of structlog."""
    return {key: _log_field(key, value) for key, value in event.items()}


def _log_field(key: str, value: Any) -> Any:
    if value is not None and is_secret_name(key):
        return MASK
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", value) if "://" in value else value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {inner: _log_field(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_log_field("", item) for item in value]
    return value


# --- Values at given paths -------------------------------------------------------------------------------------------


class Wildcard(Enum):
    """A part of a path that stands for several keys."""

    EACH = "*"
    """Each item of a list, and each member of an object."""
    DEEP = ".."
    """The rest of the path may begin at any depth."""


PathPart: TypeAlias = str | int | Wildcard
ValuePath: TypeAlias = Sequence[PathPart]
"""The path to values in JSON, from its root."""


def mask_path(value: Any, path: ValuePath, found: list[Any]) -> Any:
    """Mask the values at a path of a JSON value, and add them to `found`.

    Only the changed parts are copied: the same object is returned if there is nothing at the path.
    """
    if not path:
        found.append(value)
        return MASK
    if type(value) not in _CONTAINERS or not value:
        return value
    part, rest = path[0], path[1:]
    if part is Wildcard.DEEP:
        value = mask_path(value, rest, found)
        if type(value) not in _CONTAINERS:
            return value
        part, rest = Wildcard.EACH, path
    if part is not Wildcard.EACH:
        keys = _keys(value, part)
    elif not rest:
        keys = range(len(value)) if type(value) is list else tuple(value)
    else:
        # Only lists and objects contain other values: most values of a large body needn't be visited.
        keys = [key for key, item in _items(value) if type(item) in _CONTAINERS and item]
    return _changed(value, {key: new for key in keys if (new := mask_path(value[key], rest, found)) is not value[key]})


_CONTAINERS: Final = frozenset({dict, list})
_INDEX: Final = 9
"""The most digits of an index."""


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if type(value) is dict else enumerate(value)


def _keys(value: Any, part: PathPart) -> Iterable[Any]:
    if type(value) is dict:
        return (part,) if part in value else ()
    # A JSON pointer writes an index like a key. No list has an index of more digits.
    if isinstance(part, str) and len(part) <= _INDEX and part.isascii() and part.isdigit():
        part = int(part)
    return (part,) if isinstance(part, int) and -len(value) <= part < len(value) else ()


def _changed(value: Any, new: dict[Any, Any]) -> Any:
    """Copy a list or an object with new items; return the same object if there are none."""
    if not new:
        return value
    if type(value) is dict:
        return {**value, **new}
    copy = list(value)
    for index, item in new.items():
        copy[index] = item
    return copy


# --- Known values, wherever they occur -------------------------------------------------------------------------------

#: A text of at least this length is masked anywhere in another text; a shorter one only as a whole word.
_ANYWHERE: Final = 6
#: A text of at most this length is masked only if it is the whole text.
_ALONE: Final = 2
#: Many texts are found by this many first letters; the shortest text that is searched for has as many.
_START: Final = 3
#: The most texts that are searched for one after the other.
_AT_ONCE: Final = 40
#: The most characters of hidden texts that are compared for each character of a text; above that, all of it is masked.
_COMPARED: Final = 500
#: The most letters of all texts together; with more, everything is masked.
_MOST_LETTERS: Final = 10_000_000
#: A run of this many letters in common with a long text isn't an accident.
_COMMON: Final = 12
_MOST_COMPARED: Final = 50_000_000
#: The most digits of a number that is written without an exponent.
_EXPONENT: Final = 40


class HiddenValues:
    """Texts and numbers that may be shown nowhere. True, false and null are too common to be recognized.

    A thread may mask a large value while others add to them: none is ever removed.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: dict[str, None] = {}
        self._letters = 0
        self._forms: dict[str, None] = {}
        """The searched forms: the texts as they are, and as they stand in URLs and in JSON."""
        self._starts: dict[str, set[int]] = {}
        """The lengths of the forms, by their first letters."""
        self.everything = False
        """Mask every value: there are too many hidden values to search for, or some aren't known."""
        for text in texts:
            self._add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def __bool__(self) -> bool:
        return self.everything or bool(self._texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, value: Any) -> None:
        """Hide a value, or all values in a list or an object."""
        for leaf in _leaves(value):
            if self._letters > _MOST_LETTERS:
                self.everything = True
                return
            self._add(leaf)

    def mask_text(self, text: str) -> str:
        if self.everything or text in self._texts:
            return MASK
        if not self._forms:
            return text
        return self._scan(text) if len(self._forms) > _AT_ONCE else self._search(text)

    def mask_excerpts(self, text: str) -> str:
        """Mask a text that may quote only a part of a long hidden text."""
        text = self.mask_text(text)
        long = [one for one in tuple(self._texts) if len(one) > 2 * _COMMON]
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

    def mask(self, value: Any) -> Any:
        """Mask hidden values in a JSON value; only the changed parts are copied."""
        if not self:
            return value
        if isinstance(value, str):
            shown = self.mask_text(value)
            return value if shown == value else shown
        if isinstance(value, dict):
            # Keys too: a message may use a secret as a key.
            new = {self.mask_text(key): self.mask(item) for key, item in value.items()}
            return value if all(new.get(key, MASK) is item for key, item in value.items()) else new
        if isinstance(value, list):
            return _changed(
                value,
                {
                    index: new
                    for index, item in enumerate(value)
                    if item is not None and (new := self.mask(item)) is not item
                },
            )
        forms = _number(value)
        return MASK if forms and (self.everything or not self._texts.keys().isdisjoint(forms)) else value

    def _add(self, text: str) -> None:
        if text in self._texts:
            return
        self._texts[text] = None
        self._letters += len(text)
        if len(text) <= _ALONE:
            return
        plain = text.isascii() and text.isalnum()
        for form in (text,) if plain else (text, quote(text, safe=""), quote_plus(text), encode(text).decode()[1:-1]):
            if form not in self._forms:
                self._forms[form] = None
                self._starts.setdefault(form[:_START], set()).add(len(form))

    def _search(self, text: str) -> str:
        # A pattern of all texts would take the product of the lengths, for a message that nearly repeats a hidden text.
        places: list[tuple[int, int]] = []
        for form in tuple(self._forms):
            end = 0
            while (at := text.find(form, end)) >= 0:
                end = at + len(form)
                if self._stands_alone(text, at, end):
                    places.append((at, end))
                else:
                    end = at + 1
        shown: list[str] = []
        start = 0
        for at, end in sorted(places):
            # A part that begins within another one is masked with it.
            if at >= start:
                shown += (text[start:at], MASK)
            start = max(start, end)
        return "".join((*shown, text[start:])) if shown else text

    def _scan(self, text: str) -> str:
        # Searching for many texts one after the other would take longer.
        shown: list[str] = []
        start = at = 0
        left = _COMPARED * (len(text) + _COMPARED)
        while at <= len(text) - _START:
            found = 0
            if (known := self._starts.get(text[at : at + _START])) is not None:
                lengths = tuple(known)
                left -= len(lengths) + sum(one for one in lengths if one <= len(text) - at)
                if left < 0:
                    return MASK
                found = max((one for one in lengths if self._is_hidden_at(text, at, one)), default=0)
            if found:
                shown += (text[start:at], MASK)
                start = at = at + found
            else:
                at += 1
        return "".join((*shown, text[start:])) if shown else text

    def _is_hidden_at(self, text: str, at: int, length: int) -> bool:
        end = at + length
        return end <= len(text) and text[at:end] in self._forms and self._stands_alone(text, at, end)

    def _stands_alone(self, text: str, at: int, end: int) -> bool:
        """Return true if a short text is a word of its own; a long one is hidden anywhere."""
        if end - at >= _ANYWHERE:
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
    """The texts of a number: without an exponent, as in JSON, and as Python writes it. Empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return ()
    if isinstance(value, int):
        return (str(value),)
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if not -_EXPONENT < exact.adjusted() < _EXPONENT:
        return (encode(value).decode(), str(value))
    plain = f"{exact:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return (plain, encode(value).decode(), str(value))


def secret_values(value: Any) -> Iterator[str]:
    """All values that a credential's type declares secret, at any depth."""
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
