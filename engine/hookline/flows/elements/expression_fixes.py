"""The fixes of expressions that are written as in other languages: `{{ a = b }}`, `a && b`, an open `{{`."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from hookline.flows.elements.scope_check import ALWAYS
from hookline.kernel.errors import ExpressionError
from hookline.kernel.pointers_and_patches import Patch, replacing
from hookline.sdk.mappers import Mapper, Reference

_EQUALS: Final = re.compile(r"(?<![=!<>])={1,3}(?!=)")
_OPERATORS: Final = ((re.compile(" ?&& ?"), " and "), (re.compile(r" ?\|\| ?"), " or "), (re.compile("!=="), "!="))


def syntax_fix(name: str, source: str, pointer: str, mappers: Mapping[str, Mapper]) -> tuple[Patch, ...]:
    """Return a fix for an expression that its mapper can't compile; empty if no similar expression compiles."""
    jinja = mappers.get("jinja")
    if jinja is None or len(source) > _LONGEST:
        return ()
    candidates = [_compared(source), _closed(source), _compared(_closed(source))] if name == "jinja" else []
    if name == "jsonpath" and not pointer.endswith("/jsonpath"):
        candidates.append(_in_braces(source))
    for candidate in candidates:
        if candidate != source and _compiles(jinja, candidate):
            return replacing(pointer, candidate)
    return ()


def condition_fix(
    value: Any, pointer: str, references: Callable[[str], tuple[Reference, ...] | None]
) -> tuple[Patch, ...]:
    """Return a fix that turns a condition written as plain text into an expression.

    `references`: the paths that an expression reads; None if it can't be compiled.
    """
    if not isinstance(value, str) or len(value) > _LONGEST:
        return ()
    if (truth := value.strip().lower()) in ("true", "false"):
        return replacing(pointer, truth == "true")
    candidate = _in_braces(value)
    read = references(candidate) or ()
    return replacing(pointer, candidate) if any(each.path[:1] and each.path[0] in ALWAYS for each in read) else ()


_LONGEST: Final = 1000
"""The most characters of an expression for which a fix is searched."""


def _compiles(mapper: Mapper, source: str) -> bool:
    try:
        mapper.compile(source)
    except ExpressionError:
        return False
    return True


def _compared(source: str) -> str:
    """The text with the operators of Jinja in its expressions."""
    return "".join(_with_operators(part) if is_code else part for part, is_code in _parts(source))


def _parts(source: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a text: the expressions without braces inside, and what is between them."""
    for number, part in enumerate(re.split(r"(\{\{[^{}]*\}\}|\{%[^{}]*%\})", source)):
        # In a statement, a single `=` sets a variable, so statements are left alone.
        yield part, number % 2 == 1 and part.startswith("{{")


def _with_operators(code: str) -> str:
    code = _EQUALS.sub("==", code)
    for found, written in _OPERATORS:
        code = found.sub(written, code)
    return code


def _closed(source: str) -> str:
    """The text with its last `{{` closed."""
    return f"{source.rstrip(' }')} }}}}" if source.rfind("{{") > source.rfind("}}") else source


def _in_braces(source: str) -> str:
    """The text as one expression of Jinja."""
    code = re.sub(r"(?<![\w$])\$\.?(?=[A-Za-z_])", "", re.sub(r"\{\{|\}\}", "", source))
    return f"{{{{ {_with_operators(code).strip()} }}}}"
