"""Hints for expressions that are written as in another language."""

import re
from typing import Final

_HINTS: Final[tuple[tuple[str, str, str], ...]] = (
    # Part of Jinja's message, part of the expression, and the hint.
    (r"'='", r"===", "`==` compares; there is no `===`"),
    (r"'='", r"(?<![=!<>])=(?!=)", "`=` changes nothing here: `==` compares"),
    (r"'&'", r"&", "write `and`"),
    (r"got '\|'", r"\|\|", "write `or`"),
    (r"'!'", r"!(?!=)", "write `not`"),
    (r"'\?'", r"\?\?|\?\.", "write `body.key | default(…)` for a value that may be missing"),
    (r"'\?'", r"\?", "write `a if condition else b`"),
    (r"'>'", r"<>", "write `!=`"),
    (r"'\$'", r"\$", "a path in {{ }} begins with the name alone: write body.total, not $.body.total"),
)


def syntax_hint(message: str, source: str) -> str:
    """Return the hint for Jinja's message about an expression; empty if there is none."""
    return next((f" ({hint})" for said, has, hint in _HINTS if re.search(said, message) and re.search(has, source)), "")
