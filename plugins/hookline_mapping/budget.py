"""The limits of one evaluation. They count work, not time, so that an evaluation has the same result everywhere."""

from typing import Final

from hookline.api import ExpressionLimit

MAX_TURNS: Final = 100_000
"""The most loop turns, and items that filters visit."""
MAX_NODES: Final = 250_000
"""The most values that a JSONPath query visits, and that the result of an expression has."""
MAX_TEXT: Final = 10_000_000
"""The most characters of text that an expression makes, including intermediate texts."""

_LONG_NUMBER: Final = 1024
"""The number of bits of a whole number above which converting it to text is counted."""


class Budget:
    """The work that one evaluation may still do. Each `spend` raises ExpressionLimit when nothing is left."""

    __slots__ = ("nodes", "text", "turns")

    def __init__(self, turns: int = MAX_TURNS, nodes: int = MAX_NODES, text: int = MAX_TEXT) -> None:
        self.turns = turns
        self.nodes = nodes
        self.text = text

    def spend_turns(self, count: int) -> None:
        """Count more items that are visited."""
        self.turns -= count
        if self.turns < 0:
            raise ExpressionLimit(f"it visits more than {MAX_TURNS:,} items; split the work with a foreach step")

    def spend_nodes(self, count: int) -> None:
        """Count more values that are visited or made."""
        self.nodes -= count
        if self.nodes < 0:
            raise ExpressionLimit(f"it visits more than {MAX_NODES:,} values; use a more specific path")

    def spend_text(self, length: int) -> None:
        """Count more characters of text that are made."""
        self.text -= length
        if self.text < 0:
            raise ExpressionLimit(f"it makes more than {MAX_TEXT:,} characters of text")

    def spend_digits(self, value: int) -> None:
        """Count the conversion of a whole number to text, whose time is quadratic in the number of digits."""
        bits = value.bit_length()
        if bits > _LONG_NUMBER:
            self.spend_text((bits // 3) ** 2 // 300)

    def spend_copy(self, length: int) -> None:
        """Count an intermediate text of this length: each one has the whole limit, and all count for a sixteenth."""
        if length > MAX_TEXT:
            self.spend_text(length)
        self.text -= length // 16
        self.spend_text(0)
