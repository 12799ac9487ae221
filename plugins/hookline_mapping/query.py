"""JSONPath queries: what `jsonpath_ng.ext` has parsed, compiled to functions that count what they visit.

The library's own evaluation has no bounds: `$..a..b`, or a filter inside a filter, takes time that grows with the
square of a message's size or worse. Here each visited value is spent from a budget. What matches is the same, except
that

- arithmetic takes numbers (`+` joins texts, or lists): anything else is an error, where the library gives no match or,
  for a text times a number, a text of any length;
- `` `str()` `` writes true, false, null, lists and objects as JSON;
- `` `parent` `` and `` `path` `` follow a step that selects children, and nothing else;
- sorting leaves what is no list alone, and sorts an object without criteria to its keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, Final, TypeAlias

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.ext import arithmetic, iterable, string
from jsonpath_ng.ext import filter as filters

from hookline.api import ExpressionFailed, ExpressionSyntax, Scope
from hookline_mapping.arithmetic import calculate
from hookline_mapping.budget import Budget
from hookline_mapping.comparison import BY_EQUALITY, BY_ORDER, compare, same
from hookline_mapping.patterns import bounded
from hookline_mapping.values import text


class Run:
    """One evaluation: its root, and what it may still visit."""

    __slots__ = ("budget", "root")

    def __init__(self, scope: Scope) -> None:
        self.root = scope
        self.budget = Budget()


Find: TypeAlias = Callable[[Any, Run], list[Any]]
"""From a value to the values that match, in order."""
Holds: TypeAlias = Callable[[Any, Run], bool]


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


def _fields(node: tree.Fields) -> Query:
    names = node.fields

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        return [at[name] for name in names if name in at] if isinstance(at, dict) else []

    return Query(find, len(names) == 1)


def _index(node: tree.Index) -> Query:
    indices = node.indices

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        if not isinstance(at, list):
            return []
        return [at[index] for index in indices if -len(at) <= index < len(at)]

    return Query(find, len(indices) == 1)


def _slice(node: tree.Slice) -> Query:
    part = slice(node.start, node.end, node.step)

    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, list) or part.step == 0:
            return []
        matches = at[part]
        run.budget.spend_nodes(len(matches) + 1)
        return matches

    return Query(find, False)


def _children(at: Any, run: Run) -> list[Any]:
    if isinstance(at, list):
        run.budget.spend_nodes(len(at) + 1)
        return at
    if isinstance(at, dict):
        run.budget.spend_nodes(len(at) + 1)
        return list(at.values())
    return []


def _wildcard(node: tree.Wildcard) -> Query:
    return Query(_children, False)


def _child(node: tree.Child) -> Query:
    if isinstance(node.right, tree.Parent):
        return _parents(node.left)
    if isinstance(node.right, iterable.Path):
        return _last_keys(node.left)
    if (keys := _plain_keys(node)) is not None:
        return _following(keys)
    left, right = compile_query(node.left), compile_query(node.right)
    first, then = left.find, right.find
    if (keys := _plain_keys(node.right)) is not None:
        # One more key after many matches: the commonest query of all.
        follow = _follow(keys)

        def find(at: Any, run: Run) -> list[Any]:
            found = first(at, run)
            run.budget.spend_nodes(len(found))
            return [each for each in map(follow, found) if each is not _NOTHING]

    elif left.single:

        def find(at: Any, run: Run) -> list[Any]:
            found = first(at, run)
            return then(found[0], run) if found else []

    else:

        def find(at: Any, run: Run) -> list[Any]:
            return [each for found in first(at, run) for each in then(found, run)]

    return Query(find, left.single and right.single)


_NOTHING: Final = object()


def _plain_keys(node: Any) -> tuple[str | int, ...] | None:
    """The keys of `@.a[0]['b']`; None for anything else."""
    if isinstance(node, tree.Fields) and len(node.fields) == 1:
        return (str(node.fields[0]),)
    if isinstance(node, tree.Index) and len(node.indices) == 1:
        return (int(node.indices[0]),)
    if isinstance(node, tree.Child):
        left = () if isinstance(node.left, tree.This) else _plain_keys(node.left)
        right = _plain_keys(node.right)
        return None if left is None or right is None else left + right
    return None


def _following(keys: tuple[str | int, ...]) -> Query:
    follow = _follow(keys)

    def find(at: Any, run: Run) -> list[Any]:
        run.budget.spend_nodes(1)
        found = follow(at)
        return [] if found is _NOTHING else [found]

    return Query(find, True)


def _follow(keys: tuple[str | int, ...]) -> Callable[[Any], Any]:
    def follow(value: Any) -> Any:
        for key in keys:
            # A text can be indexed in Python; in JSON it has no items.
            if type(value) is str:
                return _NOTHING
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return _NOTHING
        return value

    return follow


def _selected(node: Any, operator_name: str) -> tuple[Query, Callable[[Any, Run], list[str | int]], bool]:
    """Of a path whose last step selects children: what comes before that step, and the keys that it selects."""
    before, step = (node.left, node.right) if isinstance(node, tree.Child) else (tree.This(), node)
    if not isinstance(step, tree.Fields | tree.Index | tree.Slice | tree.Wildcard | filters.Filter):
        raise ExpressionSyntax(f"`{operator_name}` follows a key, an index, a slice, a wildcard or a filter")
    tests = [_condition(each) for each in step.expressions] if isinstance(step, filters.Filter) else []

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
        children = _children(at, run)
        names = list(at) if isinstance(at, dict) else range(len(children))
        return [name for name, each in zip(names, children, strict=True) if all(holds(each, run) for holds in tests)]

    return compile_query(before), keys, compile_query(step).single


def _parents(node: Any) -> Query:
    before, keys, single = _selected(node, "parent")

    def find(at: Any, run: Run) -> list[Any]:
        return [value for value in before.find(at, run) for _ in keys(value, run)]

    return Query(find, before.single and single)


def _last_keys(node: Any) -> Query:
    before, keys, single = _selected(node, "path")

    def find(at: Any, run: Run) -> list[Any]:
        return [
            f"[{key}]" if isinstance(key, int) else str(tree.Fields._compliant_constructor(key))
            for value in before.find(at, run)
            for key in keys(value, run)
        ]

    return Query(find, before.single and single)


def _descendants(node: tree.Descendants) -> Query:
    first, then = compile_query(node.left).find, compile_query(node.right).find

    def find(at: Any, run: Run) -> list[Any]:
        matches: list[Any] = []
        waiting = first(at, run)[::-1]
        while waiting:
            current = waiting.pop()
            if isinstance(current, list | dict):
                matches += then(current, run)
                waiting += _children(current, run)[::-1]
            else:
                matches += then(current, run)
        return matches

    return Query(find, False)


def _union(node: Any) -> Query:
    left, right = compile_query(node.left).find, compile_query(node.right).find
    return Query(lambda at, run: left(at, run) + right(at, run), False)


def _where(node: tree.Where) -> Query:
    left, right = compile_query(node.left), compile_query(node.right).find
    wanted = not isinstance(node, tree.WhereNot)

    def find(at: Any, run: Run) -> list[Any]:
        return [each for each in left.find(at, run) if bool(right(each, run)) is wanted]

    return Query(find, left.single)


def _filter(node: filters.Filter) -> Query:
    tests = [_condition(each) for each in node.expressions]
    if len(tests) == 1:
        (only,) = tests
        return Query(lambda at, run: [each for each in _children(at, run) if only(each, run)], False)

    def find(at: Any, run: Run) -> list[Any]:
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
    keys = () if isinstance(node.target, tree.This) else _plain_keys(node.target)
    if keys is not None:
        return _comparing_one(_follow(keys), node.op, node.value)
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
        # What is missing equals nothing, null included.
        return any(compare(op, each, value, run.budget) for each in found) if found else op == "!="

    return holds


def _comparing_one(follow: Callable[[Any], Any], op: str, value: Any) -> Holds:
    """The commonest filter, a key and a constant, without lists between. The child it tests is spent already."""
    ordered, by_equality, missing = BY_ORDER[op], BY_EQUALITY[op], op == "!="
    kind = str if isinstance(value, str) else (int, float, Decimal)
    if value is None or isinstance(value, bool):

        def holds(at: Any, run: Run) -> bool:
            found = follow(at)
            return missing if found is _NOTHING else by_equality(found is value)

    else:

        def holds(at: Any, run: Run) -> bool:
            found = follow(at)
            if found is _NOTHING:
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


def _operation(node: arithmetic.Operation) -> Query:
    left, right = _operand(node.left), _operand(node.right)
    symbol = node.op_symbol

    def find(at: Any, run: Run) -> list[Any]:
        one, two = left.find(at, run), right.find(at, run)
        if left.single and right.single:
            return [calculate(symbol, one[0], two[0], run.budget)] if one and two else []
        # A constant goes with each match of the other side; two lists of matches go side by side.
        if not isinstance(node.left, tree.JSONPath):
            one = one * len(two)
        elif not isinstance(node.right, tree.JSONPath):
            two = two * len(one)
        if len(one) != len(two):
            return []
        return [calculate(symbol, a, b, run.budget) for a, b in zip(one, two, strict=True)]

    return Query(find, left.single and right.single)


def _operand(node: Any) -> Query:
    if isinstance(node, tree.JSONPath):
        return compile_query(node)
    return Query(lambda at, run: [node], True)


def _length(node: iterable.Len) -> Query:
    return Query(lambda at, run: [len(at)] if isinstance(at, str | list | dict) else [], True)


def _keys(node: iterable.Keys) -> Query:
    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, dict):
            return []
        run.budget.spend_nodes(len(at))
        return list(at)

    return Query(find, False)


_NODES_PER_ORDER: Final = 4
"""Calling back to order two values takes as long as visiting some."""


def _sorted(node: iterable.SortedThis) -> Query:
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
            raise ExpressionFailed(f"what is to be sorted has values of several types: {error}") from error

    return Query(find, True)


def _str(node: string.Str) -> Query:
    return Query(lambda at, run: [text(at, run.budget)], True)


def _split(node: string.Split) -> Query:
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


def _sub(node: string.Sub) -> Query:
    pattern = bounded(node.expr)

    def find(at: Any, run: Run) -> list[Any]:
        if not isinstance(at, str):
            return []
        pattern.spend(at, run.budget)
        run.budget.spend_text((len(at) + 1) * (len(node.repl) + 1))
        made = pattern.compiled.sub(node.repl, at)
        return [made] if made != at else []

    return Query(find, True)


_BUILDERS: Final[dict[type, Callable[[Any], Query]]] = {
    tree.Root: _root,
    tree.This: _this,
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
    iterable.SortedThis: _sorted,
    string.Str: _str,
    string.Split: _split,
    string.Sub: _sub,
}
