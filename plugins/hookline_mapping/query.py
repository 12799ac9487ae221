"""JSONPath queries: what `jsonpath_ng.ext` has parsed, compiled to functions that count what they visit.

The library's own evaluation has no bounds: `$..a..b`, or a filter inside a filter, takes time that grows with the
square of a message's size or worse. Here each visited value is spent from a budget. What matches is the same, except
that

- arithmetic takes numbers (`+` joins texts, or lists): anything else is an error, where the library gives no match or,
  for a text times a number, a text of any length;
- `` `str()` `` writes true, false, null, lists and objects as JSON;
- `` `parent` `` of the root, and of a computed value, matches nothing instead of failing;
- sorting leaves what is no list alone, and sorts an object without criteria to its keys.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any, Final, NamedTuple, TypeAlias

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import arithmetic, iterable, string
from jsonpath_ng.ext import filter as filters

from hookline.api import ExpressionFailed, ExpressionSyntax, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.patterns import bounded
from hookline_mapping.values import text


class Node(NamedTuple):
    """A value and where it was found."""

    value: Any
    parent: "Node | None" = None
    key: str | int | None = None


class Run:
    """One evaluation: its root, and what it may still visit."""

    __slots__ = ("budget", "root")

    def __init__(self, scope: Scope) -> None:
        self.root = Node(scope)
        self.budget = Budget()


Find: TypeAlias = Callable[[Node, Run], list[Node]]
Holds: TypeAlias = Callable[[Node, Run], bool]


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query."""

    find: Find
    single: bool
    """It can match at most once."""


def compile_query(node: Any) -> Query:
    """Compile a tree of the library's. Raises ExpressionSyntax for what isn't supported."""
    build = _BUILDERS.get(type(node))
    if build is None:
        name = {"_Intersect": "an intersection (&)"}.get(type(node).__name__, type(node).__name__)
        raise ExpressionSyntax(f"{name} isn't supported; write a filter, as in [?(@.a && @.b)]")
    return build(node)


def _root(node: tree.Root) -> Query:
    return Query(lambda at, run: [run.root], True)


def _this(node: tree.This) -> Query:
    return Query(lambda at, run: [at], True)


def _parent(node: tree.Parent) -> Query:
    return Query(lambda at, run: [at.parent] if at.parent is not None else [], True)


def _fields(node: tree.Fields) -> Query:
    names = node.fields

    def find(at: Node, run: Run) -> list[Node]:
        run.budget.spend_nodes(1)
        value = at.value
        if isinstance(value, dict):
            return [Node(value[name], at, name) for name in names if name in value]
        return []

    return Query(find, len(names) == 1)


def _index(node: tree.Index) -> Query:
    indices = node.indices

    def find(at: Node, run: Run) -> list[Node]:
        run.budget.spend_nodes(1)
        value = at.value
        if not isinstance(value, list):
            return []
        size = len(value)
        return [Node(value[index], at, index) for index in indices if -size <= index < size]

    return Query(find, len(indices) == 1)


def _slice(node: tree.Slice) -> Query:
    part = slice(node.start, node.end, node.step)

    def find(at: Node, run: Run) -> list[Node]:
        if not isinstance(at.value, list) or part.step == 0:
            return []
        places = range(len(at.value))[part]
        run.budget.spend_nodes(len(places) + 1)
        return [Node(at.value[place], at, place) for place in places]

    return Query(find, False)


def _children(at: Node, run: Run) -> list[Node]:
    value = at.value
    if isinstance(value, list):
        run.budget.spend_nodes(len(value) + 1)
        return [Node(item, at, index) for index, item in enumerate(value)]
    if isinstance(value, dict):
        run.budget.spend_nodes(len(value) + 1)
        return [Node(item, at, key) for key, item in value.items()]
    return []


def _wildcard(node: tree.Wildcard) -> Query:
    return Query(_children, False)


def _child(node: tree.Child) -> Query:
    left, right = compile_query(node.left), compile_query(node.right)
    first, then = left.find, right.find
    if left.single:

        def find(at: Node, run: Run) -> list[Node]:
            found = first(at, run)
            return then(found[0], run) if found else []

    else:

        def find(at: Node, run: Run) -> list[Node]:
            return [each for found in first(at, run) for each in then(found, run)]

    return Query(find, left.single and right.single)


def _descendants(node: tree.Descendants) -> Query:
    first, then = compile_query(node.left).find, compile_query(node.right).find

    def find(at: Node, run: Run) -> list[Node]:
        matches: list[Node] = []
        waiting = first(at, run)[::-1]
        while waiting:
            current = waiting.pop()
            matches += then(current, run)
            waiting += _children(current, run)[::-1]
        return matches

    return Query(find, False)


