"""JSONata's interpreter with its work counted: its steps, and the lists and texts that they visit."""

import copy
import math
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from hookline.api import ExpressionFailed, ExpressionLimit, ExpressionSyntax, MissingValue, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import calculate
from hookline_mapping.jsonata.functions import (
    LOOKS_ONLY,
    TURNS_OF_A_PICTURE,
    BoundedFunction,
    BoundedRegex,
    checked_picture,
    joined,
    spend_lists,
    walk,
)
from hookline_mapping.jsonata.library_import import datetimeutils, jexception, jsonata, utils
from hookline_mapping.jsonpath.comparison import is_number

REJECTED: Final = {
    "random": "expressions must have the same value each time",
    "shuffle": "expressions must have the same value each time",
    "eval": "it would evaluate a text that may come from a message",
}
_MAX_SOURCE: Final = 20_000
_MAX_DEPTH: Final = 120
"""The most steps inside steps. With more, Python's own limit would be reached at different places."""
_MAX_BITS: Final = 14_000
_TURNS_OF_A_STEP: Final = 2
"""A step of this interpreter takes as long as two turns of Jinja."""
_NULL: Final = utils.Utils.NULL_VALUE


class _Transformer(jsonata.Jsonata.Transformer):  # type: ignore[misc]  # the library has no types
    def call(self, input: Any, args: Any) -> Any:
        walk(jsonata.Jsonata.CURRENT.jsonata.budget, args[0])
        return super().call(input, args)


