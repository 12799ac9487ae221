"""Paths that only have keys, such as `@.a[0].b`: the commonest of all, followed without intermediate lists."""

from collections.abc import Callable
from typing import Any, Final

from jsonpath_ng import jsonpath as tree

from hookline_mapping.jsonpath.query.query import Query, Run

NOTHING: Final = object()


def plain_keys(node: Any) -> tuple[str | int, ...] | None:
    """Return the keys of `@.a[0]['b']`; None for anything else."""
    if isinstance(node, tree.Fields) and len(node.fields) == 1:
        return (str(node.fields[0]),)
    if isinstance(node, tree.Index) and len(node.indices) == 1:
        return (int(node.indices[0]),)
    if isinstance(node, tree.Child):
        left = () if isinstance(node.left, tree.This) else plain_keys(node.left)
        right = plain_keys(node.right)
        return None if left is None or right is None else left + right
    return None


def follow_keys(keys: tuple[str | int, ...]) -> Callable[[Any], Any]:
    def follow(value: Any) -> Any:
        for key in keys:
            # Python can index a text, but in JSON it has no items.
            if type(value) is str:
                return NOTHING
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return NOTHING
        return value

    return follow


def following(keys: tuple[str | int, ...]) -> Query:
    follow = follow_keys(keys)

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        found = follow(at)
        return [] if found is NOTHING else [found]

    return Query(find, True)