def _union(node: Any) -> Query:
    left, right = compile_query(node.left).find, compile_query(node.right).find
    return Query(lambda at, run: left(at, run) + right(at, run), False)


def _where(node: tree.Where) -> Query:
    left, right = compile_query(node.left), compile_query(node.right).find
    wanted = not isinstance(node, tree.WhereNot)

    def find(at: Node, run: Run) -> list[Node]:
        return [each for each in left.find(at, run) if bool(right(each, run)) is wanted]

    return Query(find, left.single)


def _filter(node: filters.Filter) -> Query:
    tests = [_condition(each) for each in node.expressions]

    def find(at: Node, run: Run) -> list[Node]:
        return [each for each in _children(at, run) if all(holds(each, run) for holds in tests)]

    return Query(find, False)


def _condition(node: Any) -> Holds:
    if isinstance(node, filters.Or):
        some = [_condition(each) for each in node.operands]
        return lambda at, run: any(holds(at, run) for holds in some)
    if isinstance(node, filters.And):
        each_of = [_condition(each) for each in node.operands]
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
    return _comparing(target, node.op, node.value)


def _matching(target: Find, source: str) -> Holds:
    pattern = bounded(source)

    def holds(at: Node, run: Run) -> bool:
        for found in target(at, run):
            if isinstance(found.value, str):
                pattern.spend(found.value, run.budget)
                if pattern.compiled.search(found.value):
                    return True
        return False

    return holds


def _comparing(target: Find, op: str, value: Any) -> Holds:
    def holds(at: Node, run: Run) -> bool:
        found = target(at, run)
        # What is missing equals nothing, null included.
        return any(_compare(op, each.value, value, run) for each in found) if found else op == "!="

    return holds


def _comparing_queries(target: Find, op: str, other: Find) -> Holds:
    def holds(at: Node, run: Run) -> bool:
        left, right = target(at, run), other(at, run)
        if not left or not right:
            return _BY_EQUALITY[op](not left and not right)
        run.budget.spend_nodes(len(left) * len(right))
        return any(_compare(op, one.value, two.value, run) for one in left for two in right)

    return holds


_BY_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
#: What has no order is only equal or not.
_BY_EQUALITY: Final[dict[str, Callable[[bool], bool]]] = {
    "!=": operator.not_,
    "==": bool,
    "=": bool,
    "<=": bool,
    ">=": bool,
    "<": lambda equal: False,
    ">": lambda equal: False,
}


def _compare(op: str, left: Any, right: Any, run: Run) -> bool:
    if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return _BY_ORDER[op](left, right)
    return _BY_EQUALITY[op](_same(left, right, run))


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool | str | list | dict | None)


def _same(left: Any, right: Any, run: Run) -> bool:
    """Whether two JSON values are equal; true isn't 1."""
    pairs = [(left, right)]
    while pairs:
        run.budget.spend_nodes(1)
        one, two = pairs.pop()
        if isinstance(one, bool) or isinstance(two, bool):
            if one is not two:
                return False
        elif isinstance(one, list) and isinstance(two, list):
            if len(one) != len(two):
                return False
            pairs += zip(one, two, strict=True)
        elif isinstance(one, dict) and isinstance(two, dict):
            if one.keys() != two.keys():
                return False
            pairs += ((value, two[key]) for key, value in one.items())
        elif isinstance(one, list | dict) or isinstance(two, list | dict) or one != two:
            return False
    return True


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_MAX_BITS: Final = 14_000


def _operation(node: arithmetic.Operation) -> Query:
    left, right = _operand(node.left), _operand(node.right)
    symbol = node.op_symbol

    def find(at: Node, run: Run) -> list[Node]:
        one, two = left.find(at, run), right.find(at, run)
        if left.single and right.single:
            return [Node(_calculate(symbol, one[0].value, two[0].value, run))] if one and two else []
        # A constant goes with each match of the other side; two lists of matches go side by side.
        if not isinstance(node.left, tree.JSONPath):
            one *= len(two)
        elif not isinstance(node.right, tree.JSONPath):
            two *= len(one)
        if len(one) != len(two):
            return []
        return [Node(_calculate(symbol, a.value, b.value, run)) for a, b in zip(one, two, strict=True)]

    return Query(find, left.single and right.single)


def _operand(node: Any) -> Query:
    if isinstance(node, tree.JSONPath):
        return compile_query(node)
    return Query(lambda at, run: [Node(node)], True)


