"""The mapper `jmespath`: JMESPath with its steps counted."""

from typing import Any

from hookline.api import Expression, ExpressionError, ExpressionFailed, ExpressionLimit, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import exact_value
from hookline_mapping.expression_results import to_json
from hookline_mapping.extra_mapper import ExtraMapper, beginnings
from hookline_mapping.missing_value_message import not_there


class JmesPath(ExtraMapper):
    """JMESPath. A null because of a path that doesn't exist is a missing value; a null in the data is null."""

    name = "jmespath"
    title = "JMESPath"
    library = "jmespath"

    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionSyntax."""
        return _compile(source, exact=False)

    def compile_exact(self, source: str) -> Expression:
        """Compile an expression with exact constants, sums and means."""
        return _compile(source, exact=True)


def _compile(source: str, *, exact: bool) -> Expression:
    # Most servers have no flow that needs it.
    from hookline_mapping.jmespath import interpreter as jmespath_run

    tree = jmespath_run.parse(source, exact=exact)
    paths = tuple(dict.fromkeys(jmespath_run.paths(tree)))
    lone = jmespath_run.is_path(tree)
    return JmesPathExpression(source, tree, paths, lone=lone, exact=exact)


class JmesPathExpression(Expression):
    """A compiled JMESPath expression."""

    def __init__(
        self, source: str, tree: Any, paths: tuple[tuple[str | int, ...], ...], *, lone: bool, exact: bool
    ) -> None:
        self.source = source
        self.references = beginnings(paths, optional=not lone)
        self.reads = paths
        self._tree = tree
        self._paths = paths
        self._exact = exact

    def evaluate(self, scope: Scope) -> Any:
        """Evaluate in a scope. Raises MissingValue if the result is null and a path doesn't exist; ExpressionError."""
        from hookline_mapping.jmespath import interpreter as jmespath_run

        budget = Budget()
        try:
            made = jmespath_run.run(self._tree, scope, budget, exact=self._exact)
        except ExpressionError:
            raise
        except RecursionError:
            raise ExpressionLimit("it is nested too deeply") from None
        except Exception as error:
            raise ExpressionFailed(f"{self.source}: {str(error)[:200]}") from error
        if made is None and (missing := not_there(self._paths, scope)):
            raise missing
        made = to_json(made, budget)
        return exact_value(made) if self._exact else made
