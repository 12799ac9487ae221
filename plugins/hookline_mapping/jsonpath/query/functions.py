"""The functions of the extended language: `` `len` ``, `` `sorted` ``, `` `split` `` and the like."""

from functools import cmp_to_key
from typing import Any, Final

from jsonpath_ng.ext import iterable, string

from hookline.api import ExpressionFailed
from hookline_mapping.expression_results import text
from hookline_mapping.jsonpath.comparison import same
from hookline_mapping.jsonpath.query.query import CompileQuery, Query, Run
from hookline_mapping.patterns import bounded


def length(node: iterable.Len) -> Query:
    return Query(lambda at, run: [len(at)] if isinstance(at, str | list | dict) else [], True)


def keys(node: iterable.Keys) -> Query:
    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, dict):
            return []
        run.budget.spend_nodes(len(at))
        return list(at)

    return Query(find, False)


_NODES_PER_ORDER: Final = 4
"""The number of visits that take as long as a callback that orders two values."""


def in_order(node: iterable.SortedThis, compile_query: CompileQuery) -> Query:
    criteria = [(compile_query(field).find, reverse) for field, reverse in node.expressions or ()]

    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, list | dict) or (isinstance(at, dict) and criteria):
            return [at]
        run.budget.spend_nodes(len(at))

        def order(left: Any, right: Any) -> int:
            run.budget.spend_nodes(_NODES_PER_ORDER)
            for field, reverse in criteria:
                one, two = field(left, run), field(right, run)
                if len(one) == len(two) == 1 and not same(one[0], two[0], run.budget):
                    return 1 if (one[0] < two[0]) is reverse else -1
            return 0

        try:
            return [sorted(at, key=cmp_to_key(order)) if criteria else sorted(at)]
        except TypeError as error:
            raise ExpressionFailed(f"the values to sort have several types: {error}") from error

    return Query(find, True)


def as_text(node: string.Str) -> Query:
    return Query(lambda at, run: [text(at, run.budget)], True)


def split(node: string.Split) -> Query:
    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, str):
            return []
        run.budget.spend_nodes(at.count(node.chars) + 1)
        parts = at.split(node.chars, node.max_split)
        if node.segment == "*":
            return [parts]
        place = int(node.segment)
        return [parts[place]] if -len(parts) <= place < len(parts) else []

    return Query(find, True)


def substituted(node: string.Sub) -> Query:
    pattern = bounded(node.expr)

    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, str):
            return []
        pattern.spend(at, run.budget)
        run.budget.spend_text((len(at) + 1) * (len(node.repl) + 1))
        made = pattern.compiled.sub(node.repl, at)
        return [made] if made != at else []

    return Query(find, True)
