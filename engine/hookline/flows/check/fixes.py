"""Fixes: the changes of a document by which an editor can remove a problem, if its remedy says exactly how.

A fix is a JSON Patch (RFC 6902). It isn't applied by itself: an author decides on it. Most are made where the problem
is found; those here need the text in which a name stands.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from hookline.flows.elements.expressions import language
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import Patch, escape, parts_of, replacing, value_at

_KEYS: Final = frozenset({"unknown_key", "expression.mapper"})
"""The problems of a key, whose name is the last part of their pointer."""
_LONGEST: Final = 10_000
"""The most characters of a text that a fix writes anew: each of its problems has a whole copy of it."""
_MISSING: Final = frozenset({"step_may_not_run", "may_be_missing"})
"""The problems of a value that may be missing, which a default removes."""


def with_fixes(problems: Iterable[Problem], document: Any) -> list[Problem]:
    """Return problems of a document with their fixes."""
    return [replace(one, fix=_fix(one, document)) for one in problems]


def _fix(problem: Problem, document: Any) -> tuple[Patch, ...]:
    if problem.fix:
        return tuple(_grounded(patch, document) for patch in problem.fix)
    if problem.unknown is None:
        return ()
    value = _value(document, problem.pointer)
    if isinstance(value, str) and len(value) > _LONGEST:
        return ()
    if problem.code in _MISSING and isinstance(value, str):
        return _default(problem.pointer, value, problem.unknown, document)
    if problem.similar is None:
        return ()
    parent = problem.pointer.rpartition("/")[0]
    if problem.code in _KEYS:
        # A member of that name may be there already, so that it isn't clear which one is meant.
        is_free = problem.similar not in (_value(document, parent) or {})
        return (Patch("move", f"{parent}/{escape(problem.similar)}", from_=problem.pointer),) if is_free else ()
    meant = _renamed(value, problem.unknown, problem.similar) if isinstance(value, str) else None
    return () if meant is None else replacing(problem.pointer, meant)


def _value(document: Any, pointer: str) -> Any:
    """The value at a pointer; None if there is none."""
    try:
        return value_at(document, pointer)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _grounded(patch: Patch, document: Any) -> Patch:
    """A patch that adds the objects and lists as well in which its value stands, if they are missing."""
    if patch.op != "add":
        return patch
    path, value, parts = patch.path, patch.value, parts_of(patch.path)
    while len(parts) > 1 and _value(document, parent := path.rpartition("/")[0]) is None:
        last = parts.pop()
        path, value = parent, [value] if last == "-" else {last: value}
    return Patch("add", path, value=value)


def _renamed(text: str, wrong: str, meant: str) -> str | None:
    """The text with another path in place of the wrong one; None if it isn't clear where that is."""
    found, count = re.subn(rf"(?<![\w.$])(\$\.)?{re.escape(wrong)}(?!\w)", lambda each: (each[1] or "") + meant, text)
    if count:
        return found
    # Expressions may write the way to a name in several forms.
    before, _, name = wrong.rpartition(".")
    if not before or not meant.startswith(f"{before}."):
        return None
    found, count = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: meant.rpartition(".")[2], text)
    return found if count == 1 else None


def _default(pointer: str, text: str, path: str, document: Any) -> tuple[Patch, ...]:
    """The fix of an expression that is one path, or that writes one path as it is: with a default."""
    parent, _, last = pointer.rpartition("/")
    if last == "jsonpath":
        return _grounded_default(parent, document)
    # The value at the path may be missing, and with it all values inside it.
    whole = rf"{re.escape(path)}(?:\.\w+|\[\d+\])*"
    if language(text) == "jsonpath":
        is_path = re.fullmatch(rf"\$\.{whole}", text) is not None
        return replacing(pointer, {"jsonpath": text, "default": None}) if is_path else ()
    alone = re.fullmatch(r"\s*\{\{[^{}]*\}\}\s*", text) is not None
    default = "none" if alone else "''"
    found, count = re.subn(
        rf"\{{\{{\s*({whole})\s*\}}\}}", lambda each: f"{{{{ {each[1]} | default({default}) }}}}", text
    )
    return replacing(pointer, found) if count else ()


def _grounded_default(parent: str, document: Any) -> tuple[Patch, ...]:
    around = _value(document, parent)
    return (Patch("add", f"{parent}/default", value=None),) if isinstance(around, dict) and len(around) == 1 else ()
