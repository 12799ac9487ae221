"""`` `parent` `` and `` `path` ``, which follow a step that selects children."""

from collections.abc import Callable
from typing import Any

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import filter as filters

from hookline.api import ExpressionSyntax
from hookline_mapping.jsonpath.query.filtering import condition
from hookline_mapping.jsonpath.query.query import CompileQuery, Query, Run
from hookline_mapping.jsonpath.query.selecting import children


def _selected(
    node: Any, operator_name: str, compile_query: CompileQuery
) -> tuple[Query, Callable[[Any, Run], list[str | int]], bool]:
    """Split a path whose last step selects children: the query before that step, and the keys that it selects."""
    before, step = (node.left, node.right) if isinstance(node, tree.Child) else (tree.This(), node)
    if not isinstance(step, tree.Fields | tree.Index | tree.Slice | tree.Wildcard | filters.Filter):
        raise ExpressionSyntax(f"`{operator_name}` follows a key, an index, a slice, a wildcard or a filter")
    tests = [condition(each, compile_query) for each in step.expressions] if isinstance(step, filters.Filter) else []

    def keys(at: Any, run: Run) -> list[str | int]:
        if isinstance(step, tree.Fields):
            return [name for name in step.fields if isinstance(at, dict) and name in at]
        if isinstance(step, tree.Index):
            return [index for index in step.indices if isinstance(at, list) and -len(at) <= index < len(at)]
        if isinstance(step, tree.Slice):
            if not isinstance(at, list) or step.step == 0:
                return []
            places = range(len(at))[step.start : step.end : step.step]
            run.budget.spend_nodes(len(places) + 1)
            return list(places)
        inside = children(at, run)
        names = list(at) if isinstance(at, dict) else range(len(inside))
        return [name for name, each in zip(names, inside, strict=True) if all(holds(each, run) for holds in tests)]

    return compile_query(before), keys, compile_query(step).single


def parents(node: Any, compile_query: CompileQuery) -> Query:
    before, keys, single = _selected(node, "parent", compile_query)

    def find(at: Any, run: Run) -> list[Any]:
        return [value for value in before.find(at, run) for _ in keys(value, run)]

    return Query(find, before.single and single)


def last_keys(node: Any, compile_query: CompileQuery) -> Query:
    before, keys, single = _selected(node, "path", compile_query)

    def find(at: Any, run: Run) -> list[Any]:
        return [
            f"[{key}]" if isinstance(key, int) else str(tree.Fields._compliant_constructor(key))
            for value in before.find(at, run)
            for key in keys(value, run)
        ]

    return Query(find, before.single and single)
