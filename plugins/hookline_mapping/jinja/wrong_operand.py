"""The operand of the wrong type that made an expression fail, with its path and a remedy."""

import re
from collections.abc import Iterator
from typing import Any, Final

from jinja2 import nodes

from hookline.api import Scope
from hookline_mapping.jinja.rewrite import path_of
from hookline_mapping.jinja.sandbox import Missing, Sandbox, follow
from hookline_mapping.missing_value_message import path_text

_COMPARE: Final = {"gt": ">", "gteq": ">=", "lt": "<", "lteq": "<="}
_CALCULATE: Final = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_NUMBER: Final = re.compile(r"\s*[-+]?\d{1,40}(\.\d{1,40})?\s*", re.ASCII)
_UNKNOWN: Final = object()


def wrong_operand(source: str, environment: Sandbox, scope: Scope) -> str | None:
    """Describe the operand; None if it isn't one that a path names."""
    for left, operator, right in _operations(environment.parse(source)):
        one, other = _value(left, scope), _value(right, scope)
        if one is _UNKNOWN and other is _UNKNOWN:
            continue
        if _fit(operator, one, other):
            continue
        for node, value, beside in ((left, one, other), (right, other, one)):
            path = path_of(node)
            if path is None or value is _UNKNOWN or _is_number(value):
                continue
            name = path_text(path[1], path[0])
            return f"{name} is {_described(value)}; {_remedy(name, value, operator, beside, left, right, node)}"
    return None


def _operations(tree: nodes.Template) -> Iterator[tuple[nodes.Expr, str, nodes.Expr]]:
    for node in tree.find_all((nodes.Compare, *_CALCULATE)):
        if isinstance(node, nodes.Compare):
            left = node.expr
            for operand in node.ops:
                if operand.op in _COMPARE:
                    yield left, _COMPARE[operand.op], operand.expr
                left = operand.expr
        elif isinstance(node, nodes.BinExpr):
            yield node.left, _CALCULATE[type(node)], node.right


def _value(node: nodes.Expr, scope: Scope) -> Any:
    """The value of a constant or a path; `_UNKNOWN` for anything else, and for a value that is missing."""
    if isinstance(node, nodes.Const):
        return node.value
    path = path_of(node)
    if path is None or path[0] not in scope:
        return _UNKNOWN
    value = follow(scope[path[0]], *path)
    return _UNKNOWN if isinstance(value, Missing) else value


def _fit(operator: str, one: Any, other: Any) -> bool:
    known = [value for value in (one, other) if value is not _UNKNOWN]
    if all(_is_number(value) for value in known):
        return True
    if operator == "%" and isinstance(one, str):
        return True
    alike = len(known) == 2 and type(one) is type(other)
    return alike and isinstance(one, str | list) and (operator in _COMPARE.values() or operator == "+")


def _is_number(value: Any) -> bool:
    return not isinstance(value, str | list | dict | type(None)) and value is not _UNKNOWN


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f'text "{value if len(value) <= 40 else value[:40] + "…"}"'
    return "null" if value is None else "a list" if isinstance(value, list) else "an object"


def _remedy(
    name: str, value: Any, operator: str, beside: Any, left: nodes.Expr, right: nodes.Expr, node: nodes.Expr
) -> str:
    if value is None:
        return f"write {name} | default(0, true) if null is to count as 0, or test it first: {name} is not none"
    if not isinstance(value, str):
        return f"`{operator}` takes numbers; {name} | length is the number of its parts"
    if not _NUMBER.fullmatch(value) and _is_number(beside):
        return f"`{operator}` takes numbers here, and this text isn't one"
    if isinstance(beside, list | dict):
        return f"it can't be combined with {_described(beside)}"
    sides = [f"{name} | float" if side is node else _shown(side) for side in (left, right)]
    join = f", or {_shown(left)} ~ {_shown(right)} to join texts" if operator == "+" else ""
    return f"write {sides[0]} {operator} {sides[1]}{join}"


def _shown(node: nodes.Expr) -> str:
    path = path_of(node)
    if path is not None:
        return path_text(path[1], path[0])
    return repr(node.value) if isinstance(node, nodes.Const) else "…"


_TYPES: Final = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "Decimal": "a number",
    "decimal.Decimal": "a number",
    "NoneType": "null",
    "list": "a list",
    "dict": "an object",
    "tuple": "a list",
    "bool": "true or false",
}
_COMPARED: Final = re.compile(r"'(\S{1,2})' not supported between instances of '([\w.]+)' and '([\w.]+)'")
_CALCULATED: Final = re.compile(r"unsupported operand type\(s\) for (\S{1,3}): '([\w.]+)' and '([\w.]+)'")


def type_error_text(error: TypeError) -> str:
    """The text of a TypeError, in the words of JSON if it is about an operator."""
    said = str(error)[:200]
    for pattern, verb in ((_COMPARED, "be compared"), (_CALCULATED, "be calculated with")):
        found = pattern.fullmatch(said)
        if found:
            one, other = (_TYPES.get(name, name) for name in found.group(2, 3))
            hint = "; `| float` makes a number of text" if "text" in (one, other) else ""
            return f"{one} and {other} can't {verb} by `{found[1]}`{hint}"
    return f"TypeError: {said}"
