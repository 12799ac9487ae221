"""The mapper `jsonata`: JSONata with counted work, bounded patterns, and the time of the scope as its only clock."""

from types import ModuleType
from typing import Any

from hookline.api import Expression, ExpressionError, ExpressionFailed, ExpressionLimit, MissingValue, Scope
from hookline_mapping.budget import Budget
from hookline_mapping.decimals import exact_value
from hookline_mapping.expression_results import to_json
from hookline_mapping.extra_mapper import ExtraMapper, beginnings
from hookline_mapping.missing_value_message import not_there


class Jsonata(ExtraMapper):
    """JSONata. An expression without a result is a missing value; inside an expression, missing values are left out.

    `$now()` and `$millis()` return `execution.now`; `$random`, `$shuffle` and `$eval` are rejected.
    """

    name = "jsonata"
    title = "JSONata"
    library = "jsonata"

    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionSyntax."""
        return JsonataExpression(source, _interpreter().compile_source(source, exact=False), exact=False)

    def compile_exact(self, source: str) -> Expression:
        """Compile an expression with exact constants and arithmetic; functions that calculate reject Decimals."""
        return JsonataExpression(source, _interpreter().compile_source(source, exact=True), exact=True)


def _interpreter() -> ModuleType:
    """Import the interpreter late, since most servers have no flow that uses it."""
    from hookline_mapping.jsonata import interpreter

    return interpreter


class JsonataExpression(Expression):
    """A compiled JSONata expression."""

    def __init__(self, source: str, compiled: Any, *, exact: bool) -> None:
        self.source = source
        self.references = beginnings(compiled.paths, optional=not compiled.lone)
        self.reads = compiled.paths
        self._compiled = compiled
        self._exact = exact

    def evaluate(self, scope: Scope) -> Any:
        """Evaluate in a scope. Raises MissingValue if there is no result; ExpressionFailed and ExpressionLimit."""
        budget = Budget()
        try:
            there, made = self._compiled.run(scope, budget)
        except ExpressionError:
            raise
        except RecursionError:
            raise ExpressionLimit(f"{self.source}: it calls itself too deeply") from None
        except Exception as error:
            hint = "; JSONata's functions don't support exact fractions" if self._exact else ""
            raise ExpressionFailed(f"{self.source}: {str(error)[:200]}{hint}") from error
        if not there:
            missing = not_there(self._compiled.paths, scope)
            raise missing or MissingValue(f"{self.source}: it has no result")
        made = to_json(made, budget)
        return exact_value(made) if self._exact else made