def _calculate(symbol: str, left: Any, right: Any, run: Run) -> Any:
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        run.budget.spend_text(len(left) + len(right))
        return left + right
    if symbol == "+" and isinstance(left, list) and isinstance(right, list):
        run.budget.spend_nodes(len(left) + len(right))
        return left + right
    if not (_is_number(left) and _is_number(right)):
        raise ExpressionFailed(f"{_kind(left)} {symbol} {_kind(right)} can't be calculated; `{symbol}` takes numbers")
    for value in (left, right):
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise ExpressionFailed(f"`{symbol}` takes numbers of at most {_MAX_BITS} bits")
    try:
        return _ARITHMETIC[symbol](left, right)
    except (ArithmeticError, TypeError) as error:
        raise ExpressionFailed(f"`{symbol}`: {error}") from error


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return _KINDS.get(type(value), "a number")


_KINDS: Final[dict[type, str]] = {bool: "a truth value", str: "a text", list: "a list", dict: "an object"}


def _length(node: iterable.Len) -> Query:
    def find(at: Node, run: Run) -> list[Node]:
        return [Node(len(at.value))] if isinstance(at.value, str | list | dict) else []

    return Query(find, True)


def _keys(node: iterable.Keys) -> Query:
    def find(at: Node, run: Run) -> list[Node]:
        if not isinstance(at.value, dict):
            return []
        run.budget.spend_nodes(len(at.value))
        return [Node(key) for key in at.value]

    return Query(find, False)


def _path(node: iterable.Path) -> Query:
    def find(at: Node, run: Run) -> list[Node]:
        if at.key is None:
            return [Node("$" if at is run.root else "`this`", at)]
        return [Node(f"[{at.key}]" if isinstance(at.key, int) else str(tree.Fields(at.key)), at)]

    return Query(find, True)


def _sorted(node: iterable.SortedThis) -> Query:
    criteria = [(compile_query(field).find, reverse) for field, reverse in node.expressions or ()]

    def find(at: Node, run: Run) -> list[Node]:
        value = at.value
        if not isinstance(value, list | dict) or (isinstance(value, dict) and criteria):
            return [at]
        run.budget.spend_nodes(len(value) * max(1, len(value).bit_length()))

        def order(left: Any, right: Any) -> int:
            for field, reverse in criteria:
                one, two = field(Node(left), run), field(Node(right), run)
                if len(one) == len(two) == 1 and one[0].value != two[0].value:
                    return 1 if (one[0].value < two[0].value) is reverse else -1
            return 0

        try:
            return [Node(sorted(value, key=cmp_to_key(order)) if criteria else sorted(value))]
        except TypeError as error:
            raise ExpressionFailed(f"what is to be sorted has values of several types: {error}") from error

    return Query(find, True)


def _str(node: string.Str) -> Query:
    return Query(lambda at, run: [Node(text(at.value, run.budget))], True)


def _split(node: string.Split) -> Query:
    def find(at: Node, run: Run) -> list[Node]:
        if not isinstance(at.value, str):
            return []
        run.budget.spend_nodes(at.value.count(node.chars) + 1)
        parts = at.value.split(node.chars, node.max_split)
        if node.segment == "*":
            return [Node(parts)]
        place = int(node.segment)
        return [Node(parts[place])] if -len(parts) <= place < len(parts) else []

    return Query(find, True)


def _sub(node: string.Sub) -> Query:
    pattern = bounded(node.expr)

    def find(at: Node, run: Run) -> list[Node]:
        if not isinstance(at.value, str):
            return []
        pattern.spend(at.value, run.budget)
        run.budget.spend_text((len(at.value) + 1) * (len(node.repl) + 1))
        made = pattern.compiled.sub(node.repl, at.value)
        return [Node(made)] if made != at.value else []

    return Query(find, True)


_BUILDERS: Final[dict[type, Callable[[Any], Query]]] = {
    tree.Root: _root,
    tree.This: _this,
    tree.Parent: _parent,
    tree.Fields: _fields,
    tree.Index: _index,
    tree.Slice: _slice,
    tree.Wildcard: _wildcard,
    tree.Child: _child,
    tree.Descendants: _descendants,
    tree._Union: _union,
    tree.Where: _where,
    tree.WhereNot: _where,
    filters.Filter: _filter,
    arithmetic.Operation: _operation,
    iterable.Len: _length,
    iterable.Keys: _keys,
    iterable.Path: _path,
    iterable.SortedThis: _sorted,
    string.Str: _str,
    string.Split: _split,
    string.Sub: _sub,
}
