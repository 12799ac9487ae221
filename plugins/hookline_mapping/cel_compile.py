"""CEL compiled: the tree that its library's parser gives becomes functions, each of which spends what it does.

The library's own evaluators can't be interrupted, and turn all that they are given into objects of their own first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

from celpy.celparser import CELParseError, CELParser
from lark import Token, Tree
from lark.exceptions import LarkError

from hookline.api import ExpressionError, ExpressionFailed, ExpressionLimit, ExpressionSyntax, Scope, did_you_mean
from hookline_mapping.budget import Budget
from hookline_mapping.cel_literals import literal
from hookline_mapping.cel_operators import (
    FUNCTIONS,
    METHODS,
    TYPES,
    arithmetic,
    contained,
    doubles,
    is_method,
    kind,
    method,
    negated,
    ordered,
    plain,
    truth,
)
from hookline_mapping.comparison import same
from hookline_mapping.missing import missing_value, path_text

_MAX_SOURCE: Final = 10_000
_OPERATORS: Final = {
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
}
_MACROS: Final = {"all": (2,), "exists": (2,), "exists_one": (2,), "map": (2, 3), "filter": (2,)}
_TIMES: Final = frozenset({"timestamp", "duration", "type"})

Path: TypeAlias = tuple[str | int, ...]


class Run:
    """One evaluation."""

    __slots__ = ("budget", "scope", "variables")

    def __init__(self, scope: Scope, budget: Budget) -> None:
        self.scope = scope
        self.budget = budget
        self.variables: dict[str, Any] = {}


Evaluate: TypeAlias = Callable[[Run], Any]


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled part."""

    run: Evaluate
    path: Path | None = None
    """Where it leads, for a path of the scope's with constant keys."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled expression."""

    node: Node
    paths: Mapping[Path, bool]
    """The paths of the scope that it reads, and whether it is an error where one isn't there, whatever else is."""
    times: bool
    """What it gives may be, or hold, a timestamp, a duration or a type."""

    def run(self, scope: Scope, budget: Budget) -> Any:
        """Raises ExpressionError."""
        made = self.node.run(Run(scope, budget))
        return plain(made, budget) if self.times or not isinstance(made, str | int | float | list | dict) else made


def compiled(source: str, *, exact: bool) -> Compiled:
    """Raises ExpressionSyntax."""
    if len(source) > _MAX_SOURCE:
        raise ExpressionSyntax(f"it has more than {_MAX_SOURCE:,} characters")
    try:
        tree = _parser().parse(source)
        compiling = _Compiling(exact)
        node = compiling.node(tree)
        compiling.read(node)
    except CELParseError as error:
        place = f" at character {error.column}" if error.column and error.line == 1 else ""
        raise ExpressionSyntax(f"this isn't CEL{place}") from error
    except LarkError as error:
        raise ExpressionSyntax(f"this isn't CEL: {str(error).partition(chr(10))[0][:100]}") from error
    except RecursionError as error:
        raise ExpressionSyntax("it is nested too deeply") from error
    return Compiled(node, compiling.paths, compiling.times)


@lru_cache(1)
def _parser() -> CELParser:
    return CELParser()


