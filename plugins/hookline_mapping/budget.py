"""The bounds of one evaluation. They count work, not time, so that an evaluation ends the same way everywhere."""

from typing import Final

from hookline.api import ExpressionLimit

MAX_TURNS: Final = 100_000
"""Loop turns, and items that filters go through."""
MAX_NODES: Final = 250_000
"""Values that a JSONPath query visits, and values in what an expression makes."""
MAX_TEXT: Final = 10_000_000
"""Characters of text that an expression makes, intermediate ones included."""

_LONG_NUMBER: Final = 1024
"""Bits of a whole number above which writing it out takes longer than its text."""


class Budget:
    """The work that one evaluation may still do. Each `spend` raises ExpressionLimit when nothing is left."""

    __slots__ = ("nodes", "text", "turns")

    def __init__(self, turns: int = MAX_TURNS, nodes: int = MAX_NODES, text: int = MAX_TEXT) -> None:
        self.turns = turns
        self.nodes = nodes
        self.text = text

    def spend_turns(self, count: int) -> None:
        """`count` more items are gone through."""
        self.turns -= count
        if self.turns < 0:
            raise ExpressionLimit(f"it goes through more than {MAX_TURNS:,} items; split the work with a foreach step")

    def spend_nodes(self, count: int) -> None:
        """`count` more values are visited or made."""
        self.nodes -= count
        if self.nodes < 0:
            raise ExpressionLimit(f"it visits more than {MAX_NODES:,} values; name the path to what is wanted")

    def spend_text(self, length: int) -> None:
        """`length` more characters are made."""
        self.text -= length
        if self.text < 0:
            raise ExpressionLimit(f"it makes more than {MAX_TEXT:,} characters of text")

    def spend_digits(self, value: int) -> None:
        """A whole number is written out, which takes a time that grows with the square of its digits."""
        bits = value.bit_length()
        if bits > _LONG_NUMBER:
            self.spend_text((bits // 3) ** 2 // 300)

    def spend_copy(self, length: int) -> None:
        """A text of that length is made on the way to a result: one bound for each, and a sixteenth for all."""
        if length > MAX_TEXT:
            self.spend_text(length)
        self.text -= length // 16
        self.spend_text(0)