class Compiled(jsonata.Jsonata):  # type: ignore[misc]  # the library has no types
    """A compiled expression. Each run uses a copy."""

    budget: Budget

    def __init__(self, source: str, exact: bool) -> None:
        super().__init__(source, BoundedRegex)
        self.exact = exact
        self.set_validate_input(False)
        self.set_output_convert_nulls(False)
        for name, native in jsonata.Jsonata.static_frame.bindings.items():
            self.environment.bind(name, BoundedFunction(native))
        self.asked = frozenset(_asked(self.ast))
        self.joined = frozenset(
            id(step)
            for node in _nodes(self.ast)
            if node.type == "path" and any(step.tuple is not None for step in node.steps)
            for step in node.steps
        )
        found = list(_paths(self.ast, rooted=True))
        self.paths: tuple[tuple[str, ...], ...] = tuple(dict.fromkeys(found))
        steps = getattr(self.ast, "steps", None) or ()
        self.lone = self.ast.type == "path" and all(step.type == "name" for step in steps)

    def run(self, scope: Scope, budget: Budget) -> tuple[bool, Any]:
        """Return true and the result, or false without one. Raises ExpressionLimit and the library's errors."""
        started = copy.copy(self)
        started.budget = budget
        depth = 0

        def entered(expression: Any, input: Any, environment: Any) -> None:
            nonlocal depth
            depth += 1
            budget.spend_turns(_TURNS_OF_A_STEP)
            if depth > _MAX_DEPTH:
                raise ExpressionLimit(f"it is nested, or calls itself, deeper than {_MAX_DEPTH} steps")

        def left(expression: Any, input: Any, environment: Any, result: Any) -> None:
            nonlocal depth
            depth -= 1
            if type(result) is str:
                budget.spend_copy(len(result))
            elif isinstance(result, list):
                budget.spend_turns(len(result) // 64)
                if id(expression) in self.asked:
                    spend_lists(budget, result)
                elif id(expression) in self.joined:
                    budget.spend_turns(len(result))

        # The library evaluates on the instance that its thread has used last.
        jsonata.Jsonata.CURRENT.jsonata = started
        bindings = {"__evaluate_entry": entered, "__evaluate_exit": left, **_clock(scope, budget)}
        try:
            made = started.evaluate(scope if isinstance(scope, dict) else dict(scope), bindings)
        finally:
            del jsonata.Jsonata.CURRENT.jsonata
        if made is None:
            return False, None
        return True, _plain(made, budget)

    def evaluate_numeric_expression(self, lhs: Any, rhs: Any, op: str) -> Any:
        if lhs is not None and not is_number(lhs):
            raise jexception.JException("T2001", -1, op, lhs)
        if rhs is not None and not is_number(rhs):
            raise jexception.JException("T2002", -1, op, rhs)
        if lhs is None or rhs is None:
            return None
        if op == "%":
            return _remainder(lhs, rhs)
        for value in (lhs, rhs):
            if isinstance(value, int) and value.bit_length() > _MAX_BITS:
                raise ExpressionFailed(f"`{op}` takes numbers of at most {_MAX_BITS} bits")
        whole = isinstance(lhs, int) and isinstance(rhs, int)
        if isinstance(lhs, Decimal) or isinstance(rhs, Decimal) or (self.exact and not (whole and op != "/")):
            made = calculate(op, lhs, rhs)
            return int(made) if whole and made == made.to_integral_value() else made
        if op == "/":
            return utils.Utils.convert_number(lhs / rhs)
        made = lhs + rhs if op == "+" else lhs - rhs if op == "-" else lhs * rhs
        return made if whole else utils.Utils.convert_number(made)

    def evaluate_unary(self, expr: Any, input: Any, environment: Any) -> Any:
        if str(expr.value) == "-":
            value = self.eval(expr.expression, input, environment)
            if value is None:
                return None
            if not is_number(value):
                raise jexception.JException("D1002", expr.position, expr.value, value)
            return value.copy_negate() if isinstance(value, Decimal) else -value
        return super().evaluate_unary(expr, input, environment)

    def evaluate_equality_expression(self, lhs: Any, rhs: Any, op: str) -> Any:
        if lhs is not None and rhs is not None and is_number(lhs) and is_number(rhs):
            return (lhs == rhs) is (op == "=")
        walk(self.budget, lhs)
        return super().evaluate_equality_expression(lhs, rhs, op)

    def evaluate_comparison_expression(self, lhs: Any, rhs: Any, op: str) -> Any:
        if isinstance(lhs, Decimal) or isinstance(rhs, Decimal):
            if not (lhs is not None and rhs is not None and is_number(lhs) and is_number(rhs)):
                return None if lhs is None or rhs is None else super().evaluate_comparison_expression(lhs, rhs, op)
            return {"<": lhs < rhs, "<=": lhs <= rhs, ">": lhs > rhs, ">=": lhs >= rhs}[op]
        return super().evaluate_comparison_expression(lhs, rhs, op)

    def evaluate_includes_expression(self, lhs: Any, rhs: Any) -> Any:
        walk(self.budget, rhs)
        return super().evaluate_includes_expression(lhs, rhs)

    def evaluate_string_concat(self, lhs: Any, rhs: Any) -> str:
        walk(self.budget, lhs)
        walk(self.budget, rhs)
        made: str = super().evaluate_string_concat(
            str(lhs) if isinstance(lhs, Decimal) else lhs, str(rhs) if isinstance(rhs, Decimal) else rhs
        )
        return made

    def evaluate_range_expression(self, lhs: Any, rhs: Any) -> Any:
        if type(lhs) is int and type(rhs) is int and rhs >= lhs:
            self.budget.spend_turns(rhs - lhs + 1)
            return list(range(lhs, rhs + 1))
        return super().evaluate_range_expression(lhs, rhs)

    def evaluate_name(self, expr: Any, input: Any, environment: Any) -> Any:
        spend_lists(self.budget, input)
        return super().evaluate_name(expr, input, environment)

    def evaluate_sort_expression(self, expr: Any, input: Any, environment: Any) -> Any:
        self.budget.spend_turns(len(input) if isinstance(input, list) else 1)
        return super().evaluate_sort_expression(expr, input, environment)

    def evaluate_tuple_step(self, expr: Any, input: Any, tuple_bindings: Any, environment: Any) -> Any:
        self.budget.spend_turns(len(input if tuple_bindings is None else tuple_bindings))
        return super().evaluate_tuple_step(expr, input, tuple_bindings, environment)

    def validate_arguments(self, signature: Any, args: Any, context: Any) -> Any:
        if getattr(signature, "function_name", "") not in LOOKS_ONLY:
            for value in args:
                if isinstance(value, list):
                    self.budget.spend_nodes(len(value))
        return super().validate_arguments(signature, args, context)

    def evaluate_group_expression(self, expr: Any, input: Any, environment: Any) -> Any:
        streams = isinstance(input, utils.Utils.JList) and input.tuple_stream
        items = input if isinstance(input, list) else [input]
        groups: dict[str, tuple[int, list[Any]]] = {}
        # Of an empty list, an object is made as well: an object in braces is a group, too.
        for item in items or ([] if streams else [None]):
            context, frame = item, environment
            if streams:
                context, frame = item["@"], self.create_frame_from_tuple(environment, item)
            for place, (key_of, _) in enumerate(expr.lhs_object):
                key = self.eval(key_of, context, frame)
                if key is None:
                    continue
                if not isinstance(key, str):
                    raise jexception.JException("T1003", expr.position, key)
                made_by, members = groups.setdefault(key, (place, []))
                if made_by != place:
                    raise jexception.JException("D1009", expr.position, key)
                members.append(item)
        made = {}
        for key, (place, members) in groups.items():
            context, frame = None, environment
            if streams:
                bound = self._combined(members)
                context = bound.pop("@", None)
                frame = self.create_frame_from_tuple(environment, bound)
            else:
                context = joined(self.budget, members)
            value = self.eval(expr.lhs_object[place][1], context, frame)
            if value is not None:
                made[key] = value
        return made

    def _combined(self, bindings: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the values of each name in the bindings of several items."""
        values: dict[str, list[Any]] = {}
        for binding in bindings:
            for name, value in binding.items():
                values.setdefault(name, []).append(value)
        return {name: joined(self.budget, each) for name, each in values.items()}

    def evaluate_wildcard(self, expr: Any, input: Any) -> Any:
        if isinstance(input, utils.Utils.JList) and input.outer_wrapper and input:
            input = input[0]
        values = input.values() if isinstance(input, dict) else input if isinstance(input, list) else ()
        self.budget.spend_nodes(len(values))
        # The library copies its result at each list.
        found = utils.Utils.create_sequence()
        for value in values:
            if isinstance(value, list):
                self.flatten(value, found)
                found.sequence = False
            else:
                found.append(value)
        return found

    def evaluate_transform_expression(self, expr: Any, input: Any, environment: Any) -> Any:
        return jsonata.Jsonata.JFunction(_Transformer(self, expr, environment), "<(oa):o>")

    def recurse_descendants(self, input: Any, results: Any) -> None:
        self.budget.spend_nodes(1)
        super().recurse_descendants(input, results)

    def flatten(self, arg: Any, flattened: Any) -> Any:
        self.budget.spend_nodes(1)
        return super().flatten(arg, flattened)


def compile_source(source: str, *, exact: bool) -> Compiled:
    """Compile an expression. Raises ExpressionSyntax."""
    if len(source) > _MAX_SOURCE:
        raise ExpressionSyntax(f"it has more than {_MAX_SOURCE:,} characters")
    try:
        made = Compiled(source, exact)
        for node in _nodes(made.ast):
            if getattr(node, "type", None) == "variable":
                _check_name(str(node.value))
    except jexception.JException as error:
        raise ExpressionSyntax(f"this isn't valid JSONata: {error}") from error
    except RecursionError as error:
        raise ExpressionSyntax("it is nested too deeply") from error
    finally:
        if hasattr(jsonata.Jsonata.CURRENT, "jsonata"):
            del jsonata.Jsonata.CURRENT.jsonata
    return made


def _check_name(name: str) -> None:
    if name in REJECTED:
        raise ExpressionSyntax(f"${name} can't be used: {REJECTED[name]}")
    if name.startswith("__"):
        raise ExpressionSyntax(f"${name}: names of variables can't begin with two underscores")


def _remainder(lhs: Any, rhs: Any) -> Any:
    """Return the remainder with the sign of the first operand, as in JSONata."""
    if rhs == 0:
        raise ExpressionFailed("`%`: division by zero")
    if isinstance(lhs, float) or isinstance(rhs, float):
        return utils.Utils.convert_number(math.fmod(lhs, rhs))
    made = calculate("%", abs(lhs), abs(rhs)) if isinstance(lhs, Decimal) else abs(lhs) % abs(rhs)
    return -made if lhs < 0 else made


def _clock(scope: Scope, budget: Budget) -> dict[str, Any]:
    """Return `$now` and `$millis`, which only use the time of the execution."""

    def time() -> str:
        now = scope.get("execution", {}).get("now")
        if not isinstance(now, str):
            raise MissingValue("execution.now: there is no time in scope")
        return now

    def millis(*_: Any) -> int:
        return int(datetime.fromisoformat(time()).timestamp() * 1000)

    def now(picture: Any = None, zone: Any = None, *_: Any) -> Any:
        if picture is None and zone is None:
            return time()
        budget.spend_turns(TURNS_OF_A_PICTURE)
        return datetimeutils.DateTimeUtils.format_datetime(millis(), checked_picture("now", picture), zone)

    return {"now": jsonata.Jsonata.JLambda(now), "millis": jsonata.Jsonata.JLambda(millis)}


def _plain(value: Any, budget: Budget) -> Any:
    """Return a result without the library's marks of lists and nulls. Raises ExpressionFailed for a function."""
    if value is _NULL:
        return None
    if isinstance(value, list):
        budget.spend_nodes(len(value))
        return [_plain(each, budget) for each in value]
    if isinstance(value, dict):
        budget.spend_nodes(len(value))
        return {key: _plain(each, budget) for key, each in value.items()}
    if isinstance(value, str | int | float | Decimal | None):
        return value
    raise ExpressionFailed("the result is a function, which isn't a JSON value")


def _nodes(node: Any) -> Iterator[Any]:
    """Yield each part of a tree."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list | tuple):
            waiting += each
        elif hasattr(each, "type") and hasattr(each, "__dict__") and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [value for key, value in vars(each).items() if key not in ("_outer_instance", "parser")]


def _asked(ast: Any) -> Iterator[int]:
    """Yield the parts whose truth is tested: for this, the library visits the lists that result from them."""
    for node in _nodes(ast):
        kind = getattr(node, "type", None)
        if kind == "condition":
            yield id(node.condition)
        elif kind == "binary" and str(node.value) in ("and", "or"):
            yield from (id(node.lhs), id(node.rhs))
        for each in (*(getattr(node, "predicate", None) or ()), *(getattr(node, "stages", None) or ())):
            if getattr(each, "expr", None) is not None:
                yield id(each.expr)


def _paths(node: Any, *, rooted: bool) -> Iterator[tuple[str, ...]]:
    """Yield the paths of the scope that it reads; `rooted`: its context is the scope."""
    if isinstance(node, list | tuple):
        for each in node:
            yield from _paths(each, rooted=rooted)
        return
    kind = getattr(node, "type", None)
    if kind is None:
        return
    if kind != "path":
        for key in ("lhs", "rhs", "expressions", "expression", "lhs_object", "condition", "then", "_else", "arguments"):
            yield from _paths(getattr(node, key, None), rooted=rooted)
        yield from _paths(getattr(node, "body", None), rooted=rooted)
        return
    steps = list(node.steps)
    if steps and steps[0].type == "variable" and steps[0].value == "$":
        steps, rooted = steps[1:], True
    keys: list[str] = []
    for step in steps:
        if step.type != "name":
            break
        keys.append(str(step.value))
        if getattr(step, "stages", None) or getattr(step, "predicate", None):
            break
    if keys and rooted:
        yield tuple(keys)
    elif rooted and steps:
        yield from _paths(steps[0], rooted=True)
    for step in steps[len(keys) :]:
        yield from _paths(step, rooted=False)