@dataclass(slots=True)
class _Compiling:
    exact: bool
    paths: dict[Path, bool] = field(default_factory=dict)
    bound: tuple[str, ...] = ()
    """Variables of the macros around."""
    times: bool = False
    sure: bool = True
    """What is compiled now is evaluated in any case, and what is wrong with it is wrong with the whole."""

    def node(self, tree: Any) -> Node:
        """A part of the tree."""
        while len(tree.children) == 1 and isinstance(tree.children[0], Tree) and tree.data in _THROUGH:
            tree = tree.children[0]
        compile_part: Callable[[Any], Node] = getattr(self, f"_{tree.data}")
        return compile_part(tree)

    def read(self, node: Node) -> Evaluate:
        """What a part gives; where it is a path, that is read here."""
        if node.path is not None:
            self.paths[node.path] = self.sure or self.paths.get(node.path, False)
        return node.run

    def _of(self, tree: Any) -> Evaluate:
        return self.read(self.node(tree))

    def _perhaps(self, trees: Iterable[Any]) -> list[Evaluate]:
        """The same of parts that may not be evaluated, or whose failure may not matter."""
        before, self.sure = self.sure, False
        made = [self._of(tree) for tree in trees]
        self.sure = before
        return made

    def _expr(self, tree: Any) -> Node:
        condition = self._of(tree.children[0])
        yes, no = self._perhaps(tree.children[1:])

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            return yes(at) if truth(condition(at), "?") else no(at)

        return Node(run)

    def _conditionalor(self, tree: Any) -> Node:
        return self._either(tree, decides=True, sign="||")

    def _conditionaland(self, tree: Any) -> Node:
        return self._either(tree, decides=False, sign="&&")

    def _either(self, tree: Any, *, decides: bool, sign: str) -> Node:
        left, right = self._perhaps(tree.children)
        return Node(partial(_either, left, right, decides, sign))

    def _relation(self, tree: Any) -> Node:
        operation, right = tree.children
        return self._binary(str(operation.data), self._of(operation.children[0]), self._of(right))

    _addition = _multiplication = _relation

    def _binary(self, name: str, left: Evaluate, right: Evaluate) -> Node:
        if name in ("relation_eq", "relation_ne"):
            wanted = name == "relation_eq"

            def run(at: Run) -> Any:
                one, two = left(at), right(at)
                return same(one, two, at.budget) is wanted

        elif name == "relation_in":

            def run(at: Run) -> Any:
                at.budget.spend_nodes(1)
                one, two = left(at), right(at)
                return contained(one, two, at.budget)

        elif name.startswith("relation"):
            operator = _OPERATORS[name]

            def run(at: Run) -> Any:
                at.budget.spend_nodes(1)
                one, two = left(at), right(at)
                return ordered(operator, one, two, at.budget)

        else:
            operator, exact = _OPERATORS[name], self.exact

            def run(at: Run) -> Any:
                at.budget.spend_nodes(1)
                one, two = left(at), right(at)
                return arithmetic(operator, one, two, at.budget, exact=exact)

        return Node(run)

    def _unary(self, tree: Any) -> Node:
        operator, operand = str(tree.children[0].data), self._of(tree.children[1])

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            value = operand(at)
            return not truth(value, "!") if operator == "unary_not" else negated(value)

        return Node(run)

    def _member_dot(self, tree: Any) -> Node:
        container, name = self.node(tree.children[0]), str(tree.children[1])
        return self._selected(container, name)

    def _selected(self, container: Node, name: str) -> Node:
        inner = container.run
        where = None if container.path is None else path_text(container.path, "")

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            value = inner(at)
            if kind(value) == "map" and name in value:
                return value[name]
            place = "the value" if where is None else where
            raise missing_value(f"{place}.{name}", place, value, name)

        return Node(run, None if container.path is None else (*container.path, name))

    def _member_index(self, tree: Any) -> Node:
        container, key = self.node(tree.children[0]), self.node(tree.children[1])
        inner, index = container.run, self.read(key)
        path: Path | None = None
        constant = _constant(tree.children[1], exact=self.exact)
        if container.path is not None and isinstance(constant, str | int) and not isinstance(constant, bool):
            path = (*container.path, constant)
        else:
            self.read(container)
        where = "the value" if container.path is None else path_text(container.path, "")

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            value, found = inner(at), index(at)
            if isinstance(value, list):
                if kind(found) == "double" and found == int(found):
                    found = int(found)
                if kind(found) != "int":
                    raise ExpressionFailed(f"{where} is a list, whose items are numbered, and no {kind(found)}")
                if 0 <= found < len(value):
                    return value[found]
            elif kind(value) == "map" and isinstance(found, str) and found in value:
                return value[found]
            shown = path_text((found,), where) if isinstance(found, str | int) else f"{where}[…]"
            raise missing_value(shown, where, value, found)

        return Node(run, path)

    def _member_object(self, tree: Any) -> Node:
        raise ExpressionSyntax("there are no messages with fields here: write a map, such as {'a': 1}")

    def _primary(self, tree: Any) -> Node:
        return self.node(tree.children[0])

    def _paren_expr(self, tree: Any) -> Node:
        return self.node(tree.children[0])

    def _literal(self, tree: Any) -> Node:
        token = tree.children[0]
        value = literal(token.type, str(token), exact=self.exact)
        return Node(lambda at: value)

    def _ident(self, tree: Any) -> Node:
        name = str(tree.children[0])
        if name in self.bound:
            return Node(lambda at: at.variables[name])

        def run(at: Run) -> Any:
            if name in at.scope:
                return at.scope[name]
            if name in TYPES:
                return TYPES[name]
            raise missing_value(name, "", at.scope, name)

        if name in TYPES:
            self.times = True
            return Node(run)
        return Node(run, (name,))

    _dot_ident = _ident

    def _list_lit(self, tree: Any) -> Node:
        items = [self._of(item) for item in _arguments(tree)]

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1 + len(items))
            return [item(at) for item in items]

        return Node(run)

    def _map_lit(self, tree: Any) -> Node:
        inits = tree.children[0].children if tree.children else []
        pairs = [(self._of(key), self._of(value)) for key, value in zip(inits[::2], inits[1::2], strict=True)]

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1 + len(pairs))
            made: dict[str, Any] = {}
            for key, value in pairs:
                name = key(at)
                if not isinstance(name, str):
                    raise ExpressionFailed(f"a key of a map is a text, and this is of type {kind(name)}")
                if name in made:
                    raise ExpressionFailed(f"a map has the key {name[:40]!r} twice")
                made[name] = value(at)
            return made

        return Node(run)

    def _ident_arg(self, tree: Any) -> Node:
        name, arguments = str(tree.children[0]), _arguments(tree)
        if name == "has":
            return self._has(arguments)
        self.times = self.times or name in _TIMES
        functions = {**FUNCTIONS, "double": doubles(exact=self.exact)}
        if name == "matches" and len(arguments) == 2:
            text, pattern = (self._of(argument) for argument in arguments)
            return Node(partial(_method, "matches", text, [pattern]))
        if name not in functions or len(arguments) != 1:
            known = [*functions, "has", "matches"]
            raise ExpressionSyntax(
                f"there is no function {name}() of {len(arguments)} values; {did_you_mean(name, known, 'see the docs')}"
            )
        function, value = functions[name], self._of(arguments[0])

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            return function(value(at), at.budget)

        return Node(run)

    _dot_ident_arg = _ident_arg

    def _has(self, arguments: list[Any]) -> Node:
        tree = arguments[0] if len(arguments) == 1 else None
        while tree is not None and tree.data != "member_dot":
            tree = tree.children[0] if len(tree.children) == 1 and isinstance(tree.children[0], Tree) else None
        if tree is None:
            raise ExpressionSyntax("has() takes what is selected with a dot, such as has(body.note)")
        container, name = self._of(tree.children[0]), str(tree.children[1])

        def run(at: Run) -> Any:
            at.budget.spend_nodes(1)
            value = container(at)
            if kind(value) != "map":
                raise ExpressionFailed(f"has() looks for {name!r} in a {kind(value)}, which is no map")
            return name in value

        return Node(run)

    def _member_dot_arg(self, tree: Any) -> Node:
        of, name, arguments = tree.children[0], str(tree.children[1]), _arguments(tree)
        if name in _MACROS:
            if len(arguments) not in _MACROS[name]:
                raise ExpressionSyntax(f"{name}() takes a variable and an expression, such as .{name}(x, x > 0)")
            return self._macro(name, self._of(of), arguments)
        if not is_method(name, len(arguments)):
            known = [*METHODS, *_MACROS, "size"]
            hint = did_you_mean(name, known, "see the docs")
            raise ExpressionSyntax(f"there is no method {name}() of {len(arguments)} values; {hint}")
        return Node(partial(_method, name, self._of(of), [self._of(argument) for argument in arguments]))

    def _macro(self, name: str, items: Evaluate, arguments: list[Any]) -> Node:
        variable = _variable(arguments[0])
        if variable is None:
            raise ExpressionSyntax(f"the first value of {name}() is the name of a variable")
        before, self.bound = self.bound, (*self.bound, variable)
        parts = self._perhaps(arguments[1:])
        self.bound = before
        return Node(partial(_macro, name, variable, items, parts))


