"""Expressions in a flow's settings: the language of a string, and compiled templates of nested settings.

A string that is `$`, or starts with `$.` or `$[`, is JSONPath. A string that contains `{{` or `{%` is Jinja. Any other
string is plain text. `{"literal": x}` is the value x, unchanged. `{"jsonpath": "…"}` and `{"jinja": "…"}` name the
language; a `"default"` beside it replaces a missing value. The names of other mappers have this meaning only in flows
that list them in `mappers`.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from hookline.flows.elements.expression_fixes import condition_fix, syntax_fix
from hookline.kernel.errors import (
    ExpressionError,
    ExpressionFailed,
    ExpressionLimit,
    ExpressionSyntax,
    MissingValue,
    Problem,
)
from hookline.kernel.json import JsonValue, to_decimal
from hookline.kernel.pointers_and_patches import escape
from hookline.kernel.suggestions_and_counts import nearest_name, question
from hookline.sdk.mappers import Expression, Mapper, Reference, Scope

RESERVED: Final = ("literal", "jsonpath", "jinja")
"""The keys that mark an object as an expression in every flow."""

_Evaluate: TypeAlias = Callable[[Scope], Any]


def language(text: str) -> str | None:
    """The name of the mapper for a bare string; None if the string is plain text."""
    if text == "$" or text.startswith(("$.", "$[")):
        return "jsonpath"
    if "{{" in text or "{%" in text:
        return "jinja"
    return None


class Template:
    """A compiled JSON value in which strings may be expressions.

    Evaluating it has no effects. Callers must not change the value that it gives: parts of it are shared.
    """

    __slots__ = (
        "_parts",
        "_value",
        "constant",
        "either",
        "evaluate",
        "fields",
        "gives",
        "items",
        "pointer",
        "references",
    )

    evaluate: Callable[[Scope], Any]
    """Return the value. Raises ExpressionError, which names the place within the value if there are several."""
    references: tuple[Reference, ...]
    constant: bool
    """It contains no expression: `evaluate` always gives `value`."""
    pointer: str
    """Its JSON pointer in the document."""
    fields: Mapping[str, "Template"] | None
    """The template of each key of an object, in order; None for other values."""
    items: tuple["Template", ...] | None
    """The template of each item of a list; None for other values."""
    either: tuple["Template", ...] | None
    """The templates of an expression and of its default; None for other values."""
    gives: type | None
    """The type of its values, if that is known before it runs."""

    def __init__(
        self,
        evaluate: _Evaluate,
        *,
        pointer: str,
        parts: tuple[tuple[str, Expression], ...] = (),
        value: JsonValue = None,
        constant: bool = False,
        fields: Mapping[str, "Template"] | None = None,
        items: tuple["Template", ...] | None = None,
        either: tuple["Template", ...] | None = None,
        gives: type | None = None,
        references: tuple[Reference, ...] | None = None,
    ) -> None:
        # A slot, not a method: a parent calls its children's functions with nothing in between.
        self.evaluate = evaluate
        # Most flows have values at the same places.
        self.pointer = sys.intern(pointer)
        self.constant = constant
        self.fields = fields
        self.items = items
        self.either = either
        self.gives = gives
        self._parts = parts
        self._value = value
        if references is None:
            references = _united(part.references for _, part in parts)
        self.references = references

    @property
    def value(self) -> JsonValue:
        """The value of a constant template. Raises ValueError if it isn't constant."""
        if not self.constant:
            raise ValueError(f"the value at {self.pointer or 'the root'} isn't known before it is evaluated")
        return self._value

    def parts(self) -> Iterator[tuple[str, Expression]]:
        """Yield each expression in it, with its pointer in the document."""
        return iter(self._parts)


class Condition:
    """An expression that must give true or false."""

    __slots__ = ("template",)

    template: Template

    def __init__(self, template: Template) -> None:
        self.template = template

    @property
    def references(self) -> tuple[Reference, ...]:
        """The paths that it reads."""
        return self.template.references

    @property
    def constant(self) -> bool:
        """It contains no expression."""
        return self.template.constant

    def parts(self) -> Iterator[tuple[str, Expression]]:
        """Yield each expression in it, with its pointer in the document."""
        return self.template.parts()

    def evaluate(self, scope: Scope) -> bool:
        """Return the value. Raises ExpressionError; ExpressionFailed if the value is not true or false."""
        value = self.template.evaluate(scope)
        if value is True or value is False:
            return value
        source = next((part.source for _, part in self.template.parts()), "the condition")
        raise ExpressionFailed(f"{source}: {_not_a_truth(value)}")


