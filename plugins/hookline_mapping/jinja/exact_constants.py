"""Fractional constants in a template, which are read as Decimals with all digits."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from jinja2.lexer import Lexer, Token

from hookline.api import MAX_DIGITS, ExpressionSyntax
from hookline_mapping.decimals import read


class Constant(Decimal):
    """A constant in a template; its code is made as text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"environment.constant({str(self)!r})"


def constant(text: str) -> Decimal:
    """Return the Decimal of a constant in a template's code."""
    return Decimal(text)


class ExactLexer(Lexer):
    """Reads templates in which fractions are Decimals with all digits."""

    def wrap(
        self, stream: Iterable[tuple[int, str, str]], name: str | None = None, filename: str | None = None
    ) -> Iterator[Token]:
        """Yield the tokens with their values."""
        written: list[str] = []

        def noted() -> Iterator[tuple[int, str, str]]:
            for lineno, kind, text in stream:
                if kind == "float":
                    written.append(text.replace("_", ""))
                yield lineno, kind, text

        for token in super().wrap(noted(), name, filename):
            if token.type != "float":
                yield token
                continue
            number = read(text := written.pop(0))
            if number is None:
                raise ExpressionSyntax(f"the number {text[:40]} has more than {MAX_DIGITS:,} digits, or as many zeros")
            yield Token(token.lineno, token.type, Constant(number))  # type: ignore[arg-type]  # as Jinja's own floats