#: Parts of the grammar that are nothing where they have one child.
_THROUGH: Final = frozenset(
    {"expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary"}
)


def _arguments(tree: Any) -> list[Any]:
    last = tree.children[-1] if tree.children else None
    return list(last.children) if isinstance(last, Tree) and last.data == "exprlist" else []


def _alone(tree: Any) -> Any:
    while isinstance(tree, Tree) and len(tree.children) == 1:
        if tree.data in ("ident", "literal"):
            return tree
        tree = tree.children[0]
    return None


def _variable(tree: Any) -> str | None:
    found = _alone(tree)
    return str(found.children[0]) if found is not None and found.data == "ident" else None


def _constant(tree: Any, *, exact: bool) -> Any:
    found = _alone(tree)
    token = found.children[0] if found is not None and found.data == "literal" else None
    return literal(token.type, str(token), exact=exact) if isinstance(token, Token) else None


def _either(left: Evaluate, right: Evaluate, decides: bool, sign: str, at: Run) -> bool:
    """`||` and `&&`: where one side decides, what is wrong with the other doesn't matter."""
    at.budget.spend_nodes(1)
    wrong: ExpressionError | None = None
    for side in (left, right):
        try:
            if truth(side(at), sign) is decides:
                return decides
        except ExpressionLimit:
            raise
        except ExpressionError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return not decides


