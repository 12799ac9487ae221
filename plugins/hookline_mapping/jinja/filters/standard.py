"""The filters and tests for expressions: pure, strict about missing values, and bounded.

Jinja's own filters are used if they fulfil this; those that yield items return a list here.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import pass_context

from hookline.api import ExpressionError, ExpressionFailed, ExpressionLimit, TemplateFilter
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import decimal_of, exact_value, read, rounded
from hookline_mapping.expression_results import json_text, key_of, text, to_json
from hookline_mapping.jinja import methods
from hookline_mapping.jinja.filters import regex as regex_filters
from hookline_mapping.jinja.format_strings import percent_format
from hookline_mapping.jinja.sandbox import BudgetedContext, Missing, reject_missing, spend_comparing, spend_size

_MAX_DIGITS: Final = 30
_TURNS_OF_A_PLUGINS: Final = 3
"""The number of loop turns that take as long as reading a time or rounding an amount."""
_MAX_PIECES: Final = 10_000
_MAX_INDENTED: Final = 100_000


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Missing) or (boolean and not value):
        return default_value
    return value


def _text_filter(name: str) -> Callable[..., Any]:
    run = methods.TEXT[name]

    def apply(context: BudgetedContext, value: Any, *args: Any) -> Any:
        return run(context.budget, _text(context, value), *args)

    return apply


def _text(context: BudgetedContext, value: Any) -> str:
    return value if type(value) is str else text(value, context.budget)


def _on_text(name: str, growth: int = 1) -> Callable[..., Any]:
    """Wrap a filter of Jinja for texts, whose result is at most `growth` times as long."""
    function = JINJA_FILTERS[name]

    def apply(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        value = _text(context, value)
        context.budget.spend_text(len(value) * growth)
        return str(function(value, *args, **kwargs))

    return apply


def _eager(name: str, passed: str) -> Callable[..., Any]:
    """Wrap a filter of Jinja for items; the result is a list."""
    function = JINJA_FILTERS[name]

    def apply(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        first = context if passed == "context" else context.environment
        return list(function(first, value, *args, **kwargs))

    return apply


def _direct(name: str) -> Callable[..., Any]:
    """Wrap a filter of Jinja that takes the environment, without changes."""
    function = JINJA_FILTERS[name]
    return lambda context, value, *args, **kwargs: function(context.environment, value, *args, **kwargs)


def _extreme(name: str) -> Callable[..., Any]:
    """Wrap Jinja's `min` or `max`, and count the comparisons."""
    function = JINJA_FILTERS[name]

    def apply(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        listed = _without_missing(value)
        spend_comparing(context.budget, listed)
        return function(context.environment, listed, *args, **kwargs)

    return apply


def _plain(name: str) -> Callable[..., Any]:
    """Wrap a filter of Jinja that takes neither environment nor context, without changes."""
    function = JINJA_FILTERS[name]
    return lambda context, value, *args, **kwargs: function(value, *args, **kwargs)


def _title(context: BudgetedContext, value: Any) -> str:
    value = _text(context, value)
    # Jinja processes it word by word.
    context.budget.spend_turns(len(value) // 2)
    made: str = JINJA_FILTERS["title"](value)
    return made


def _replace(context: BudgetedContext, value: Any, old: str, new: Any, count: int | None = None) -> str:
    shown = _text(context, new)
    return methods.replace(context.budget, _text(context, value), old, shown, -1 if count is None else count)


def _join(context: BudgetedContext, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        value = JINJA_FILTERS["map"](context, value, attribute=attribute)
    return methods.join(context.budget, d, _without_missing(value))


def _sum(context: BudgetedContext, value: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    if attribute is not None:
        value = JINJA_FILTERS["map"](context, value, attribute=attribute)
    total = start
    for each in _without_missing(value):
        total = context.environment.call_binop(context, "+", total, each)  # type: ignore[attr-defined]  # a Sandbox
    return total


def _without_missing(values: Iterable[Any]) -> list[Any]:
    listed = list(values)
    reject_missing(listed)
    return listed


def _count(context: BudgetedContext, value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else len(list(value))


def _list(context: BudgetedContext, value: Any) -> list[Any]:
    return list(value)


def _reverse(context: BudgetedContext, value: Any) -> Any:
    return value[::-1] if isinstance(value, str | list) else list(value)[::-1]


def _items(context: BudgetedContext, value: Any) -> list[Any]:
    if not isinstance(value, Mapping):
        raise ExpressionFailed("`items` takes an object")
    return list(value.items())


def _sort(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
    listed = _without_missing(value)
    spend_comparing(context.budget, listed)
    made: list[Any] = JINJA_FILTERS["sort"](context.environment, listed, *args, **kwargs)
    return made


def _unique(
    context: BudgetedContext, value: Any, case_sensitive: bool = False, attribute: str | int | None = None
) -> list[Any]:
    listed = _without_missing(value)
    keys = listed if attribute is None else JINJA_FILTERS["map"](context, listed, attribute=attribute)
    seen: set[Any] = set()
    made = []
    for each, key in zip(listed, _without_missing(keys), strict=True):
        if isinstance(key, list | dict):
            raise ExpressionFailed("`unique` compares texts and numbers; name an attribute in which the items differ")
        if isinstance(key, str):
            key = key if case_sensitive else key.lower()
        else:
            key = key_of(int(key) if isinstance(key, bool) else key)
        if key not in seen:
            seen.add(key)
            made.append(each)
    return made


def _groupby(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
    listed = _without_missing(value)
    # It sorts first, and there can be as many groups as items.
    context.budget.spend_turns(len(listed))
    return list(JINJA_FILTERS["groupby"](context.environment, listed, *args, **kwargs))


def _in_pieces(name: str) -> Callable[..., Any]:
    """Wrap Jinja's `batch` or `slice`, and limit the number of pieces, and of items that fill the last one."""
    function = JINJA_FILTERS[name]

    def apply(context: BudgetedContext, value: Any, pieces: int, fill_with: Any = None) -> list[Any]:
        if not 0 < pieces <= _MAX_PIECES:
            raise ExpressionLimit(f"`{name}` takes a number from 1 to {_MAX_PIECES:,}")
        context.budget.spend_turns(pieces)
        # Jinja's `slice` takes a context, because it also has an asynchronous form.
        first = (context.eval_ctx,) if name == "slice" else ()
        return list(function(*first, value, pieces, fill_with))

    return apply


def _int(context: BudgetedContext, value: Any, default: int = 0, base: int = 10) -> int:
    if isinstance(value, str) and len(value) > _MAX_DIGITS * 100:
        raise ExpressionLimit(f"`int` reads at most {_MAX_DIGITS * 100:,} digits")
    if isinstance(value, str) and base == 10 and _is_exact(context) and (number := read(value)) is not None:
        return int(number)
    made: int = JINJA_FILTERS["int"](value, default, base)
    return made


def _float(context: BudgetedContext, value: Any, default: Any = 0.0) -> Any:
    if not _is_exact(context):
        return JINJA_FILTERS["float"](value, default)
    if isinstance(value, bool | int | float | Decimal):
        return decimal_of(value)
    number = read(value) if isinstance(value, str) else None
    return number if number is not None else decimal_of(default) if isinstance(default, float) else default


def _abs(context: BudgetedContext, value: Any) -> Any:
    # Python's own function would round.
    return value.copy_abs() if isinstance(value, Decimal) else JINJA_FILTERS["abs"](value)


def _is_exact(context: BudgetedContext) -> bool:
    environment: Any = context.environment
    return bool(environment.exact)


def _round(context: BudgetedContext, value: Any, precision: int = 0, method: str = "common") -> Any:
    if not -_MAX_DIGITS <= precision <= _MAX_DIGITS:
        raise ExpressionLimit(f"`round` takes at most {_MAX_DIGITS} digits")
    if not isinstance(value, int | float | Decimal):
        # A text or a list, multiplied by a power of ten, would take all memory.
        raise ExpressionFailed("`round` takes a number; use `float` before it to read one from text")
    if isinstance(value, Decimal) or (method != "common" and isinstance(value, int) and _is_exact(context)):
        return rounded(decimal_of(value), precision, method)
    return JINJA_FILTERS["round"](value, precision, method)


def _format(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> str:
    return percent_format(context.budget, _text(context, value), kwargs or args)


def _tojson(context: BudgetedContext, value: Any, indent: int | None = None) -> str:
    made = json_text(value, context.budget)
    if indent:
        if not 0 < indent <= 4 or len(made) > _MAX_INDENTED:
            raise ExpressionLimit(f"`tojson` indents by at most 4, and at most {_MAX_INDENTED:,} characters")
        made = msgspec.json.format(made, indent=indent)
    context.budget.spend_copy(len(made))
    return made


def _urlencode(context: BudgetedContext, value: Any) -> str:
    size = len(value) if isinstance(value, str) else len(json_text(value, context.budget))
    context.budget.spend_text(size * 9)
    made: str = JINJA_FILTERS["urlencode"](value if isinstance(value, str) else to_json(value, context.budget))
    return made


def _strict(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Wrap a filter so that it rejects missing values, and counts the cost of visiting its value."""
    place = _ATTRIBUTE_AT.get(name)

    @pass_context
    def apply(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, Missing):
            raise value.error()
        reject_missing(args)
        reject_missing(kwargs.values())
        if place is None:
            spend_size(context.budget, value)
        else:
            path = kwargs.get("attribute", args[place] if len(args) > place else None)
            _spend_items(context.budget, value, path)
        return function(context, value, *args, **kwargs)

    return apply


def _spend_items(budget: Budget, value: Any, path: Any) -> None:
    """Count the cost of visiting the items of a value, and a path in each.

    A text's items are its letters. Each counts twice, because visiting them is rarely intended.
    """
    parts = path.count(".") + path.count(",") if isinstance(path, str) else 0
    if parts >= _MAX_PARTS:
        raise ExpressionLimit(f"an attribute must be a path of at most {_MAX_PARTS} keys")
    if isinstance(value, str):
        budget.spend_turns(2 * len(value))
    else:
        for _ in range(parts // 2 + 1):
            spend_size(budget, value)


_NEVER: Final = 9
#: The filters that visit items, and the position of the argument that is a path in each.
_ATTRIBUTE_AT: Final[Mapping[str, int]] = {
    **dict.fromkeys(("map", "select", "reject", "batch", "slice", "dictsort", "list"), _NEVER),
    **dict.fromkeys(("sum", "groupby", "selectattr", "rejectattr"), 0),
    **dict.fromkeys(("join", "unique", "min", "max"), 1),
    "sort": 2,
}
_MAX_PARTS: Final = 32


_STRICT: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _text_filter(name) for name in ("upper", "lower")},
    "capitalize": _on_text("capitalize"),
    "title": _title,
    "trim": _text_filter("strip"),
    "escape": _on_text("escape", 6),
    "e": _on_text("escape", 6),
    "urlencode": _urlencode,
    "truncate": lambda context, value, *args, **kwargs: JINJA_FILTERS["truncate"](
        context.environment, _text(context, value), *args, **kwargs
    ),
    "replace": _replace,
    "string": lambda context, value: _text(context, value),
    "format": _format,
    "tojson": _tojson,
    "abs": _abs,
    "int": _int,
    "float": _float,
    "round": _round,
    "filesizeformat": _plain("filesizeformat"),
    "sum": _sum,
    "min": _extreme("min"),
    "max": _extreme("max"),
    "first": _direct("first"),
    "last": _direct("last"),
    "length": _count,
    "count": _count,
    "list": _list,
    "reverse": _reverse,
    "items": _items,
    "dictsort": _plain("dictsort"),
    "join": _join,
    "sort": _sort,
    "unique": _unique,
    "groupby": _groupby,
    **{name: _eager(name, "context") for name in ("map", "select", "reject", "selectattr", "rejectattr")},
    "batch": _in_pieces("batch"),
    "slice": _in_pieces("slice"),
    **regex_filters.FILTERS,
}


def given(name: str, function: TemplateFilter) -> Callable[..., Any]:
    """Wrap a plugin's filter: count its texts, and convert its result to JSON."""

    def apply(context: BudgetedContext, value: Any, *args: Any, **kwargs: Any) -> Any:
        context.budget.spend_turns(_TURNS_OF_A_PLUGINS)
        if isinstance(value, str):
            context.budget.spend_copy(len(value))
        try:
            made = function(value, *args, **kwargs)
        except ExpressionError:
            raise
        except Exception as error:
            raise ExpressionFailed(f"`{name}`: {str(error)[:200]}") from error
        if isinstance(made, str):
            context.budget.spend_copy(len(made))
        made = to_json(made, context.budget)
        return exact_value(made) if _is_exact(context) else made

    return _strict(apply)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _strict(function, name) for name, function in _STRICT.items()},
    "default": _default,
    "d": _default,
}

LEFT_OUT: Final[Mapping[str, str]] = {
    "random": "expressions must have the same value each time",
    "center": "padding isn't available; write '%20s' | format(x)",
    "indent": "padding isn't available",
    "wordwrap": "it isn't bounded; wrap the text where it is shown",
    "attr": "values have keys, not attributes; write x[key]",
    "safe": "texts aren't marked as HTML here; nothing is escaped automatically",
    "forceescape": "write escape",
    "striptags": "it isn't bounded",
    "urlize": "it isn't bounded",
    "xmlattr": "write the attributes, with `escape`",
    "pprint": "write tojson",
    "wordcount": "write x.split() | length",
}
"""Filters of Jinja that aren't available, with the reason or the replacement."""


def _test(function: Any) -> Callable[..., Any]:
    """Wrap a test so that it rejects missing values: `x is none` can't be answered for these."""

    @pass_context
    def apply(context: BudgetedContext, value: Any, *args: Any) -> bool:
        reject_missing((value, *args))
        if args:
            spend_comparing(context.budget, value)
        return bool(function(value, *args))

    return apply


@pass_context
def _is_float(context: BudgetedContext, value: Any) -> bool:
    reject_missing((value,))
    return isinstance(value, float | Decimal)


@pass_context
def _is_in(context: BudgetedContext, value: Any, container: Any) -> bool:
    reject_missing((value, container))
    spend_comparing(context.budget, container)
    return value in container


_TEST_NAMES: Final = (
    *("odd", "even", "divisibleby", "none", "boolean", "false", "true", "integer", "lower", "upper"),
    *("string", "mapping", "number", "sequence", "iterable"),
    *("==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt", "lessthan", "<=", "le"),
)
TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _test(JINJA_TESTS[name]) for name in _TEST_NAMES},
    "defined": lambda value: not isinstance(value, Missing),
    "undefined": lambda value: isinstance(value, Missing),
    "float": _is_float,
    "in": _is_in,
}