class Expressions:
    """Compiles expressions with the installed mappers.

    `enabled`: the mappers, besides JSONPath and Jinja, that the flow lists in `"mappers"`. `exact`: fractions in the
    flow's messages and settings are Decimals.
    """

    def __init__(self, mappers: Mapping[str, Mapper], enabled: Collection[str] = (), *, exact: bool = False) -> None:
        self._mappers = mappers
        self.exact = exact
        self._names = frozenset({*RESERVED[1:], *enabled})

    def template(self, value: JsonValue, pointer: str = "") -> tuple[Template, list[Problem]]:
        """Compile a value. The problems of its expressions are returned beside it.

        If there are any, evaluating the template raises ExpressionSyntax.
        """
        problems: list[Problem] = []
        if self.exact:
            value = to_decimal(value)
        return self._compile(value, pointer, len(pointer), problems), problems

    def condition(self, value: JsonValue, pointer: str = "") -> tuple[Condition, list[Problem]]:
        """Compile a condition. A constant or a text that can't be true or false is a problem, too."""
        template, problems = self.template(value, pointer)
        if not problems:
            message = None
            if template.constant and not isinstance(template.value, bool):
                message = _not_a_truth(template.value)
            elif template.gives not in (None, bool):
                kind = _KINDS.get(template.gives, "something else")
                message = f"this gives {kind}, but a condition must give true or false"
            if message is not None:
                fix = condition_fix(value, pointer, self._references)
                problems.append(replace(_not_a_condition(message, pointer), fix=fix))
        return Condition(template), problems

    def _references(self, source: str) -> tuple[Reference, ...] | None:
        """The paths that a Jinja expression reads; None if it can't be compiled."""
        template, problems = self.template(source)
        return None if problems else template.references

    def written(self, value: JsonValue, pointer: str = "") -> Iterator[tuple[str, str, JsonValue]]:
        """Yield each expression in a value: its pointer, its language, and the part of the value that it is."""
        if isinstance(value, str):
            if (name := language(value)) is not None:
                yield pointer, name, value
        elif isinstance(value, dict):
            named = self._named(value)
            if named is None:
                for key, item in value.items():
                    yield from self.written(item, f"{pointer}/{escape(key)}")
            elif named != "literal":
                yield pointer, named, value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.written(item, f"{pointer}/{index}")

    def _compile(self, value: JsonValue, pointer: str, base: int, problems: list[Problem]) -> Template:
        if isinstance(value, str):
            name = language(value)
            return _constant(value, pointer) if name is None else self._expression(name, value, pointer, base, problems)
        if isinstance(value, dict):
            named = self._named(value)
            if named == "literal":
                return _constant(value["literal"], pointer)
            if named is not None:
                return self._explicit(named, value, pointer, base, problems)
            fields = {
                key: self._compile(item, f"{pointer}/{escape(key)}", base, problems) for key, item in value.items()
            }
            return _object(fields, pointer)
        if isinstance(value, list):
            items = [self._compile(item, f"{pointer}/{index}", base, problems) for index, item in enumerate(value)]
            return _list(items, pointer)
        return _constant(value, pointer)

    def _named(self, value: Mapping[str, JsonValue]) -> str | None:
        """The mapper, or `literal`, that an object names by its keys."""
        if len(value) == 1:
            (name,) = value
            return name if name == "literal" or name in self._names else None
        if len(value) == 2 and "default" in value:
            name = next(key for key in value if key != "default")
            return name if name in self._names else None
        return None

    def _explicit(
        self, name: str, value: Mapping[str, JsonValue], pointer: str, base: int, problems: list[Problem]
    ) -> Template:
        source = value[name]
        if not isinstance(source, str):
            problem = Problem(
                f"the expression of {name!r} must be a string",
                f"{pointer}/{escape(name)}",
                "expression.syntax",
                f'write {{"{name}": "…"}}, or {{"literal": {{"{name}": …}}}} if you mean an object with this key',
            )
            problems.append(problem)
            return _broken(problem, pointer)
        template = self._expression(name, source, f"{pointer}/{escape(name)}", base, problems)
        if "default" not in value:
            return template
        fallback = self._compile(value["default"], f"{pointer}/default", base, problems)
        return _with_default(template, fallback, pointer)

    def _expression(self, name: str, source: str, pointer: str, base: int, problems: list[Problem]) -> Template:
        mapper = self._mappers.get(name)
        if mapper is None:
            near = nearest_name(name, self._mappers)
            install = f"install the plugin that has the mapper {name!r}"
            problem = Problem(
                f"no mapper named {name!r} is installed",
                pointer,
                "expression.mapper",
                f"{question(near)} Otherwise {install}" if near else install,
                unknown=name,
                similar=near,
            )
        elif mapper.unavailable is not None:
            problem = Problem(f"the mapper {name!r} is not available", pointer, "unavailable", mapper.unavailable)
        else:
            try:
                expression = mapper.compile_exact(source) if self.exact else mapper.compile(source)
            except ExpressionError as error:
                fix = syntax_fix(name, source, pointer, self._mappers)
                problem = Problem(f"{source}: {error.message}", pointer, error.code, _remedy(name), fix=fix)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's defect is a problem of this expression
                problem = Problem(f"{source}: the mapper {name!r} failed: {error!r}", pointer, "expression.syntax")
            else:
                return Template(
                    _placed(expression, pointer[base:]),
                    pointer=pointer,
                    parts=((pointer, expression),),
                    gives=expression.gives,
                )
        problems.append(problem)
        return _broken(problem, pointer)


