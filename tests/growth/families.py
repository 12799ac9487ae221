"""Families of hostile input: texts, pairs of texts, JSON values, and bodies of bytes."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from tests.growth.measure import MOST, Family

_PRIME: Final = 2**61 - 1
"""Python hashes an integer to its remainder of this."""
_LONGEST_INTEGER: Final = 4290
"""Digits of the longest integer that is decoded."""


def family(name: str, make: Callable[[int], Any]) -> Family:
    """A family whose inputs are kept: many things are given the same. Large ones are kept until others are made."""
    kept = lru_cache(maxsize=4)(make)
    return Family(name, lambda size: kept(size) if size <= MOST else _large(make, size))


@lru_cache(maxsize=16)  # as many as one family has
def _large(make: Callable[[int], Any], size: int) -> Any:
    return make(size)


def repeated(part: str, end: str = "") -> Callable[[int], str]:
    """Texts of one part, again and again."""
    return lambda size: part * (size // len(part)) + end


def deep(levels: int, inner: Any = 0) -> Any:
    """A list in a list, and so on."""
    for _ in range(levels):
        inner = [inner]
    return inner


def items(make: Callable[[int], Any], size_of_one: int = 8) -> Callable[[int], list[Any]]:
    """Lists of so many items that their JSON is about as long as asked."""
    return lambda size: [make(index) for index in range(size // size_of_one)]


def tree(number: int) -> Any:
    """A tree of empty lists, another one for each number."""
    tree: Any = []
    while number:
        number, rest = divmod(number, 4)
        tree = [tree, *([[]] * rest)]
    return tree


TEXTS: Final = (
    family("one letter", repeated("a")),
    family("words", repeated("ab ")),
    family("spaces", repeated(" ", "x")),
    family("lines", repeated("a\n")),
    family("commas", repeated("a,")),
    family("percent signs", repeated("%")),
    family("percent escapes", repeated("%41")),
    family("percent fields", repeated("%(a)s")),
    family("fields of braces", repeated("{0}{a}")),
    family("brackets", repeated("[")),
    family("digits", repeated("9")),
    family("quotes", repeated('"')),
    family("backslashes", repeated("\\")),
    family("dots", repeated("a.")),
    family("an URL nearly", repeated("a.", " ://")),
    family("letters that grow", repeated("\u0130ß")),
    family("letters with accents", repeated("e\u0301\u0316")),
    family("amounts", repeated("1,000.")),
)

VALUES: Final = (
    family("equal hashes", items(lambda i: _PRIME * i, 24)),
    family("pairs with equal hashes", items(lambda i: [_PRIME * i, 0], 28)),
    family("objects with equal hashes", items(lambda i: {"sku": _PRIME * i}, 34)),
    family("fractions with equal hashes", items(lambda i: Decimal(_PRIME * i) + Decimal("0.5"), 24)),
    family("integers that binary64 doesn't tell apart", items(lambda i: 2**62 + i, 20)),
    family("long integers that binary64 doesn't tell apart", items(lambda i: 10**100 + i, 102)),
    family("objects of integers that binary64 doesn't tell apart", items(lambda i: {"sku": 2**62 + i}, 28)),
    family("trees of empty lists", items(tree, 60)),
    family("fractions", items(lambda i: i + 0.1, 9)),
    family("objects", items(lambda i: {"sku": str(i)}, 16)),
    family("empty objects", items(lambda i: {}, 3)),
    family("one key each", items(lambda i: {f"k{i}": i}, 14)),
    family("numbers", items(lambda i: i, 6)),
    family("falling numbers", items(lambda i: -i, 7)),
    family("short texts", items(lambda i: f"{i * 7919 % 10007}", 7)),
    family("texts that begin alike", items(lambda i: "a" * 1000 + str(i), 1008)),
    family("empty lists", items(lambda i: [], 3)),
    family("deep lists", items(lambda i: deep(100, i), 206)),
    family("one list of many", lambda size: [list(range(size // 6))]),
    family("long integers", items(lambda i: 10**_LONGEST_INTEGER - 1 - i, _LONGEST_INTEGER)),
    family("truths", items(lambda i: i % 2 == 0, 6)),
    family("many keys", lambda size: {f"k{i}": i for i in range(100_000, 100_000 + size // 20)}),
    family("many keys of lists", lambda size: {f"k{i}": [i] for i in range(100_000, 100_000 + size // 22)}),
)


def pair(name: str, make: Callable[[int], tuple[Any, Any]]) -> Family:
    """A family of bodies with a value `v` and a second one `w`, which is an argument."""

    def body(size: int) -> dict[str, Any]:
        value, argument = make(size)
        return {"v": value, "w": argument}

    return family(name, body)


#: The families that expressions are given by default, since there are so many of them. The long test gives all.
CORE: Final = frozenset(
    {
        *("one letter", "dots", "equal hashes", "pairs with equal hashes", "objects with equal hashes", "deep lists"),
        *("integers that binary64 doesn't tell apart", "a letter between its like", "texts and a long path"),
    }
)
PAIRS: Final = (
    pair("a letter, then its like", lambda size: ("a" * size, "b" + "a" * (size // 2))),
    pair("its like, then a letter", lambda size: ("a" * size, "a" * (size // 2) + "b")),
    pair("a letter between its like", lambda size: ("a" * size, "a" * (size // 4) + "b" + "a" * (size // 4))),
    pair("two letters by turns", lambda size: ("ab" * (size // 2), "ab" * (size // 4) + "b")),
    pair("the same text", lambda size: ("a" * size, "a" * size)),
    pair("a single letter", lambda size: ("a" * size, "a")),
    pair("no letter", lambda size: ("a" * size, "")),
    pair("texts and a long text", lambda size: (["a" * 50] * (size // 100), "a" * (size // 2))),
    pair("texts and a long path", lambda size: ([{}] * (size // 8), "a." * (size // 4))),
    pair("lists of items", lambda size: (list(range(size // 12)), list(range(size // 12, size // 6)))),
    pair("lists of texts", lambda size: ([f"{i}" for i in range(size // 14)], [f"x{i}" for i in range(size // 14)])),
    pair("an object and a long key", lambda size: ({f"k{i}": i for i in range(size // 28)}, "k" * (size // 2))),
)
