"""Paths into a body, for `rename` and `pick`: `customer.name`, `lines[*].sku`, `['unit price'].net`."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, Field

from hookline.api import Context, StepError, did_you_mean

EACH: Final = -1
"""In a path, each item of a list."""
Path: TypeAlias = tuple[str | int, ...]

MOST_VALUES: Final = 250_000
"""The most values that one step visits, because nothing else runs meanwhile."""

_PART: Final = re.compile(
    r"""
      (?P<each> \[ \s* \* \s* \] )
    | \[ \s* '(?P<single> (?: [^'\\] | \\. )* )' \s* \]
    | \[ \s* "(?P<double> (?: [^"\\] | \\. )* )" \s* \]
    | \.? (?P<key> [^\s.\[\](),|&?*+/<>=!~'"`\\${}%^;]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_PLAIN: Final = re.compile(r"[^\s.\[\](),|&?*+/<>=!~'\"`\\${}%^;]+")
_SHOWN: Final = 60
_COMPARED: Final = 100


def path(text: str) -> Path:
    """Return the parts of a path. Raises ValueError."""
    if text.startswith("$"):
        raise ValueError(f"{text!r}: a path begins with a key of the body, without `$`")
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        # The first part has no dot; later parts have one if they are bare keys.
        if found is None or (found.lastgroup == "key" and (text[at] == ".") is (at == 0)):
            raise ValueError(_unreadable(text, at))
        at = found.end()
        kind = found.lastgroup or ""
        if kind == "each":
            parts.append(EACH)
        else:
            parts.append(found[kind] if kind == "key" else _ESCAPE.sub(r"\1", found[kind]))
    if not parts or parts[-1] == EACH:
        raise ValueError(f"{text!r}: a path ends with a key")
    return tuple(parts)


def path_text(parts: Iterable[str | int]) -> str:
    """Return a path as text."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += "[*]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            escaped = part.replace("\\", "\\\\").replace("'", "\\'")
            text += f"['{escaped}']"
    return text


def apart(paths: Iterable[Path], what: str) -> None:
    """Raise ValueError if two paths are the same, or if one is inside another."""
    before: Path | None = None
    for one in sorted(paths, key=lambda parts: [(part == EACH, str(part)) for part in parts]):
        if before is not None and one[: len(before)] == before:
            how = "is given twice" if one == before else f"is inside {path_text(before)!r}, which is given too"
            raise ValueError(f"{what} {path_text(one)!r} {how}")
        before = one


def _readable(text: str) -> str:
    path(text)
    return text


PathText: TypeAlias = Annotated[str, AfterValidator(_readable)]
"""A path in a setting; `path` parses it."""


class _Nothing:
    """Marks a missing setting, because null is a valid body."""


BODY: Final[Any] = Field(
    default_factory=_Nothing, description="The value to change, any JSON value; by default the message's body."
)
"""The default of the setting `body`."""


def body_of(ctx: Context[None], given: Any) -> Any:
    """Return the value of the setting `body`, or else the message's body."""
    return ctx.message.body if isinstance(given, _Nothing) else given


class Turns:
    """Counts the values that a step visits."""

    def __init__(self, action: str) -> None:
        self._action = action
        self._left = MOST_VALUES

    def spend(self, count: int) -> None:
        """Count more values. Raises StepError (`<action>.limit`) if they are more than one step may visit."""
        self._left -= count
        if self._left < 0:
            raise StepError(
                f"there are more than {MOST_VALUES:,} values to visit; split the work with a foreach step",
                code=f"{self._action}.limit",
            )


def lacks(action: str, where: Iterable[str | int], value: Any, part: str | int) -> StepError:
    """Return the error for a path that the body lacks; `where` is the path to `value`, which lacks `part`."""
    place = path_text(where) or "the body"
    if part == EACH:
        text = f"{place} is {_kind(value)}, not a list"
    elif isinstance(value, Mapping):
        key = _short(str(part))
        known = [_short(str(one)) for one in islice(value, _COMPARED)]
        otherwise = f"it has {', '.join(map(repr, known[:5]))}" if known else "it is empty"
        text = f"there is no {key!r} in {place}; {did_you_mean(key, known, otherwise)}"
    else:
        text = f"{place} is {_kind(value)} and has no {_short(str(part))!r}"
    return StepError(f'{text}; `"missing": "ignore"` leaves it out', code=f"{action}.missing")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return "text"
        case bool():
            return "true or false"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"


def _short(key: str) -> str:
    return key if len(key) <= _SHOWN else key[:_SHOWN] + "…"


def _unreadable(text: str, at: int) -> str:
    rest = text[at : at + 20]
    if re.match(r"\[\s*-?\d", rest):
        return f"{text!r}: a path names all items of a list, as `[*]`, not a single one"
    return f"{text!r} can't be read at {rest!r}; a key with other characters than letters, digits, - and _ needs ['…']"


def tree(paths: Iterable[tuple[Path, Any]]) -> dict[str | int, Any]:
    """Return paths as nested objects, each with its value at its end."""
    root: dict[str | int, Any] = {}
    for parts, end in paths:
        node = root
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = end
    return root
