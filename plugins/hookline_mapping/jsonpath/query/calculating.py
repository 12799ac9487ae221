"""Arithmetic."""

from typing import Any

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import arithmetic

from hookline_mapping.jsonpath.arithmetic import calculate
from hookline_mapping.jsonpath.query.query import CompileQuery, Query, Run


def operation(node: arithmetic.Operation, compile_query: CompileQuery) -> Query:
    left, right = _operand(node.left, compile_query), _operand(node.right, compile_query)
    symbol = node.op_symbol

    def find(at: Any, run: Run) -> list[Any]:
        one, two = left.find(at, run), right.find(at, run)
        if left.single and right.single:
            return [calculate(symbol, one[0], two[0], run.budget, exact=run.exact)] if one and two else []
        # A constant is combined with each match of the other side; two lists of matches are combined item by item.
        if not isinstance(node.left, tree.JSONPath):
            one = one * len(two)
        elif not isinstance(node.right, tree.JSONPath):
            two = two * len(one)
        if len(one) != len(two):
            return []
        return [calculate(symbol, a, b, run.budget, exact=run.exact) for a, b in zip(one, two, strict=True)]

    return Query(find, left.single and right.single)


def _operand(node: Any, compile_query: CompileQuery) -> Query:
    if isinstance(node, tree.JSONPath):
        return compile_query(node)
    return Query(lambda at, run: [node], True)
