"""Steps that select: from a value to itself, the root, or its parts."""

from typing import Any

from jsonpath_ng import jsonpath as tree

from hookline_mapping.jsonpath.query.query import CompileQuery, Query, Run


def root(node: tree.Root) -> Query:
    return Query(lambda at, run: [run.root], True)


def this(node: tree.This) -> Query:
    return Query(lambda at, run: [at], True)


def fields(node: tree.Fields) -> Query:
    names = node.fields

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        return [at[name] for name in names if name in at] if isinstance(at, dict) else []

    return Query(find, len(names) == 1)


def index(node: tree.Index) -> Query:
    indices = node.indices

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        if not isinstance(at, list):
            return []
        return [at[index] for index in indices if -len(at) <= index < len(at)]

    return Query(find, len(indices) == 1)


def sliced(node: tree.Slice) -> Query:
    part = slice(node.start, node.end, node.step)

    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, list) or part.step == 0:
            return []
        matches = at[part]
        run.budget.spend_nodes(len(matches) + 1)
        return matches

    return Query(find, False)


def children(at: Any, run: Run) -> list[Any]:
    if isinstance(at, list):
        run.budget.spend_nodes(len(at) + 1)
        return at
    if isinstance(at, dict):
        run.budget.spend_nodes(len(at) + 1)
        return list(at.values())
    return []


def wildcard(node: tree.Wildcard) -> Query:
    return Query(children, False)


def descendants(node: tree.Descendants, compile_query: CompileQuery) -> Query:
    first, then = compile_query(node.left).find, compile_query(node.right).find

    def find(at: Any, run: Run) -> list[Any]:
        matches: list[Any] = []
        waiting = first(at, run)[::-1]
        while waiting:
            current = waiting.pop()
            if isinstance(current, list | dict):
                matches += then(current, run)
                waiting += children(current, run)[::-1]
            else:
                matches += then(current, run)
        return matches

    return Query(find, False)


def union(node: Any, compile_query: CompileQuery) -> Query:
    left, right = compile_query(node.left).find, compile_query(node.right).find
    return Query(lambda at, run: left(at, run) + right(at, run), False)