def _method(name: str, of: Evaluate, arguments: list[Evaluate], at: Run) -> Any:
    at.budget.spend_nodes(1)
    return method(name, of(at), [argument(at) for argument in arguments], at.budget)


def _macro(name: str, variable: str, items: Evaluate, parts: list[Evaluate], at: Run) -> Any:
    at.budget.spend_nodes(1)
    values = items(at)
    if not isinstance(values, list | Mapping):
        raise ExpressionFailed(f"{name}() goes through a list or a map, and this is of type {kind(values)}")
    before = at.variables
    at.variables = {**before}
    try:
        return _gone_through(name, _each(variable, values, at), parts, at)
    finally:
        at.variables = before


def _each(variable: str, values: Iterable[Any], at: Run) -> Iterator[Any]:
    """A list's items or a map's keys, each of them as the variable meanwhile."""
    own = at.variables
    for value in values:
        at.budget.spend_turns(1)
        own[variable] = value
        yield value


def _gone_through(name: str, values: Iterator[Any], parts: list[Evaluate], at: Run) -> Any:
    match name:
        case "map":
            *condition, result = parts
            return [result(at) for _ in values if not condition or truth(condition[0](at), "map()")]
        case "filter":
            return [value for value in values if truth(parts[0](at), "filter()")]
        case "exists_one":
            return sum(1 for _ in values if truth(parts[0](at), "exists_one()")) == 1
        case _:
            return _quantified(values, parts[0], at, decides=name == "exists", name=name)


def _quantified(values: Iterator[Any], predicate: Evaluate, at: Run, *, decides: bool, name: str) -> bool:
    """`all` and `exists`: as `&&` and `||` over all items."""
    wrong: ExpressionError | None = None
    for _ in values:
        try:
            if truth(predicate(at), f"{name}()") is decides:
                return decides
        except ExpressionLimit:
            raise
        except ExpressionError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    return not decides
