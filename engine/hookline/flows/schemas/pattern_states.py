"""The time that a `pattern` of a JSON Schema takes for each character of a text.

The matcher of jsonschema-rs is a deterministic automaton whose states are made as a text needs them, so that each
character takes one step. That fails if a pattern has too many states, such as the 2⁴⁰ of `[A-Z].{40}[0-9]`: each of the
last 40 characters may have begun a match or not. Without states, a character takes time for each character that the
pattern counts.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

_kinds: Any = re._constants  # type: ignore[attr-defined]
_parse: Any = re._parser.parse  # type: ignore[attr-defined]
_WITH_FEW_STATES: Final = 0.005
_WITH_SMALL_STATES: Final = 0.1
_WITHOUT_STATES: Final = 0.6
_FOR_EACH_POSITION: Final = 0.05
"""Besides, without states."""
_MOST_POSITIONS: Final = 30_000
_FEW: Final = 800
"""The states for which the matcher surely has room."""
_ROOM: Final = 40_000
"""The room for more: the squares of their positions."""
_MOST_STEPS: Final = 100_000
"""The most steps to look for states: a bound for this module's own time."""

_Set: TypeAlias = list[tuple[Any, Any]]
"""A set of characters, as Python's parser describes it."""
_REPEATS: Final = (_kinds.MAX_REPEAT, _kinds.MIN_REPEAT, _kinds.POSSESSIVE_REPEAT)
_CATEGORY = re.compile(r"\\[pP](?:\{\^?\w++\}|\w)")
"""A category of Unicode, which Python's parser doesn't know."""
_COUNT = re.compile(r"\{(?:\d++,)?(\d++),?\}")
_IGNORES_CASE = re.compile(r"\(\?[a-z]*i")
_HAS_LINES = re.compile(r"\(\?[a-z]*m")
_CHARACTERS: Final = (*map(chr, range(128)), "é", "中", "٣", "\xa0")
"""Characters by which the sets of a pattern are told apart, besides those that it names."""
_TESTS: Final[dict[Any, Callable[[str], bool]]] = {
    _kinds.CATEGORY_DIGIT: str.isdecimal,
    _kinds.CATEGORY_SPACE: str.isspace,
    _kinds.CATEGORY_WORD: lambda character: character.isalnum() or character == "_",
}
_OPPOSITES: Final[dict[Any, Any]] = {
    _kinds.CATEGORY_NOT_DIGIT: _kinds.CATEGORY_DIGIT,
    _kinds.CATEGORY_NOT_SPACE: _kinds.CATEGORY_SPACE,
    _kinds.CATEGORY_NOT_WORD: _kinds.CATEGORY_WORD,
}


@lru_cache(maxsize=1024)
def microseconds_of(pattern: str) -> float:
    """Return the most microseconds that a search takes for each character of a text."""
    automaton = _Automaton(pattern)
    try:
        states = automaton.states()
    except _TooMany:
        return _WITHOUT_STATES + _FOR_EACH_POSITION * len(automaton.positions)
    except _NotParsed:
        most = max(map(int, _COUNT.findall(pattern)), default=0)
        return _WITH_FEW_STATES if most < 10 else _WITHOUT_STATES + _FOR_EACH_POSITION * len(pattern) * most
    return _WITH_FEW_STATES if states <= _FEW else _WITH_SMALL_STATES


class _NotParsed(Exception):
    """The matcher of jsonschema-rs knows the pattern, and Python's parser doesn't."""


class _TooMany(Exception):
    """The pattern has too many positions or states."""


class _Part(NamedTuple):
    """A part of a pattern. A set of positions is an integer with their bits."""

    first: int = 0
    """The positions that it may begin with."""
    last: int = 0
    """The positions that it may end with."""
    may_be_empty: bool = True


