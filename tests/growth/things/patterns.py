"""Our own regular expressions: each one of the engine and of the plugins, with texts that nearly match it."""

import ast
import re
import re._constants as sre  # The tree of a pattern has no public reader.
import re._parser as sre_parser
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.growth.families import TEXTS
from tests.growth.measure import Family, Thing

ROOT: Final = Path(__file__).parents[3]
_METHODS: Final = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
#: The methods for a pattern of which nothing says how it is used.
_ANY: Final = frozenset({"search", "fullmatch"})
_MAKES_OR_USES: Final = re.compile(rf"\bre\.|\.({'|'.join(sorted(_METHODS))})\(")
_LONGEST: Final = 2**14
"""A square would take some hundredths of a second at this size."""
#: Patterns that see no text from outside, and why.
ONLY_INSIDE: Final[Mapping[str, str]] = {
    "hookline.service.admin.openapi:'<(?:[^:>]*:)?([^>]+)>'": "sees the engine's own routes",
}
#: Patterns that see texts up to a length, and what bounds it.
BOUNDED: Final[Mapping[str, tuple[int, str]]] = {
    "hookline.model.dead_letter_causes._VARYING": (500, "the part of a message that is compared"),
    "hookline_mapping.patterns._CLASS": (1_000, "an author's pattern, or a message's"),
}
#: Patterns that are made while the program runs, and what tests them.
MADE: Final[Mapping[str, str]] = {
    "hookline.service.uploads.multipart:b'(\\\\r\\\\n)?--' + re.escape(boundary) + b'(--|[ \\\\t]*\\\\r\\\\n)'": "`_Events`",  # noqa: E501 - its place
    "hookline_mapping.patterns:source": "the filters `regex_…`: its cost is spent before it runs",
    "hookline.service.admin.request_reading:schema.get('pattern', '')": "patterns of the API's own parameters",
    "hookline.testing.contracts.connector:shape": "sees a plugin's own codes",
    "hookline_mapping.jinja.syntax_hints:said": "sees an author's expression",
    "hookline_mapping.jinja.syntax_hints:has": "sees an author's expression",
    "hookline.flows.check.fixes:f'(?<!\\\\w){re.escape(name)}(?!\\\\w)'": "sees an author's document",
    "hookline.flows.check.fixes:f'\\\\$\\\\.{whole}'": "sees an author's document",
    "hookline.flows.check.fixes:f'\\\\{{\\\\{{\\\\s*({whole})\\\\s*\\\\}}\\\\}}'": "sees an author's document",
    "hookline.flows.check.fixes:f'(?<![\\\\w.$])(\\\\$\\\\.)?{re.escape(wrong)}(?!\\\\w)'": "sees an author's document",
    "hookline.flows.documents.value_fixes:pattern": "the patterns of ids",
    "hookline_sql.statements:f'\\\\bin\\\\s*(?:\\\\(\\\\s*:{name}\\\\s*\\\\)|:{name}\\\\b)'": "sees an author's statement",  # noqa: E501 - its place
}
#: Patterns that are made while the program runs, and that `MADE` doesn't have.
UNKNOWN: Final[set[str]] = set()
_NOT_IMPORTED: Final = frozenset({"hookline_sqlstore.migrations.env"})
"""Alembic alone can import it. It has none."""


