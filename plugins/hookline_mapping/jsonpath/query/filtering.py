"""Filters and their comparisons."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import filter as filters

from hookline.api import ExpressionSyntax
from hookline_mapping.jsonpath.comparison import BY_EQUALITY, BY_ORDER, compare
from hookline_mapping.jsonpath.query.key_path import NOTHING, follow_keys, plain_keys
from hookline_mapping.jsonpath.query.query import CompileQuery, Find, Holds, Query, Run
from hookline_mapping.jsonpath.query.selecting import children
from hookline_mapping.patterns import bounded


def filtered(node: filters.Filter, compile_query: CompileQuery) -> Query:
    tests = [condition(each, compile_query) for each in node.expressions]
    if len(tests) == 1:
        (only,) = tests
        return Query(lambda at, run: [each for each in children(at, run) if only(each, run)], False)

    def find(at: Any, run: Run) -> list[Any]:
        return [each for each in children(at, run) if all(holds(each, run) for holds in tests)]

    return Query(find, False)


def where(node: tree.Where, compile_query: CompileQuery) -> Query:
    left, right = compile_query(node.left), compile_query(node.right).find
    wanted = not isinstance(node, tree.WhereNot)

    def find(at: Any, run: Run) -> list[Any]:
        return [each for each in left.find(at, run) if bool(right(each, run)) is wanted]

    return Query(find, left.single)


def condition(node: Any, compile_query: CompileQuery) -> Holds:
    if isinstance(node, filters.Or):
        some = [condition(each, compile_query) for each in node.operands]
        return lambda at, run: any(holds(at, run) for holds in some)
    if isinstance(node, filters.And):
        each_of = [condition(each, compile_query) for each in node.operands]
        return lambda at, run: all(holds(at, run) for holds in each_of)
    if not isinstance(node, filters.Expression):
        raise ExpressionSyntax(f"{type(node).__name__} isn't supported in a filter")
    target = compile_query(node.target).find
    if node.op is None:
        return lambda at, run: bool(target(at, run))
    if node.op == "!":
        return lambda at, run: not target(at, run)
    if node.op == "=~":
        return _matching(target, str(node.value))
    if isinstance(node.value, tree.JSONPath):
        return _comparing_queries(target, node.op, compile_query(node.value).find)
    keys = () if isinstance(node.target, tree.This) else plain_keys(node.target)
    if keys is not None:
        return _comparing_one(follow_keys(keys), node.op, node.value)
    return _comparing(target, node.op, node.value)


def _matching(target: Find, source: str) -> Holds:
    pattern = bounded(source)

    def holds(at: Any, run: Run) -> bool:
        for found in target(at, run):
            if isinstance(found, str):
                pattern.spend(found, run.budget)
                if pattern.compiled.search(found):
                    return True
        return False

    return holds


def _comparing(target: Find, op: str, value: Any) -> Holds:
    def holds(at: Any, run: Run) -> bool:
        found = target(at, run)
        # A missing value equals nothing, not even null.
        return any(compare(op, each, value, run.budget) for each in found) if found else op == "!="

    return holds


def _comparing_one(follow: Callable[[Any], Any], op: str, value: Any) -> Holds:
    """Compile the commonest filter, a key and a constant, without intermediate lists. The child was counted before."""
    ordered, by_equality, missing = BY_ORDER[op], BY_EQUALITY[op], op == "!="
    kind = str if isinstance(value, str) else (int, float, Decimal)
    if value is None or isinstance(value, bool):

        def holds(at: Any, run: Run) -> bool:
            found = follow(at)
            return missing if found is NOTHING else by_equality(found is value)

    else:

        def holds(at: Any, run: Run) -> bool:
            found = follow(at)
            if found is NOTHING:
                return missing
            if isinstance(found, kind) and found is not True and found is not False:
                return ordered(found, value)
            return by_equality(False)

    return holds


def _comparing_queries(target: Find, op: str, other: Find) -> Holds:
    def holds(at: Any, run: Run) -> bool:
        left, right = target(at, run), other(at, run)
        if not left or not right:
            return BY_EQUALITY[op](not left and not right)
        run.budget.spend_nodes(len(left) * len(right))
        return any(compare(op, one, two, run.budget) for one in left for two in right)

    return holds
