"""Validation with models of plugins, whose own validators may raise any exception, and the texts of its errors.

Pydantic's own texts speak of inputs and of Python's types; ours have the words of JSON.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, SchemaValidator, core_schema

from hookline.kernel.json import is_large

M = TypeVar("M", bound=BaseModel)

PLUGIN_DEFECT: Final = "plugin_defect"
"""The type of a pydantic error that stands for an unexpected exception of a validator."""


def validate_safely(model: type[M], value: Any, context: Any = None) -> M:
    """Return the value as an instance of the model.

    Raises ValidationError, also if a validator of the plugin raises an exception of another type. Of each list and
    object in a large value, it has the first problem only.
    """
    try:
        if is_large(value):
            made: M = fail_fast(model).validate_python(value, context=context)
            return made
        return model.model_validate(value, context=context)
    except ValidationError:
        raise
    except (Exception, SystemExit) as error:
        why = PydanticCustomError(PLUGIN_DEFECT, "the plugin can't judge it: {why}", {"why": type(error).__name__})
        raise ValidationError.from_exception_data(model.__name__, [{"type": why, "loc": (), "input": None}]) from error


def _fail_fast(kind: Any) -> SchemaValidator:
    # Otherwise the models in it would validate as they are.
    return SchemaValidator(_failing_fast(TypeAdapter(kind).core_schema), _use_prebuilt=False)


fail_fast: Final[Callable[[Any], SchemaValidator]] = lru_cache(maxsize=1024)(_fail_fast)
"""Return a validator of a type that stops at the first problem of each list and object.