_KINDS: Final[Mapping[Any, str]] = MappingProxyType(
    {
        str: "text",
        list: "a list",
        dict: "an object",
        type(None): "null",
        **dict.fromkeys((int, float, Decimal), "a number"),
    }
)


def _not_a_truth(value: Any) -> str:
    if isinstance(value, str):
        shown = repr(value if len(value) <= 40 else value[:40] + "…")
        lower = value.strip().lower()
        hint = f"; write {lower} without quotes" if lower in ("true", "false") else ""
        return f"it gave the text {shown}, but a condition must give true or false{hint}"
    return f"it gave {_KINDS.get(type(value), 'something else')}, but a condition must give true or false"


def _not_a_condition(message: str, pointer: str) -> Problem:
    return Problem(
        message,
        pointer,
        "expression.condition",
        "write true or false, or an expression that compares, such as {{ body.total > 100 }}",
    )


def _remedy(name: str) -> str:
    return f'correct the {name} expression, or write {{"literal": "…"}} if you mean plain text'


def _united(groups: Iterable[tuple[Reference, ...]]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(reference for group in groups for reference in group))


def _constant(value: JsonValue, pointer: str, fields: Mapping[str, Template] | None = None) -> Template:
    return Template(lambda scope: value, pointer=pointer, value=value, constant=True, fields=fields, gives=type(value))


def _broken(problem: Problem, pointer: str) -> Template:
    def evaluate(scope: Scope) -> Any:
        raise ExpressionSyntax(str(problem))

    return Template(evaluate, pointer=pointer)


def _object(fields: dict[str, Template], pointer: str) -> Template:
    view = MappingProxyType(fields)
    # Constants are filled in once. Other fields get a placeholder, so that the keys keep their order.
    base = {key: field.value if field.constant else None for key, field in fields.items()}
    dynamic = tuple((key, field.evaluate) for key, field in fields.items() if not field.constant)
    if not dynamic:
        return _constant(base, pointer, view)

    def evaluate(scope: Scope) -> Any:
        result = base.copy()
        for key, evaluate_field in dynamic:
            result[key] = evaluate_field(scope)
        return result

    return Template(evaluate, pointer=pointer, fields=view, gives=dict, **_together(fields.values()))


def _list(items: list[Template], pointer: str) -> Template:
    base = [item.value if item.constant else None for item in items]
    dynamic = tuple((index, item.evaluate) for index, item in enumerate(items) if not item.constant)
    if not dynamic:
        return _constant(base, pointer)

    def evaluate(scope: Scope) -> Any:
        result = base.copy()
        for index, evaluate_item in dynamic:
            result[index] = evaluate_item(scope)
        return result

    return Template(evaluate, pointer=pointer, items=tuple(items), gives=list, **_together(items))


def _together(children: Collection[Template]) -> dict[str, Any]:
    return {
        "parts": tuple(part for child in children for part in child.parts()),
        "references": _united(child.references for child in children),
    }


def _with_default(template: Template, fallback: Template, pointer: str) -> Template:
    evaluate_first, evaluate_fallback = template.evaluate, fallback.evaluate

    def evaluate(scope: Scope) -> Any:
        try:
            return evaluate_first(scope)
        except MissingValue:
            return evaluate_fallback(scope)

    optional = tuple(Reference(reference.path, optional=True) for reference in template.references)
    return Template(
        evaluate,
        pointer=pointer,
        parts=(*template.parts(), *fallback.parts()),
        either=(template, fallback),
        gives=template.gives if template.gives is fallback.gives else None,
        references=_united([optional, fallback.references]),
    )


def _placed(expression: Expression, where: str) -> _Evaluate:
    """Evaluates one expression; its errors name its place within the settings and its source."""
    evaluate_expression = expression.evaluate
    start = f"{where}: " if where else ""

    def evaluate(scope: Scope) -> Any:
        try:
            return evaluate_expression(scope)
        except ExpressionError as error:
            kind = next((each for each in _RAISED if isinstance(error, each)), ExpressionFailed)
            source = "" if error.message.startswith(expression.source) else f"{expression.source}: "
            raise kind(f"{start}{source}{error.message}") from error
        except (Exception, SystemExit) as error:
            # A mapper is a plugin: whatever it raises is this expression's failure, not the engine's.
            raise ExpressionFailed(f"{start}{expression.source}: {error!r}") from error

    return evaluate


_RAISED: Final = (MissingValue, ExpressionLimit, ExpressionSyntax, ExpressionFailed)
