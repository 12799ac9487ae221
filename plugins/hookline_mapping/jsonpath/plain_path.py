"""Paths of plain keys and indexes: read by a lexer of their own, and followed without any interpreter.

Most expressions in flows are such paths. JSONPath's general dialect knows only ASCII letters in bare keys; here these
may contain everything that isn't punctuation of the dialect: letters and signs of any script, digits, `_`, `@`, `#`,
`:` and `-`.
"""

import re
from functools import lru_cache, reduce
from operator import getitem
from typing import Any

from hookline.api import Expression, Reference, Scope
from hookline_mapping.missing_value_message import first_missing, missing_value, path_text

_STEP = re.compile(
    r"""
      \. (?P<key> [^\s.\[\](),|&?*+/<>=!~'"`\\${}%^;]+ )
    | \[ \s* (?P<index> -?\d{1,9} ) \s* \]
    | \[ \s* '(?P<single> (?: [^'\\] | \\. )* )' \s* \]
    | \[ \s* "(?P<double> (?: [^"\\] | \\. )* )" \s* \]
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@lru_cache(maxsize=4096)
def plain_path(source: str, keys: tuple[str | int, ...], root: str = "$") -> "PlainPath":
    """Return the expression of a path. Many flows read the same paths, and share it."""
    return PlainPath(source, keys, root)


def plain_keys(source: str) -> tuple[str | int, ...] | None:
    """Return the keys and indexes of a JSONPath; None if it has other parts."""
    if not source.startswith("$"):
        return None
    keys: list[str | int] = []
    at = 1
    while at < len(source):
        step = _STEP.match(source, at)
        if step is None:
            return None
        at = step.end()
        kind = step.lastgroup
        text = step[kind or 0]
        if kind == "index":
            keys.append(int(text))
        elif kind == "key":
            if text == "@":
                return None  # The current node, in the general dialect.
            keys.append(text)
        else:
            keys.append(_ESCAPE.sub(r"\1", text))
    return tuple(keys)


class PlainPath(Expression):
    """Follows keys and indexes into the scope, in less than a microsecond for each step."""

    __slots__ = ("_by_name", "_root", "path", "references", "source")

    path: tuple[str | int, ...]

    def __init__(self, source: str, keys: tuple[str | int, ...], root: str = "$") -> None:
        """`root` begins the path in errors: `$` in JSONPath, nothing in Jinja."""
        self.source = source
        self.references = (Reference(keys),) if keys else ()
        self.path = keys
        self._root = root
        self._by_name = all(isinstance(key, str) for key in keys)

    def evaluate(self, scope: Scope) -> Any:
        """Return the value at the path. Raises MissingValue."""
        try:
            if self._by_name:
                # Only an object has texts as keys, so each wrong step raises.
                return reduce(getitem, self.path, scope)  # type: ignore[arg-type]  # its stub knows sequences only
            value: Any = scope
            for key in self.path:
                # Python can index a text, but in JSON it has no items.
                if type(value) is str:
                    raise self._missing(scope)
                value = value[key]
        except (KeyError, IndexError, TypeError):
            raise self._missing(scope) from None
        return value

    def _missing(self, scope: Scope) -> Exception:
        end = first_missing(self.path, scope)
        if end is None:  # pragma: no cover - the look-up and the explanation disagree only over a broken mapping
            return missing_value(path_text(self.path, self._root), self._root, scope, self.path[-1])
        there, container, key = end
        return missing_value(path_text(self.path, self._root), path_text(there, self._root), container, key)
