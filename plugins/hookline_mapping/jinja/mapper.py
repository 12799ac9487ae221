"""The mapper `jinja`: a single `{{ … }}` is a value, anything else is text."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Template, TemplateAssertionError, TemplateSyntaxError, nodes
from jinja2.runtime import Context

from hookline.api import (
    Expression,
    ExpressionError,
    ExpressionFailed,
    ExpressionLimit,
    ExpressionSyntax,
    Mapper,
    Reference,
    Scope,
    TemplateFilter,
)
from hookline_mapping.budget import MAX_TEXT
from hookline_mapping.expression_results import to_json
from hookline_mapping.jinja.filters.standard import FILTERS, TESTS, given
from hookline_mapping.jinja.references import references
from hookline_mapping.jinja.rewrite import INTERNAL, Rewrite, path_of
from hookline_mapping.jinja.sandbox import BudgetedContext, MissingName, Sandbox, WrongOperand
from hookline_mapping.jinja.syntax_hints import syntax_hint
from hookline_mapping.jinja.wrong_operand import type_error_text, wrong_operand
from hookline_mapping.jsonpath.plain_path import plain_path
from hookline_mapping.missing_value_message import missing_value

#: Names in scope begin with a letter.
_RESULT: Final = "_result"
_GIVES: Final[dict[str, type]] = {
    **dict.fromkeys(("upper", "lower", "title", "trim", "string", "join", "replace", "format", "tojson"), str),
    **dict.fromkeys(("length", "count", "int"), int),
    **dict.fromkeys(("list", "sort", "unique", "map", "select", "reject", "selectattr", "rejectattr", "items"), list),
}


class Jinja(Mapper):
    """Jinja in a sandbox: only keys, no clock, no randomness, and counted work."""

    name = "jinja"
    title = "Jinja"

    def __init__(self, filters: Mapping[str, TemplateFilter] = MappingProxyType({})) -> None:
        """`filters`: the filters of plugins."""
        self._filters = {name: given(name, function) for name, function in filters.items()}

    @cached_property
    def _binary(self) -> Sandbox:
        return _sandbox(self._filters, exact=False)

    @cached_property
    def _exact(self) -> Sandbox:
        # Most servers have no flow that needs it.
        return _sandbox(self._filters, exact=True)

    def with_filters(self, filters: Mapping[str, TemplateFilter]) -> Mapper:
        """Return a mapper with further filters. Existing names keep their meaning."""
        return Jinja(filters)

    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionSyntax, which names the line if there are several."""
        return _compile(source, self._binary)

    def compile_exact(self, source: str) -> Expression:
        """Compile an expression with exact constants, quotients and filters."""
        return _compile(source, self._exact)


def _sandbox(filters: Mapping[str, Callable[..., Any]], *, exact: bool) -> Sandbox:
    environment = Sandbox(exact=exact)
    environment.filters = {**filters, **FILTERS, **INTERNAL}
    environment.tests = dict(TESTS)
    return environment


def _compile(source: str, environment: Sandbox) -> Expression:
    try:
        parsed = environment.parse(source)
        lone = _lone(parsed)
        path = path_of(lone) if lone is not None else None
        if path is not None and all(isinstance(key, str) for key in path[1]):
            return plain_path(source, (path[0], *path[1]), root="")
        found = references(parsed)
        if lone is None:
            return Text(source, environment, _render(source, parsed, environment), found)
        gives = _gives(lone)
        return Value(source, environment, _render(source, parsed, environment), found, gives)
    except TemplateSyntaxError as error:
        line = f" on line {error.lineno}" if error.lineno > 1 else ""
        hint = syntax_hint(error.message or "", source)
        raise ExpressionSyntax(f"this isn't valid Jinja{line}: {error.message}{hint}") from error
    except RecursionError as error:
        raise ExpressionSyntax("it is nested too deeply") from error


def _render(source: str, parsed: nodes.Template, environment: Sandbox) -> "_Render":
    tree = _rewritten(parsed, environment)
    render = _Render(environment, source)
    if all(isinstance(part, nodes.Output | nodes.Assign) for part in tree.body):
        _check_names(tree, environment)
    else:
        render.prepare(tree)
    return render


def _rewritten(parsed: nodes.Template, environment: Sandbox) -> nodes.Template:
    """Return the template that runs. A single expression is assigned to `_RESULT`."""
    lone = _lone(parsed)
    if lone is not None:
        parsed = nodes.Template([nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), lone, lineno=1)], lineno=1)
    tree: nodes.Template = Rewrite(environment.filters.keys() - INTERNAL.keys()).visit(parsed)
    tree.set_environment(environment)
    return tree


