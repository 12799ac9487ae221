"""JSONPath queries: what `jsonpath_ng.ext` has parsed, compiled to functions that count what they visit.

The library's own evaluation has no bounds: `$..a..b`, or a filter inside a filter, takes time that grows with the
square of a message's size or worse. Here each visited value is spent from a budget. The matches are the same, except
that

- arithmetic takes numbers (`+` joins texts, or lists): anything else is an error, where the library gives no match or,
  for a text times a number, a text of any length;
- `` `str()` `` writes true, false, null, lists and objects as JSON;
- `` `parent` `` and `` `path` `` follow a step that selects children, and nothing else;
- sorting changes only lists, and turns an object, without criteria, into its sorted keys.
"""

from collections.abc import Callable
from typing import Any, Final

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import arithmetic, iterable, string
from jsonpath_ng.ext import filter as filters

from hookline.api import ExpressionSyntax
from hookline_mapping.jsonpath.query.calculating import operation
from hookline_mapping.jsonpath.query.chaining import child
from hookline_mapping.jsonpath.query.filtering import filtered, where
from hookline_mapping.jsonpath.query.functions import as_text, in_order, keys, length, split, substituted
from hookline_mapping.jsonpath.query.query import CompileQuery, Query
from hookline_mapping.jsonpath.query.selecting import descendants, fields, index, root, sliced, this, union, wildcard


def compile_query(node: Any) -> Query:
    """Compile a tree of the library. Raises ExpressionSyntax for parts that aren't supported."""
    kind = type(node)
    if kind in _LEAVES:
        return _LEAVES[kind](node)
    if kind in _NESTING:
        return _NESTING[kind](node, compile_query)
    name = {"_Intersect": "an intersection (&)"}.get(kind.__name__, kind.__name__)
    raise ExpressionSyntax(f"{name} isn't supported; write a filter, as in [?(@.a && @.b)]")


_LEAVES: Final[dict[type, Callable[[Any], Query]]] = {
    tree.Root: root,
    tree.This: this,
    tree.Fields: fields,
    tree.Index: index,
    tree.Slice: sliced,
    tree.Wildcard: wildcard,
    iterable.Len: length,
    iterable.Keys: keys,
    string.Str: as_text,
    string.Split: split,
    string.Sub: substituted,
}

#: The nodes that contain queries.
_NESTING: Final[dict[type, Callable[[Any, CompileQuery], Query]]] = {
    tree.Child: child,
    tree.Descendants: descendants,
    tree._Union: union,
    tree.Where: where,
    tree.WhereNot: where,
    filters.Filter: filtered,
    arithmetic.Operation: operation,
    iterable.SortedThis: in_order,
}
