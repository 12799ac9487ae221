"""Rewrites Jinja's syntax tree, so that the compiled code is bounded and knows its paths.

Nodes that aren't listed here are rejected. A path becomes a single look-up, whose error can name it in full. Methods
are found only when they are called. Loops, searches, comparisons and joins call functions that count.
"""

from collections.abc import Collection
from difflib import get_close_matches
from math import isfinite
from typing import Any, Final, NoReturn

from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from hookline.api import ExpressionSyntax
from hookline_mapping.expression_results import is_whole
from hookline_mapping.jinja import methods, sandbox
from hookline_mapping.jinja.filters.standard import FILTERS, LEFT_OUT, TESTS

PATH, METHOD, TURNS, SEARCHED, COMPARED, CONCAT, PART, OMITTED = (
    f"({name})" for name in ("path", "method", "turns", "searched", "compared", "concat", "part", "omitted")
)
#: No expression can use these names, because they aren't identifiers.
INTERNAL: Final = {
    PATH: sandbox.follow,
    METHOD: methods.method,
    TURNS: sandbox.turns,
    SEARCHED: sandbox.searched,
    COMPARED: sandbox.compared,
    CONCAT: sandbox.concat,
    PART: sandbox.part,
    OMITTED: sandbox.omitted,
}

_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign, nodes.AssignBlock),
    *(nodes.With, nodes.FilterBlock, nodes.Name, nodes.NSRef, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict),
    *(nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem),
    *(nodes.Slice, nodes.Concat, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
    *(nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Add, nodes.Sub, nodes.Mod),
)
_NAMES: Final = {
    nodes.Pow: "a power (**)",
    nodes.Macro: "a macro",
    nodes.CallBlock: "a call block",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "a block",
}
_TEMPLATE_NAMES: Final = frozenset({"self", "super", "caller", "varargs", "kwargs"})


def path_of(node: nodes.Node) -> tuple[str, tuple[str | int, ...]] | None:
    """Return the name and the keys of `name.key[0]['key']`; None for anything else."""
    keys: list[str | int] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        else:
            key = _constant_key(node.arg)
            if key is None:
                return None
            keys.append(key)
        node = node.node
    if isinstance(node, nodes.Name) and node.ctx == "load":
        return node.name, tuple(reversed(keys))
    return None


def _constant_key(node: nodes.Node) -> str | int | None:
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const) and type(node.node.value) is int:
        return -node.node.value
    if isinstance(node, nodes.Const) and type(node.value) in (str, int):
        key: str | int = node.value
        return key
    return None