def _check_names(tree: nodes.Template, environment: Sandbox) -> None:
    """Raise the errors that making the function of a template without blocks could raise."""
    named: Iterator[nodes.Filter | nodes.Test | nodes.Call] = chain(
        tree.find_all(nodes.Filter), tree.find_all(nodes.Test), tree.find_all(nodes.Call)
    )
    for node in named:
        if isinstance(node, nodes.Filter) and node.name not in environment.filters:
            raise TemplateAssertionError(f"No filter named {node.name!r}.", node.lineno)
        if isinstance(node, nodes.Test) and node.name not in environment.tests:
            raise TemplateAssertionError(f"No test named {node.name!r}.", node.lineno)
        given = [argument.key for argument in node.kwargs]
        if len(given) != len(set(given)):
            raise TemplateSyntaxError("an argument is given twice", node.lineno)


class _Render:
    """A template's function, made at its first call if it has no blocks.

    Making it takes longer than reading and checking the template, and most of the templates of a thousand flows
    aren't needed to start. Until then only the text is kept, because the tree takes ten times as much memory.
    """

    __slots__ = ("_environment", "_function", "_source")

    def __init__(self, environment: Sandbox, source: str) -> None:
        self._environment = environment
        self._source = source
        self._function: Callable[[Context], Iterator[str]] | None = None

    def prepare(self, tree: nodes.Template | None = None) -> Callable[[Context], Iterator[str]]:
        """Make the function, from the tree if that is there already. Raises TemplateSyntaxError."""
        if tree is None:
            tree = _rewritten(self._environment.parse(self._source), self._environment)
        try:
            code = self._environment.compile(tree)
        except SyntaxError as error:
            raise TemplateSyntaxError(error.msg, 1) from error
        function = self._function = Template.from_code(self._environment, code, {}).root_render_func
        return function

    def __call__(self, context: Context) -> Iterator[str]:
        return (self._function or self.prepare())(context)


class _Compiled(Expression):
    __slots__ = ("_environment", "_render", "references", "source")

    def __init__(self, source: str, environment: Sandbox, render: _Render, found: tuple[Reference, ...]) -> None:
        self.source = source
        self.references = found
        self._environment = environment
        self._render = render

    def evaluate(self, scope: Scope) -> Any:
        """Evaluate in a scope. Raises MissingValue, which names the path, ExpressionFailed and ExpressionLimit."""
        context = self._environment.context(scope)
        try:
            return self._result(context)
        except MissingName as error:
            raise missing_value(error.name, "", scope, error.name) from None
        except WrongOperand as error:
            raise ExpressionFailed(self._operand(scope) or error.message) from error
        except ExpressionError:
            raise
        except TypeError as error:
            said = self._operand(scope) or type_error_text(error)
            raise ExpressionFailed(f"{self.source}: {said}") from error
        except Exception as error:
            # Each exception of an operator or a filter is a failure of the expression.
            # Python's message may quote a value of any length.
            raise ExpressionFailed(f"{self.source}: {type(error).__name__}: {str(error)[:200]}") from error

    def _operand(self, scope: Scope) -> str | None:
        return wrong_operand(self.source, self._environment, scope)

    def _result(self, context: BudgetedContext) -> Any:
        raise NotImplementedError


class Value(_Compiled):
    """A single `{{ … }}`, whose value is the result."""

    __slots__ = ("gives",)

    def __init__(
        self, source: str, environment: Sandbox, render: _Render, found: tuple[Reference, ...], gives: type | None
    ) -> None:
        super().__init__(source, environment, render, found)
        self.gives = gives

    def _result(self, context: BudgetedContext) -> Any:
        for _ in self._render(context):
            pass
        return to_json(context.vars[_RESULT], context.budget)


class Text(_Compiled):
    """Text with expressions and blocks in it."""

    __slots__ = ()

    gives = str

    def _result(self, context: BudgetedContext) -> str:
        length = 0
        pieces = []
        for piece in self._render(context):
            length += len(piece)
            if length > MAX_TEXT:
                raise ExpressionLimit(f"it makes more than {MAX_TEXT:,} characters of text")
            pieces.append(piece)
        return "".join(pieces)


def _lone(parsed: nodes.Template) -> nodes.Expr | None:
    if len(parsed.body) == 1 and isinstance(output := parsed.body[0], nodes.Output) and len(output.nodes) == 1:
        (only,) = output.nodes
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def _gives(node: nodes.Expr) -> type | None:
    if isinstance(node, nodes.Compare | nodes.Not | nodes.Test):
        return bool
    if isinstance(node, nodes.Concat):
        return str
    if isinstance(node, nodes.List | nodes.Tuple):
        return list
    if isinstance(node, nodes.Dict):
        return dict
    if isinstance(node, nodes.Const):
        return float if isinstance(node.value, Decimal) else type(node.value)
    if isinstance(node, nodes.Filter):
        return _GIVES.get(node.name)
    return None
