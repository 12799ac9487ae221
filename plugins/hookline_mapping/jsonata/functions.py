"""JSONata's own functions and patterns, whose costs are counted before they run."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from hookline.api import ExpressionFailed, ExpressionLimit
from hookline_mapping.budget import MAX_TEXT, Budget
from hookline_mapping.expression_results import key_of
from hookline_mapping.jsonata.library_import import jsonata, utils
from hookline_mapping.jsonpath.comparison import is_number
from hookline_mapping.patterns import Pattern, bounded

_MAX_WIDTH: Final = 10_000
_MAX_PICTURE: Final = 100
_MAX_TIME: Final = 60
TURNS_OF_A_PICTURE: Final = 10
_GOES_DEEP: Final = frozenset({"string", "distinct", "clone", "sort", "merge", "spread", "keys", "join"})
"""Functions that visit everything in their arguments."""
LOOKS_ONLY: Final = frozenset({"count", "exists", "type", "append"})
"""Functions whose time doesn't depend on the length of a list, except that `append` copies it."""
_BY_CHARACTER: Final = frozenset(
    {"trim", "encodeUrl", "encodeUrlComponent", "decodeUrl", "decodeUrlComponent", "parseInteger"}
)
"""Functions that process each character in Python, not in compiled code."""
_PICTURES: Final = frozenset({"formatNumber", "formatInteger", "parseInteger", "fromMillis", "toMillis"})
_PART: Final = r"\[[A-Za-z][^\]\[wW]*\]"
_READABLE: Final = re.compile(rf"(?:{_PART}|[^\[\]*+?^${{}}()|\\])*")
"""Pictures of which the library makes a bounded pattern: it uses the text between parts as part of the pattern."""
_NARROW: Final = re.compile(r"\[[YMDHhms][0-9,\-*]*\]")
_CLOSE: Final = re.compile(rf"({_PART})(?=\w|\[)")


class BoundedRegex:
    """A pattern, whose cost is counted before it runs."""

    def __init__(self, source: str, flags: Any) -> None:
        inline = ("i" if flags.case_insensitive else "") + ("m" if flags.multiline else "")
        self._pattern: Pattern = bounded(f"(?{inline}){source}" if inline else source)

    def _ready(self, text: str) -> re.Pattern[str]:
        self._pattern.spend(text, _budget())
        return self._pattern.compiled

    def search(self, text: str) -> Any:
        """Return the first match."""
        return self._ready(text).search(text)

    def finditer(self, text: str) -> Iterator[Any]:
        """Yield all matches."""
        for found in self._ready(text).finditer(text):
            _budget().spend_turns(2)
            yield found

    def sub(self, replacement: Any, text: str, count: int = 0) -> str:
        """Replace the matches by a template of Python, or by the results of a function."""
        budget = _budget()
        expands = isinstance(replacement, str) and "\\" in replacement

        def replaced(found: re.Match[str]) -> str:
            budget.spend_turns(2 if expands else 1)
            made: str = found.expand(replacement) if expands else replacement
            if not isinstance(replacement, str):
                made = replacement(found)
            budget.spend_text(len(made))
            return made

        return self._ready(text).sub(replaced, text, count)

    def split(self, text: str, maxsplit: int = 0) -> list[Any]:
        """Return the texts between the matches."""
        budget = _budget()
        made = self._ready(text).split(text, maxsplit or budget.turns + 1)
        budget.spend_turns(len(made))
        return made


class _Limited:
    """A pattern that replaces a limited number of matches."""

    def __init__(self, regex: BoundedRegex, limit: int) -> None:
        self.search, self.finditer, self.split = regex.search, regex.finditer, regex.split
        self._regex = regex
        self._limit = limit

    def sub(self, replacement: Any, text: str, count: int = 0) -> str:
        return self._regex.sub(replacement, text, self._limit)


class BoundedFunction(jsonata.Jsonata.JNativeFunction):  # type: ignore[misc]  # the library has no types
    """One of the language's own functions, whose arguments are counted."""

    def __init__(self, native: Any) -> None:
        self.__dict__.update(native.__dict__)

    def call(self, input: Any, args: Any) -> Any:
        """Call the function. Raises ExpressionLimit and the library's own errors."""
        budget = _budget()
        name = self.function_name
        budget.spend_turns(2)
        for value in args or ():
            _spend_argument(budget, name, value)
        if name in _PICTURES and len(args) > 1:
            _check_picture(name, args)
        if name == "spread" and isinstance(args[0], list):
            return _spread(args[0])
        if name == "pad" and is_number(args[1]) and abs(args[1]) > _MAX_WIDTH:
            raise ExpressionLimit(f"$pad takes at most {_MAX_WIDTH:,} characters")
        if name == "join" and isinstance(args[0], list) and len(args) > 1 and isinstance(args[1], str):
            budget.spend_text(len(args[0]) * len(args[1]))
        elif name == "distinct" and isinstance(args[0], list):
            return _distinct(args[0])
        elif name == "split" and isinstance(args[0], str) and isinstance(args[1], str):
            budget.spend_nodes(args[0].count(args[1]))
        elif name == "replace" and isinstance(args[0], str) and args[1]:
            return self._replace(input, [*args, None, None])
        return super().call(input, args)

    def _replace(self, input: Any, args: list[Any]) -> Any:
        text, pattern, replacement, limit = args[:4]
        if limit is not None and not (is_number(limit) and limit >= 0):
            return super().call(input, args[:4])
        count = -1 if limit is None else int(limit)
        if isinstance(replacement, str) and (len(text) + 1) * len(replacement) > MAX_TEXT:
            _budget().spend_text((len(text) + 1) * len(replacement))
        if count == 0:
            return text
        if not isinstance(pattern, str):
            return super().call(input, [text, pattern if count < 0 else _Limited(pattern, count), replacement, None])
        if not isinstance(replacement, str):
            raise ExpressionFailed("$replace takes a function only with a pattern, as in /a/")
        if pattern not in text:
            return text
        # At each place, the library makes a pattern of it, and copies the rest of the text.
        _budget().spend_nodes(replacement.count("$$"))
        made = "$".join(part.replace("$0", pattern) for part in replacement.split("$$"))
        return text.replace(pattern, made, count)


