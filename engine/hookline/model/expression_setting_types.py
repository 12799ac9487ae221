"""The types of values in documents that may be expressions, with their JSON Schemas."""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import WithJsonSchema

EXPRESSION_SCHEMA: Final = {"x-hookline": "expression"}
"""The placeholder in the models' JSON Schema for an expression, which depends on the installed mappers."""

ConditionExpression: TypeAlias = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "boolean"}, EXPRESSION_SCHEMA]})]
"""True, false, or an expression that results in one of them."""
ListExpression: TypeAlias = Annotated[Any, WithJsonSchema({"anyOf": [{"type": ["array", "null"]}, EXPRESSION_SCHEMA]})]
"""A list, null, or an expression that results in one of them."""
TextExpression: TypeAlias = Annotated[
    Any, WithJsonSchema({"anyOf": [{"type": ["string", "number", "null"]}, EXPRESSION_SCHEMA]})
]
"""A text, a number, null, or an expression that results in one of them."""
ObjectExpression: TypeAlias = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "object"}, EXPRESSION_SCHEMA]})]
"""An object, or an expression that results in one."""
