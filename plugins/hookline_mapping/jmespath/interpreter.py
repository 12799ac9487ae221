"""JMESPath's own interpreter, with its work counted, and with functions for Decimals."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from jmespath import exceptions, functions, parser, visitor  # type: ignore[import-untyped]

from hookline.api import ExpressionSyntax, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import calculate, exact_value, read, rounded
from hookline_mapping.expression_results import json_text
from hookline_mapping.jsonpath.comparison import BY_ORDER, is_number, same

_ORDER: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_MAX_SOURCE: Final = 10_000


def parse(source: str, *, exact: bool) -> Any:
    """Parse an expression to its tree. Raises ExpressionSyntax."""
    if len(source) > _MAX_SOURCE:
        raise ExpressionSyntax(f"it has more than {_MAX_SOURCE:,} characters")
    try:
        tree = parser.Parser().parse(source).parsed
    except exceptions.JMESPathError as error:
        raise ExpressionSyntax(f"this isn't valid JMESPath: {error}") from error
    except RecursionError as error:
        raise ExpressionSyntax("it is nested too deeply") from error
    _check(tree, exact)
    return tree


def _check(node: dict[str, Any], exact: bool) -> None:
    if node["type"] == "function_expression" and node["value"] not in functions.Functions.FUNCTION_TABLE:
        raise ExpressionSyntax(f"JMESPath has no function {node['value']!r}")
    if exact and node["type"] == "literal":
        node["value"] = exact_value(node["value"])
    for child in node["children"]:
        if isinstance(child, dict):
            _check(child, exact)


def is_path(node: dict[str, Any]) -> bool:
    """Return true for a path of nothing but keys and indexes."""
    return _keys(node) is not None


def _keys(node: dict[str, Any]) -> tuple[str | int, ...] | None:
    kind = node["type"]
    if kind in ("field", "index"):
        return (node["value"],)
    if kind == "current":
        return ()
    if kind in ("subexpression", "index_expression"):
        made: tuple[str | int, ...] = ()
        for child in node["children"]:
            keys = _keys(child)
            if keys is None:
                return None
            made += keys
        return made
    return None


def paths(node: dict[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Return the paths of the scope that it reads."""
    keys = _keys(node)
    if keys is not None:
        if keys and isinstance(keys[0], str):
            yield keys
        return
    children = [child for child in node["children"] if isinstance(child, dict)]
    if node["type"] in ("subexpression", "index_expression", "pipe") or node["type"].endswith("projection"):
        # The right side reads from the result of the left side.
        children = children[:1]
    elif node["type"] == "function_expression":
        children = [child for child in children if child["type"] != "expref"]
    for child in children:
        yield from paths(child)


def run(tree: dict[str, Any], scope: Scope, budget: Budget, *, exact: bool) -> Any:
    """Return the value. Raises ExpressionLimit and the library's exceptions."""
    return _Interpreter(budget, exact).visit(tree, scope if isinstance(scope, dict) else dict(scope))


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]  # the library has no types
    def __init__(self, budget: Budget, exact: bool) -> None:
        super().__init__(visitor.Options(custom_functions=_Functions(budget, exact)))
        self._budget = budget

    def visit(self, node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._budget.spend_nodes(1)
        return super().visit(node, *args, **kwargs)

    def visit_comparator(self, node: dict[str, Any], value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        name = node["value"]
        if name in ("eq", "ne"):
            return same(left, right, self._budget) is (name == "eq")
        if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return BY_ORDER[_ORDER[name]](left, right)
        return None

    def visit_flatten(self, node: dict[str, Any], value: Any) -> Any:
        made = super().visit_flatten(node, value)
        self._budget.spend_nodes(len(made or ()))
        return made

    def visit_slice(self, node: dict[str, Any], value: Any) -> Any:
        made = super().visit_slice(node, value)
        self._budget.spend_nodes(len(made or ()) // 16)
        return made


class _Functions(functions.Functions):  # type: ignore[misc]  # the library has no types
    def __init__(self, budget: Budget, exact: bool) -> None:
        super().__init__()
        self._budget = budget
        self._exact = exact

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        for value in resolved_args:
            if isinstance(value, str):
                self._budget.spend_copy(len(value))
            elif isinstance(value, list | dict):
                self._budget.spend_nodes(len(value))
        if function_name == "join" and len(resolved_args) == 2 and isinstance(resolved_args[1], list):
            glue, texts = resolved_args
            self._budget.spend_text(sum(len(text) for text in texts if isinstance(text, str)))
            self._budget.spend_text(len(glue) * len(texts) if isinstance(glue, str) else 0)
        return super().call_function(function_name, resolved_args)

    def _get_allowed_pytypes(self, current: Any) -> Any:
        allowed, subtypes = super()._get_allowed_pytypes(current)
        numbers = ["Decimal"] if "number" in current or "array-number" in current else []
        subtypes = [[*each, "Decimal"] if "float" in each else each for each in subtypes]
        return [*allowed, *numbers], subtypes

    def _convert_to_jmespath_type(self, pyobject: str) -> Any:
        return "number" if pyobject == "Decimal" else super()._convert_to_jmespath_type(pyobject)

    def _exactly(self, values: list[Any]) -> bool:
        return self._exact or any(isinstance(value, Decimal) for value in values)

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_sum(self, arg: list[Any]) -> Any:
        if not self._exactly(arg):
            return sum(arg)
        total: Any = 0
        for value in arg:
            total = calculate("+", total, value)
        return total

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_avg(self, arg: list[Any]) -> Any:
        if not arg:
            return None
        total = self._func_sum(arg)
        return calculate("/", total, len(arg)) if self._exactly(arg) else total / len(arg)

    @functions.signature({"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_abs(self, arg: Any) -> Any:
        return arg.copy_abs() if isinstance(arg, Decimal) else abs(arg)

    @functions.signature({"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_ceil(self, arg: Any) -> Any:
        return int(rounded(arg, 0, "ceil")) if isinstance(arg, Decimal) else math.ceil(arg)

    @functions.signature({"types": ["number"]})  # type: ignore[untyped-decorator]
    def _func_floor(self, arg: Any) -> Any:
        return int(rounded(arg, 0, "floor")) if isinstance(arg, Decimal) else math.floor(arg)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, arg: Any) -> Any:
        return arg if isinstance(arg, str) else json_text(arg, self._budget)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, arg: Any) -> Any:
        if isinstance(arg, Decimal):
            return arg
        if isinstance(arg, str) and self._exact:
            made = read(arg)
            return None if made is None else int(made) if made == made.to_integral_value() else made
        if isinstance(arg, str) and len(arg) > 1000:
            return None
        return super()._func_to_number(arg)

    @functions.signature({"types": ["array", "string"]}, {"types": []})  # type: ignore[untyped-decorator]
    def _func_contains(self, subject: Any, search: Any) -> Any:
        if isinstance(subject, str):
            return isinstance(search, str) and search in subject
        return any(same(each, search, self._budget) for each in subject)
