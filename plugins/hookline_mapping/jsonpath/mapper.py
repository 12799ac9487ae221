"""The mapper `jsonpath`: the dialect of `jsonpath_ng.ext`, with plain paths read and followed by our own code."""

import re
import warnings
from decimal import Decimal
from typing import Any, NamedTuple

from jsonpath_ng import jsonpath as tree
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext import arithmetic
from jsonpath_ng.ext import filter as filters
from jsonpath_ng.ext.parser import ExtendedJsonPathLexer, ExtendedJsonPathParser
from jsonpath_ng.ext.string import DefintionInvalid

from hookline.api import Expression, ExpressionSyntax, Mapper, MissingValue, Reference, Scope
from hookline_mapping.jsonpath.plain_path import plain_keys, plain_path
from hookline_mapping.jsonpath.query import compile_query
from hookline_mapping.jsonpath.query.query import Query, Run
from hookline_mapping.missing_value_message import first_missing, missing_value, path_text


class JsonPath(Mapper):
    """JSONPath. A query that can match at most once returns the value, any other a list."""

    name = "jsonpath"
    title = "JSONPath"

    def compile(self, source: str) -> Expression:
        """Compile a query. Raises ExpressionSyntax, which names the place."""
        return _compile(source, ExtendedJsonPathLexer, exact=False)

    def compile_exact(self, source: str) -> Expression:
        """Compile a query with exact constants."""
        return _compile(source, _ExactLexer, exact=True)


class _ExactLexer(ExtendedJsonPathLexer):
    """A lexer that reads fractions in a query as Decimals."""

    def t_FLOAT(self, t: Any) -> Any:  # noqa: N802 - the library's own way of naming
        r"-?\d+\.\d+"
        t.value = Decimal(t.value)
        return t


def _compile(source: str, lexer: type[ExtendedJsonPathLexer], *, exact: bool) -> Expression:
    keys = plain_keys(source)
    if keys is None:
        parsed = _parse(source, lexer)
        keys = _plain(parsed)
    if keys is not None:
        return plain_path(source, keys)
    return QueryExpression(source, compile_query(parsed), _references(parsed), exact=exact)


class QueryExpression(Expression):
    """A JSONPath with other parts than keys and indexes."""

    def __init__(self, source: str, query: Query, references: tuple[Reference, ...], *, exact: bool) -> None:
        self.source = source
        self.references = references
        self.gives = None if query.single else list
        self._query = query
        self._exact = exact

    def evaluate(self, scope: Scope) -> Any:
        """Return the value, or the list of all matches. Raises MissingValue if a single match doesn't exist."""
        run = Run(scope if isinstance(scope, dict) else dict(scope), self._exact)
        found = self._query.find(run.root, run)
        if not self._query.single:
            # A wildcard returns the scope's own list, since nobody changes either.
            return found
        if found:
            return found[0]
        for reference in self.references:
            if end := first_missing(reference.path, scope):
                there, container, key = end
                raise missing_value(self.source, path_text(there), container, key)
        raise MissingValue(f"{self.source}: nothing matches")


def _parse(source: str, lexer: type[ExtendedJsonPathLexer]) -> Any:
    try:
        with warnings.catch_warnings():
            # Syntax that the library will drop in its next major version is still its dialect.
            warnings.simplefilter("ignore", DeprecationWarning)
            return ExtendedJsonPathParser(lexer_class=lexer).parse(source)
    except (JSONPathError, DefintionInvalid, re.error) as error:
        raise ExpressionSyntax(f"this isn't valid JSONPath: {error}") from error
    except Exception as error:
        # The library's grammar actions fail in their own ways on some malformed paths.
        raise ExpressionSyntax(f"this isn't valid JSONPath: {error!r}") from error


def _plain(node: Any) -> tuple[str | int, ...] | None:
    """Return the keys of a parsed path that only has single keys and indexes (apart from spaces)."""
    if isinstance(node, tree.Root):
        return ()
    if isinstance(node, tree.Child):
        left, right = _plain(node.left), _one_key(node.right)
        return None if left is None or right is None else (*left, right)
    return None


def _one_key(node: Any) -> str | int | None:
    if isinstance(node, tree.Fields) and len(node.fields) == 1:
        return str(node.fields[0])
    if isinstance(node, tree.Index) and len(node.indices) == 1:
        return int(node.indices[0])
    return None


def _references(node: Any) -> tuple[Reference, ...]:
    paths: list[tuple[str | int, ...]] = []
    _collect(node, paths, from_scope=True)
    return tuple(Reference(path) for path in dict.fromkeys(paths) if path)


def _collect(node: Any, paths: list[tuple[str | int, ...]], *, from_scope: bool) -> None:
    """Add the beginnings of all paths that start at the scope; `from_scope`: one that starts with a bare key does."""
    start = _beginning(node, from_scope)
    if start.keys is not None:
        paths.append(start.keys)
    for inner in start.inner:
        _collect(inner, paths, from_scope=False)


class _Beginning(NamedTuple):
    keys: tuple[str | int, ...] | None
    """The keys with which a path begins; None if it doesn't begin at the scope."""
    inner: list[Any]
    """Nodes in which other paths may begin."""
    open: bool = False
    """A key that follows continues `keys`."""


def _beginning(node: Any, from_scope: bool) -> _Beginning:
    if isinstance(node, tree.Root):
        return _Beginning((), [], True)
    if from_scope and (key := _one_key(node)) is not None:
        return _Beginning((key,), [], True)
    if isinstance(node, tree.Child):
        left, key = _beginning(node.left, from_scope), _one_key(node.right)
        if key is None:
            return _Beginning(left.keys, [*left.inner, node.right])
        if left.open and left.keys is not None:
            return _Beginning((*left.keys, key), left.inner, True)
        return _Beginning(left.keys, left.inner)
    if isinstance(node, tree.Descendants | tree.Where):
        left = _beginning(node.left, from_scope)
        return _Beginning(left.keys, [*left.inner, node.right])
    if isinstance(node, filters.Filter):
        return _Beginning(None, list(node.expressions))
    if isinstance(node, filters.Or | filters.And):
        return _Beginning(None, list(node.operands))
    sides = (node.target, node.value) if isinstance(node, filters.Expression) else ()
    if isinstance(node, arithmetic.Operation | tree._Union):
        sides = (node.left, node.right)
    return _Beginning(None, [each for each in sides if isinstance(each, tree.JSONPath)])
