"""The mapper `cel`: the Common Expression Language, its steps counted."""

from typing import Any

from hookline.api import Expression, ExpressionError, ExpressionFailed, ExpressionLimit, Reference, Scope
from hookline_mapping.extras import ExtraMapper
from hookline_mapping.values import to_json


class Cel(ExtraMapper):
    """CEL. What is missing is an error, unless `has` asks for it, or the other side of `||` or `&&` decides.

    `timestamp` and `duration` are there; unsigned numbers and bytes are not, since JSON has none.
    """

    name = "cel"
    title = "CEL"
    library = "celpy"

    def compile(self, source: str) -> Expression:
        """Raises ExpressionSyntax."""
        return CelExpression(source, exact=False)

    def compile_exact(self, source: str) -> Expression:
        """The same with exact fractions: constants, and what is calculated with them."""
        return CelExpression(source, exact=True)


class CelExpression(Expression):
    """A compiled CEL expression."""

    def __init__(self, source: str, *, exact: bool) -> None:
        # Most servers have no flow that needs it.
        from hookline_mapping import cel_compile

        self.source = source
        compiled = cel_compile.compiled(source, exact=exact)
        self.references = tuple(Reference(path, optional=not sure) for path, sure in compiled.paths.items())
        self._compiled = compiled

    def evaluate(self, scope: Scope) -> Any:
        """Raises MissingValue, ExpressionFailed and ExpressionLimit."""
        from hookline_mapping.cel_operators import CelBudget

        budget = CelBudget()
        try:
            made = self._compiled.run(scope, budget)
        except ExpressionError:
            raise
        except RecursionError:
            raise ExpressionLimit(f"{self.source}: it is nested too deeply") from None
        except Exception as error:
            raise ExpressionFailed(f"{self.source}: {str(error)[:200]}") from error
        return to_json(made, budget)