def _budget() -> Budget:
    budget: Budget = jsonata.Jsonata.CURRENT.jsonata.budget
    return budget


def _spend_argument(budget: Budget, name: str, value: Any) -> None:
    if isinstance(value, str):
        budget.spend_copy(len(value))
        if name in _BY_CHARACTER:
            budget.spend_nodes(len(value) // 16)
    elif isinstance(value, list | dict):
        budget.spend_turns(len(value) // 64)
        if name in _GOES_DEEP:
            walk(budget, value)
        elif name not in LOOKS_ONLY:
            spend_lists(budget, value)


def checked_picture(name: str, picture: Any) -> Any:
    """Return a picture if it is short. Raises ExpressionLimit otherwise."""
    if isinstance(picture, str) and len(picture) > _MAX_PICTURE:
        raise ExpressionLimit(f"${name} takes pictures of at most {_MAX_PICTURE} characters")
    return picture


def _check_picture(name: str, args: Any) -> None:
    picture = checked_picture(name, args[1])
    _budget().spend_turns(TURNS_OF_A_PICTURE)
    if name == "formatNumber" and len(args) > 2 and isinstance(args[2], dict):
        for option, sign in args[2].items():
            if option.endswith("separator") and not (isinstance(sign, str) and len(sign) == 1):
                raise ExpressionFailed(f"$formatNumber takes one character as {option}")
    if name != "toMillis" or not isinstance(picture, str):
        return
    if isinstance(args[0], str) and len(args[0]) > _MAX_TIME:
        raise ExpressionLimit(f"$toMillis reads a time of at most {_MAX_TIME} characters with a picture")
    markers = [part[1] for part in re.findall(_PART, picture)]
    open_parts = [part for part in _CLOSE.findall(picture) if not _NARROW.fullmatch(part)]
    if not _READABLE.fullmatch(picture) or len(markers) != len(set(markers)) or open_parts:
        raise ExpressionFailed(
            "$toMillis takes pictures with each part once, a sign such as - or / after each name and each part that "
            "may have more than four digits, and none of *+?^${}()|\\ between parts, nor numbers in words"
        )
    if "Y" not in markers:
        raise ExpressionFailed("$toMillis needs a picture with the year, [Y]: otherwise it would use the current year")


def walk(budget: Budget, value: Any) -> None:
    """Count the cost of visiting a whole value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            budget.spend_copy(len(each))
        elif isinstance(each, list | dict):
            budget.spend_nodes(len(each) + 1)
            waiting += each if isinstance(each, list) else each.values()


def spend_lists(budget: Budget, value: Any) -> None:
    """Count the cost of visiting a list, and the lists in it."""
    waiting = [value] if isinstance(value, list) else []
    while waiting:
        each = waiting.pop()
        budget.spend_nodes(len(each))
        waiting += [inner for inner in each if isinstance(inner, list)]


def joined(budget: Budget, values: Iterable[Any]) -> Any:
    """Return one list of values and of the items of lists, or the value if it is the only one: the library would copy
    the list for each value."""
    present = [value for value in values if value is not None]
    if len(present) < 2:
        return present[0] if present else None
    made = utils.Utils.JList()
    for value in present:
        if isinstance(value, list):
            budget.spend_nodes(len(value))
            made.extend(value)
        else:
            made.append(value)
    return made


def _distinct(values: list[Any]) -> Any:
    """Return each value once: the library would compare all with each other, and treat true as 1."""
    made = utils.Utils.create_sequence() if isinstance(values, utils.Utils.JList) else []
    seen: set[Any] = set()
    for value in values:
        key = key_of(value)
        if key not in seen:
            seen.add(key)
            made.append(value)
    return made if len(values) > 1 else values


def _spread(values: list[Any]) -> Any:
    """Return an object for each key of each: the library would copy its result at each object."""
    made = utils.Utils.create_sequence()
    for value in values:
        if isinstance(value, list):
            made.extend(_spread(value))
        elif isinstance(value, dict):
            made.extend({key: each} for key, each in value.items())
        elif value is not None:
            made.append(value)
    return made