class _Automaton:
    """The automaton of Glushkov: its positions are the places of a pattern where a character stands."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._characters = {*_CHARACTERS, *pattern}
        self._ignores_case = _IGNORES_CASE.search(pattern) is not None
        self.positions: list[_Set] = []
        self._next: list[int] = []
        """The positions that may follow each position."""
        self._steps = 0

    def states(self) -> int:
        """Return how many states the deterministic automaton has. Raises `_NotParsed` or `_TooMany`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                parsed = _parse(_CATEGORY.sub(r"\\w", self._pattern))
            whole = self._sequence(parsed)
        except (re.error, OverflowError, RecursionError) as error:
            raise _NotParsed from error
        if len(self.positions) < _FEW.bit_length():
            return 1 << len(self.positions)
        starts = bool(parsed) and parsed[0] in _BEGINNINGS and not _HAS_LINES.search(self._pattern)
        return self._count(whole.first, 0 if starts else whole.first)

    def _count(self, start: int, again: int) -> int:
        """Count the states; `again`: the positions that a match may begin with anywhere in the text."""
        letters = self._letters()
        known = {start}
        todo = [start]
        room = 0
        while todo:
            state = todo.pop()
            for letter in letters:
                following = again
                for position in _bits(state & letter):
                    following |= self._next[position]
                if following not in known:
                    known.add(following)
                    todo.append(following)
            self._spend(len(letters) * state.bit_count())
            room += state.bit_count() ** 2
            if room > _ROOM and len(known) > _FEW:
                raise _TooMany
        return len(known)

    def _letters(self) -> set[int]:
        """Return the positions of each character; characters with the same positions are one letter."""
        sets: dict[str, tuple[_Set, int]] = {}
        for position, items in enumerate(self.positions):
            name = str(items)
            sets[name] = items, sets.get(name, (items, 0))[1] | 1 << position
        letters = set()
        for character in self._characters:
            letter = 0
            for items, positions in sets.values():
                if self._accepts(items, character):
                    letter |= positions
            letters.add(letter)
        return letters

    def _sequence(self, nodes: Any) -> _Part:
        made = _Part()
        for kind, argument in nodes:
            made = self._then(made, self._node(kind, argument))
        return made

    def _node(self, kind: Any, argument: Any) -> _Part:
        if kind in _REPEATS:
            return self._repeat(*argument)
        if kind is _kinds.BRANCH:
            return self._choice(argument[1])
        if kind is _kinds.SUBPATTERN:
            return self._sequence(argument[3])
        if kind in (_kinds.LITERAL, _kinds.NOT_LITERAL, _kinds.ANY, _kinds.IN):
            return self._position(kind, argument)
        # The beginning and the end of a text or a word.
        return _Part()

    def _position(self, kind: Any, argument: Any) -> _Part:
        if len(self.positions) == _MOST_POSITIONS:
            raise _TooMany
        self.positions.append(argument if kind is _kinds.IN else [(kind, argument)])
        self._next.append(0)
        bit = 1 << len(self.positions) - 1
        return _Part(bit, bit, may_be_empty=False)

    def _accepts(self, items: _Set, character: str) -> bool:
        cases = {character, character.lower(), character.upper()} if self._ignores_case else {character}
        return any(_is_in(items, case) for case in cases)

    def _choice(self, branches: list[Any]) -> _Part:
        parts = [self._sequence(branch) for branch in branches]
        first = last = 0
        for part in parts:
            first |= part.first
            last |= part.last
        return _Part(first, last, may_be_empty=any(part.may_be_empty for part in parts))

    def _repeat(self, least: int, most: Any, nodes: Any) -> _Part:
        endless = most is _kinds.MAXREPEAT
        end = _Part()
        for _ in range(1 if endless else most - least):
            one = self._sequence(nodes)
            if not one.first:
                return one
            if endless:
                self._link(one.last, one.first)
            end = self._then(one, end)._replace(may_be_empty=True)
        made = _Part()
        for _ in range(least):
            one = self._sequence(nodes)
            if not one.first:
                return one
            made = self._then(made, one)
        return self._then(made, end)

    def _then(self, part: _Part, after: _Part) -> _Part:
        self._link(part.last, after.first)
        return _Part(
            part.first | after.first if part.may_be_empty else part.first,
            part.last | after.last if after.may_be_empty else after.last,
            part.may_be_empty and after.may_be_empty,
        )

    def _link(self, ends: int, beginnings: int) -> None:
        if beginnings:
            self._spend(ends.bit_count())
            for position in _bits(ends):
                self._next[position] |= beginnings

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MOST_STEPS:
            raise _TooMany


_BEGINNINGS: Final = ((_kinds.AT, _kinds.AT_BEGINNING), (_kinds.AT, _kinds.AT_BEGINNING_STRING))


def _is_in(items: _Set, character: str) -> bool:
    """Return true if a character belongs to a set."""
    code = ord(character)
    for kind, argument in items:
        if kind is _kinds.ANY:
            return character != "\n"
        if kind is _kinds.NOT_LITERAL:
            return bool(code != argument)
        if kind is _kinds.NEGATE:
            return not _is_in(items[1:], character)
        if (
            (kind is _kinds.LITERAL and code == argument)
            or (kind is _kinds.RANGE and argument[0] <= code <= argument[1])
            or (kind is _kinds.CATEGORY and _is_of(argument, character))
        ):
            return True
    return False


def _is_of(category: Any, character: str) -> bool:
    opposite = _OPPOSITES.get(category)
    return not _TESTS[opposite](character) if opposite else _TESTS[category](character)


def _bits(positions: int) -> Iterator[int]:
    while positions:
        lowest = positions & -positions
        yield lowest.bit_length() - 1
        positions ^= lowest
