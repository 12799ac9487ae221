"""One step after another."""

from typing import Any

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import iterable

from hookline_mapping.jsonpath.query.key_path import NOTHING, follow_keys, following, plain_keys
from hookline_mapping.jsonpath.query.parent_and_path import last_keys, parents
from hookline_mapping.jsonpath.query.query import CompileQuery, Query, Run


def child(node: tree.Child, compile_query: CompileQuery) -> Query:
    if isinstance(node.right, tree.Parent):
        return parents(node.left, compile_query)
    if isinstance(node.right, iterable.Path):
        return last_keys(node.left, compile_query)
    if (keys := plain_keys(node)) is not None:
        return following(keys)
    left, right = compile_query(node.left), compile_query(node.right)
    first, then = left.find, right.find
    if (keys := plain_keys(node.right)) is not None:
        # One more key after many matches: the commonest query of all.
        follow = follow_keys(keys)

        def find(at: Any, run: Run) -> list[Any]:
            found = first(at, run)
            run.budget.spend_nodes(len(found))
            return [each for each in map(follow, found) if each is not NOTHING]

    elif left.single:

        def find(at: Any, run: Run) -> list[Any]:
            found = first(at, run)
            return then(found[0], run) if found else []

    else:

        def find(at: Any, run: Run) -> list[Any]:
            return [each for found in first(at, run) for each in then(found, run)]

    return Query(find, left.single and right.single)
