"""Judging values by models that plugins bring, whose own validators may raise anything."""

from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

M = TypeVar("M", bound=BaseModel)

DEFECT: Final = "plugin_defect"
"""The type of a pydantic error that stands for what a validator raised and mustn't."""


def judged(model: type[M], value: Any, context: Any = None) -> M:
    """The value as an instance of a model. Raises ValidationError, whatever a validator of the plugin's own raises."""
    try:
        return model.model_validate(value, context=context)
    except ValidationError:
        raise
    except (Exception, SystemExit) as error:
        why = PydanticCustomError(DEFECT, "the plugin can't judge it: {why}", {"why": type(error).__name__})
        raise ValidationError.from_exception_data(model.__name__, [{"type": why, "loc": (), "input": None}]) from error


def is_defect(error: ValidationError) -> bool:
    """Whether it says that a plugin has a defect, and nothing of the value."""
    return any(one["type"] == DEFECT for one in error.errors(include_url=False, include_input=False))
