"""Validation with models of plugins, whose own validators may raise any exception."""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

M = TypeVar("M", bound=BaseModel)

PLUGIN_DEFECT: Final = "plugin_defect"
"""The type of a pydantic error that stands for an unexpected exception of a validator."""


def validate_safely(model: type[M], value: Any, context: Any = None) -> M:
    """Return the value as an instance of the model.

    Raises ValidationError, also if a validator of the plugin raises an exception of another type.
    """
    try:
        return model.model_validate(value, context=context)
    except ValidationError:
        raise
    except (Exception, SystemExit) as error:
        why = PydanticCustomError(PLUGIN_DEFECT, "the plugin can't judge it: {why}", {"why": type(error).__name__})
        raise ValidationError.from_exception_data(model.__name__, [{"type": why, "loc": (), "input": None}]) from error


def is_plugin_defect(error: ValidationError) -> bool:
    """Return True if the error reports a defect of a plugin and not a problem of the value."""
    return any(one["type"] == PLUGIN_DEFECT for one in error.errors(include_url=False, include_input=False))