Pydantic makes all problems in one go, which takes seconds for a large value, and nothing else runs meanwhile.
"""


def _failing_fast(schema: Any) -> Any:
    if type(schema) in (list, tuple):
        return type(schema)(map(_failing_fast, schema))
    if type(schema) is not dict:
        return schema
    made = {key: value if key in _NO_SCHEMAS else _failing_fast(value) for key, value in schema.items()}
    kind = schema.get("type")
    if kind in _MANY:
        made["fail_fast"] = True
    if kind == "model" and schema.get("config", {}).get("extra_fields_behavior") == "forbid":
        reference = {"ref": made.pop("ref")} if "ref" in made else {}
        return {**core_schema.no_info_before_validator_function(_with_few_keys, made), **reference}
    return made


def _with_few_keys(value: Any) -> Any:
    """Return a value as it is. Raises PydanticCustomError if most of its keys are unknown to any model."""
    if isinstance(value, dict) and len(value) > _MOST_READ:
        raise PydanticCustomError("too_many_keys", "it must have fewer keys")
    return value


_MANY: Final = ("list", "tuple", "set", "frozenset", "dict")
#: The parts of core schemas that hold values and data of pydantic's own.
_NO_SCHEMAS: Final = frozenset({"metadata", "default", "expected", "config"})

_MOST_SHOWN: Final = 20
_MOST_READ: Final = 1000


def problems_text(error: ValidationError, *outer: str | int) -> str:
    """Return the problems of the settings of a step in one text: the first of them, and the number of the others.

    `outer`: the place of the value in the settings.
    """
    count = error.error_count()
    if count > _MOST_READ:
        # Pydantic gives all details or none.
        return f"{count:,} values in them are not valid"
    listed = error.errors(include_url=False, include_input=False)
    problems = [f"{place_of(problem, *outer) or 'with'}: {error_text(problem)}" for problem in listed[:_MOST_SHOWN]]
    if count > _MOST_SHOWN:
        problems.append(f"and {count - _MOST_SHOWN:,} more")
    return "; ".join(problems)


def place_of(details: ErrorDetails, *outer: str | int) -> str:
    """Return the place of an error, as `lines.1.sku`; empty for the whole value."""
    return ".".join(str(part) for part in (*outer, *details["loc"]))


def is_plugin_defect(error: ValidationError) -> bool:
    """Return True if the error reports a defect of a plugin and not a problem of the value."""
    return error.error_count() <= _MOST_READ and any(
        one["type"] == PLUGIN_DEFECT for one in error.errors(include_url=False, include_input=False)
    )


_VALUE_OF: Final = {
    "text": ("string_type", "bytes_type", "json_type", "string_unicode", "string_sub_type"),
    "true or false": ("bool_type", "bool_parsing"),
    "a whole number": ("int_type", "int_parsing", "int_from_float"),
    "a number": (
        *("float_type", "float_parsing", "decimal_type", "decimal_parsing", "fraction_type", "fraction_parsing"),
        *("complex_type", "complex_str_parsing"),
    ),
    "a finite number": ("finite_number",),
    "a whole number with fewer digits": ("int_parsing_size",),
    "a list": (
        *("list_type", "tuple_type", "set_type", "frozen_set_type", "deque_type", "iterable_type", "iteration_error"),
        *("arguments_type", "named_tuple_type"),
    ),
    "an object": (
        *("dict_type", "frozen_dict_type", "ordered_dict_type", "counter_type", "mapping_type", "model_type"),
        *("model_attributes_type", "dataclass_type", "dataclass_exact_type"),
    ),
    "null": ("none_required",),
    "a date, as in 2026-01-31": (
        *("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
    ),
    "a date in the past": ("date_past",),
    "a date in the future": ("date_future",),
    "a time of day, as in 08:00:00": ("time_type", "time_parsing"),
    "a time, as in 2026-01-31T08:00:00Z": (
        *("datetime_type", "datetime_parsing", "datetime_object_invalid", "datetime_from_date_parsing"),
    ),
    "a time in the past": ("datetime_past",),
    "a time in the future": ("datetime_future",),
    "a time without a time zone": ("timezone_naive",),
    "a time with a time zone, as in 2026-01-31T08:00:00Z": ("timezone_aware", "timezone_offset"),
    "a duration, as in 90s, 5m, 24h or 7d": ("time_delta_type", "time_delta_parsing"),
    "a URL, as in https://example.com/path": ("url_type", "url_parsing", "url_syntax_violation"),
    "a UUID, as in 019c1310-e400-7516-819f-5a9bbb75811d": ("uuid_type", "uuid_parsing"),
    "JSON": ("json_invalid",),
    "another value: this one contains itself": ("recursion_loop",),
    "nested less deeply": ("recursion_depth_exceeded",),
    "text in ASCII": ("string_not_ascii",),
    "text in another encoding": ("bytes_invalid_encoding",),
    "a list of single values": ("set_item_not_hashable",),
    "an object whose keys are text": ("invalid_key",),
    "left out": (
        *("extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"),
        *("multiple_argument_values",),
    ),
    "left as it is": ("frozen_field", "frozen_instance"),
    "a value that this setting can take": (
        *("is_instance_of", "is_subclass_of", "callable_type", "needs_python_object", "no_such_attribute"),
        *("get_attribute_error", "missing_sentinel_error", "ellipsis_error", "default_factory_not_called"),
    ),
}
_KINDS: Final = {kind: f"it must be {value}" for value, kinds in _VALUE_OF.items() for kind in kinds}

_LIMITS: Final[Mapping[str, str]] = {
    "greater_than": "it must be greater than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "too_short": "it must have at least {min_length} items",
    "too_long": "it must have at most {max_length} items",
    "string_too_short": "it must have at least {min_length} characters",
    "string_too_long": "it must have at most {max_length} characters",
    "string_pattern_mismatch": "it must match the pattern {pattern}",
    "bytes_too_short": "it must have at least {min_length} bytes",
    "bytes_too_long": "it must have at most {max_length} bytes",
    "url_too_long": "it must have at most {max_length} characters",
    "url_scheme": "its scheme must be {expected_schemes}",
    "uuid_version": "it must be a UUID of version {expected_version}",
    "decimal_max_digits": "it must have at most {max_digits} digits",
    "decimal_max_places": "it must have at most {decimal_places} digits after the point",
    "decimal_whole_digits": "it must have at most {whole_digits} digits before the point",
    "literal_error": "it must be one of {expected}",
    "enum": "it must be one of {expected}",
    "union_tag_invalid": "its {discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "its {discriminator} is missing",
}
_ABSENT: Final = frozenset(
    {"missing", "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument"}
)


def error_text(details: ErrorDetails) -> str:
    """Return what must be true of the value; it never contains the value itself."""
    kind, context = details["type"], details.get("ctx", {})
    if kind in _ABSENT:
        return "it is missing"
    if kind in ("value_error", "assertion_error"):
        # The text of a validator.
        return details["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in _LIMITS:
        return _singular(_LIMITS[kind].format_map(_Context(context)))
    # Other types are those of a validator's own errors.
    return _KINDS.get(kind, details["msg"])


class _Context(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


def _singular(text: str) -> str:
    """Return the text with its last word in the singular if it counts one thing."""
    words = text.split(" ")
    return text.removesuffix("s") if len(words) > 1 and words[-2] == "1" and text.endswith("s") else text