@dataclass(frozen=True, slots=True)
class Found:
    """A regular expression in the code."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def sources() -> Iterator[tuple[str, Path]]:
    """The name and the file of each module of ours."""
    for root in (ROOT / "engine", ROOT / "plugins"):
        for file in sorted(root.rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def _patterns_of(value: Any, name: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(value, tuple | list):
        for index, each in enumerate(value):
            yield from _patterns_of(each, f"{name}[{index}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _patterns_of(each, f"{name}[{key!r}]")


@cache
def found() -> tuple[Found, ...]:
    """Each regular expression of the code, with the methods by which it is used."""
    modules = {name: list(ast.walk(ast.parse(text))) for name, text in _texts() if name not in _NOT_IMPORTED}
    used: dict[str, set[str]] = {}
    for module_name, nodes in modules.items():
        for node in nodes:
            if isinstance(node, ast.Attribute) and node.attr in _METHODS:
                value = node.value
                name = (
                    value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
                )
                # A name that begins with an underscore is used by its own module alone.
                used.setdefault(f"{module_name}.{name}" if name.startswith("_") else name, set()).add(node.attr)
    made: dict[tuple[str, int], Found] = {}
    for name, nodes in modules.items():
        names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        module = import_module(name)
        for attribute in sorted(names & vars(module).keys()):
            for place, pattern in _patterns_of(vars(module)[attribute], f"{name}.{attribute}"):
                key = f"{name}.{attribute}" if attribute.startswith("_") else attribute
                methods = frozenset(used.get(key) or _ANY)
                made.setdefault((str(pattern.pattern), pattern.flags), Found(place, pattern, methods))
        for inline in _inline(name, nodes, vars(module)):
            key = (str(inline.pattern.pattern), inline.pattern.flags)
            known = made.get(key)
            # One that a function or a class makes may be used by any name.
            methods = known.methods | inline.methods if known else inline.methods or _ANY
            made[key] = replace(known or inline, methods=methods)
    return tuple(made.values())


def _texts() -> Iterator[tuple[str, str]]:
    """The modules that make a regular expression, or that may use one."""
    for name, file in sources():
        text = file.read_text(encoding="utf-8")
        if _MAKES_OR_USES.search(text):
            yield name, text


def _inline(name: str, nodes: Iterable[ast.AST], scope: Mapping[str, Any]) -> Iterator[Found]:
    """The patterns that stand where they are used: `re.sub("a+", …)`, and `re.compile` within a function."""
    for node in nodes:
        function = node.func if isinstance(node, ast.Call) else None
        if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
            continue
        if function.value.id != "re" or function.attr not in {*_METHODS, "compile"}:
            continue
        assert isinstance(node, ast.Call)
        place = f"{name}:{ast.unparse(node.args[0])}"
        try:
            read = node if function.attr == "compile" else node.args[0]
            source = eval(compile(ast.Expression(read), name, "eval"), dict(scope))  # our own code
        except Exception:  # noqa: BLE001 - whatever it needs isn't there
            if place not in MADE:
                UNKNOWN.add(place)
            continue
        if isinstance(source, str | bytes | re.Pattern):
            yield Found(place, re.compile(source), frozenset({function.attr} & _METHODS))


# --- Texts that nearly match -----------------------------------------------------------------------------------------

_ENDS: Final = ("\0", "\n\nx")
_MORE_ENDS: Final = ("", "\0", " ://", "!")
_ALPHABET: Final = "a0 .-_\"'\\/:;=,<>[](){}@%&\n\tZ"


def _letters(parsed: Iterable[Any]) -> Iterator[str]:
    """A letter of each set and each literal of a pattern."""
    for operation, argument in parsed:
        if operation in (sre.LITERAL, sre.NOT_LITERAL):
            yield chr(argument)
        elif operation is sre.RANGE:
            yield chr(argument[0])
        elif operation is sre.IN:
            yield from _letters(argument)
        elif operation is sre.BRANCH:
            for each in argument[1]:
                yield from _letters(each)
        elif isinstance(argument, tuple | list):
            for each in argument:
                if isinstance(each, sre_parser.SubPattern):
                    yield from _letters(each)
        elif isinstance(argument, sre_parser.SubPattern):
            yield from _letters(argument)


def _shortest(parsed: Iterable[Any]) -> str:
    """A text that a part of a pattern matches, or nearly."""
    made = ""
    for operation, argument in parsed:
        if operation is sre.LITERAL:
            made += chr(argument)
        elif operation is sre.NOT_LITERAL or operation is sre.ANY:
            made += "a" if argument != ord("a") else "b"
        elif operation is sre.IN:
            made += _of_set(argument)
        elif operation is sre.BRANCH:
            made += _shortest(argument[1][0])
        elif operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            made += _shortest(argument[2]) * max(1, min(argument[0], 100))
        elif operation is sre.SUBPATTERN:
            made += _shortest(argument[3])
        elif operation is sre.ATOMIC_GROUP:
            made += _shortest(argument)
    return made


def _of_set(members: Any) -> str:
    pattern = sre_parser.SubPattern(sre_parser.State(), [(sre.IN, members)])
    compiled = re._compiler.compile(pattern)  # type: ignore[attr-defined]  # as above
    return next((letter for letter in "a0" + _ALPHABET if compiled.match(letter)), "a")


def _repeats(parsed: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """For each repeat in a pattern, what may stand before it, and what is repeated."""
    for operation, argument in parsed:
        if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            if argument[1] > 100:
                yield before, _shortest(argument[2])
            yield from _repeats(argument[2], before)
        elif operation is sre.BRANCH:
            for each in argument[1]:
                yield from _repeats(each, before)
        elif operation is sre.SUBPATTERN:
            yield from _repeats(argument[3], before)
        elif operation is sre.ATOMIC_GROUP:
            yield from _repeats(argument, before)
        before += _shortest([(operation, argument)])


def near_matches(pattern: re.Pattern[Any], most_letters: int, ends: tuple[str, ...]) -> Iterator[Family]:
    """Families of texts that a pattern nearly matches: of so many of its letters, with these ends."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    parsed = sre_parser.parse(
        source, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    )
    own = [letter for letter in dict.fromkeys(_letters(parsed)) if ord(letter) < 256]
    letters = list(dict.fromkeys((*own[:most_letters], "a", " ")))
    parts = {*letters, *(one + two for one in letters for two in letters if one != two), _shortest(parsed) or "a"}
    begun: set[tuple[str, str]] = {("", part) for part in parts}
    for before, again in _repeats(parsed):
        begun |= {(before, again), ("", before + again), (before, again + before)}
        begun |= {(before, letter) for letter in letters}
    for before, again in sorted(begun):
        if again:
            for end in ends:
                yield Family(f"{before!r}, {again!r} repeated, {end!r}", _joined(before, again, end))


def _joined(before: str, again: str, end: str) -> Callable[[int], str]:
    return lambda size: before + again * (size // len(again)) + end


def _used(each: Found) -> Callable[[Any], object]:
    binary = isinstance(each.pattern.pattern, bytes)

    def run(text: str) -> None:
        given: Any = text.encode("latin-1", "replace") if binary else text
        for method in each.methods:
            if method in ("sub", "subn"):
                each.pattern.sub(b"" if binary else "", given)
            elif method == "finditer":
                for _ in each.pattern.finditer(given):
                    pass
            else:
                getattr(each.pattern, method)(given)

    return run


def things(*, wide: bool = False) -> Iterator[Thing]:
    """Each of them that sees text from outside; `wide`: with all of its letters."""
    letters, ends = (12, _MORE_ENDS) if wide else (3, _ENDS)
    for each in found():
        if each.place not in ONLY_INSIDE:
            bound = next((most for place, (most, _) in BOUNDED.items() if each.place.startswith(place)), None)
            longest = bound or _LONGEST
            yield Thing(
                "pattern",
                each.place,
                _used(each),
                TEXTS,
                longest,
                smallest=longest,
                is_bounded=bound is not None,
                more_families=partial(near_matches, each.pattern, letters, ends),
            )