class Rewrite(NodeTransformer):
    """Rewrites a tree; raises ExpressionSyntax for nodes that expressions can't have."""

    def __init__(self, filters: Collection[str] = FILTERS) -> None:
        """`filters`: the names of the filters."""
        self._filters = filters

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Return the node, or its replacement."""
        if not isinstance(node, _ALLOWED):
            name = _NAMES.get(type(node), f"{type(node).__name__}")
            _reject(node, f"{name} isn't available in expressions")
        return super().visit(node, *args, **kwargs)

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - the visitor's own way of naming
        """Reject names that only whole templates have."""
        if node.name in _TEMPLATE_NAMES:
            _reject(node, f"{node.name!r} isn't available in expressions")
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:  # noqa: N802 - as above
        """Reject texts with half of a surrogate pair, and infinite numbers."""
        if isinstance(node.value, str) and not is_whole(node.value):
            _reject(node, "a text contains half of a surrogate pair")
        if isinstance(node.value, float) and not isfinite(node.value):
            _reject(node, "a number is too large")
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - as above
        """Look up a path as a whole, and anything else step by step."""
        return self._path(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - as above
        """Rewrite a path, a slice, or an item with a computed key."""
        if isinstance(node.arg, nodes.Slice):
            arg = node.arg
            bounds = [self._argument(each, node) for each in (arg.start, arg.stop, arg.step)]
            return _apply(PART, self.visit(node.node), bounds, node)
        return self._path(node)

    def _argument(self, argument: nodes.Expr | None, node: nodes.Node) -> nodes.Expr:
        made: nodes.Expr = nodes.Const(None, lineno=node.lineno) if argument is None else self.visit(argument)
        return made

    def _path(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:
        path = path_of(node)
        if path is None:
            return self.generic_visit(node)
        name, keys = path
        root = self.visit(nodes.Name(name, "load", lineno=node.lineno))
        return _apply(PATH, root, [nodes.Const(name, lineno=node.lineno), nodes.Const(keys, lineno=node.lineno)], node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - as above
        """Rewrite the call of a method, or of a function by its name."""
        callee = node.node
        if isinstance(callee, nodes.Getattr):
            if callee.attr not in methods.NAMES:
                near = get_close_matches(callee.attr, methods.NAMES, 1)
                padding = callee.attr in ("center", "ljust", "rjust", "zfill", "expandtabs")
                hint = f"; did you mean {near[0]}?" if near and not padding else ""
                hint = "; padding isn't available: write '%05d' | format(x)" if padding else hint
                _reject(node, f"the method {callee.attr!r} isn't available{hint}")
            name = nodes.Const(callee.attr, lineno=node.lineno)
            node.node = _apply(METHOD, self.visit(callee.node), [name], node)
        elif not isinstance(callee, nodes.Name):
            _reject(node, "only methods, range, dict and namespace can be called")
        for field in ("args", "kwargs"):
            setattr(node, field, [self.visit(each) for each in getattr(node, field)])
        for field in ("dyn_args", "dyn_kwargs"):
            if (given := getattr(node, field)) is not None:
                setattr(node, field, self.visit(given))
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - as above
        """Count the turns. A loop that calls itself is rejected, because its turns can't be counted."""
        if node.recursive:
            _reject(node, "a recursive loop isn't available in expressions")
        self.generic_visit(node)
        node.iter = _apply(TURNS, node.iter, [], node)
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802 - as above
        """Add an `else` that explains a false condition, if there is none."""
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = _apply(OMITTED, nodes.Const(None, lineno=node.lineno), [], node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as above
        """Count the length."""
        self.generic_visit(node)
        return _apply(CONCAT, nodes.List(node.nodes, lineno=node.lineno), [], node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - as above
        """Count searches, and comparisons that no constant bounds."""
        sides = [node.expr, *(op.expr for op in node.ops)]
        constant = len(sides) == 2 and any(isinstance(side, nodes.Const) for side in sides)
        self.generic_visit(node)
        if not constant:
            node.expr = _apply(COMPARED, node.expr, [], node)
        for op in node.ops:
            if op.op in ("in", "notin"):
                op.expr = _apply(SEARCHED, op.expr, [], node)
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802 - as above
        """Check the name."""
        if node.name not in self._filters:
            _reject_name(node, "filter", node.name, self._filters, LEFT_OUT.get(node.name))
        return self.generic_visit(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802 - as above
        """Check the name."""
        if node.name not in TESTS:
            _reject_name(node, "test", node.name, TESTS, None)
        return self.generic_visit(node)


def _apply(name: str, value: nodes.Node, arguments: list[Any], at: nodes.Node) -> nodes.Filter:
    return nodes.Filter(value, name, arguments, [], None, None, lineno=at.lineno)


def _reject_name(node: nodes.Node, kind: str, name: str, known: Any, reason: str | None) -> NoReturn:
    near = get_close_matches(name, known, 1)
    hint = f": {reason}" if reason else f"; did you mean {near[0]!r}?" if near else ""
    _reject(node, f"the {kind} {name!r} isn't available{hint}")


def _reject(node: nodes.Node, message: str) -> NoReturn:
    raise ExpressionSyntax(message if node.lineno in (None, 0, 1) else f"line {node.lineno}: {message}")
