"""Problems, with their places and remedies, from the validation errors of pydantic models."""

import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hookline.flows.documents.value_fixes import converted, duration, renamed
from hookline.kernel.errors import Problem
from hookline.kernel.plugin_model_validation import error_text
from hookline.kernel.pointers_and_patches import Patch, adding, escape, removing, value_at
from hookline.kernel.suggestions_and_counts import nearest_name, question, unknown_name
from hookline.model.flow import BLOCKS, ERROR_CODE, FLOW_ID, STEP_ID, STEPS, FlowDocument

#: The remedy for each pattern of the document's model.
_PATTERNS: Final[Mapping[str, str]] = {
    FLOW_ID: "use lower-case letters, digits and single dashes, as in paypal-to-accounting",
    STEP_ID: "use lower-case letters, digits and underscores, beginning with a letter, as in order_lines",
    ERROR_CODE: "write an error code such as http.503, or http.* for all that begin with http",
    r"^[1-9][0-9]*/(s|m|h)$": "write a count per second, minute or hour: 10/s, 600/m or 5000/h",
}

#: The keys that give the kind of a step: each step has one of them.
_KINDS: Final = ("use", *BLOCKS)
_STEP_KEYS: Final = frozenset(info.alias or name for model in STEPS for name, info in model.model_fields.items())


def model_problems(
    model: type[BaseModel], value: Any, pointer: str, error: ValidationError, unknown: Collection[str] = ()
) -> list[Problem]:
    """The problems behind a ValidationError of `model` for `value`, which is at `pointer`.

    Errors at or below the pointers in `unknown` are left out, because the values there aren't known yet.
    """
    faults = [
        (details, _place(model, value, details["loc"], pointer))
        for details in error.errors(include_url=False)
        if not _is_echo(details)
    ]
    misspelt = {
        (place.rpartition("/")[0], nearest_name(str(details["loc"][-1]), _known(model, details)))
        for details, place in faults
        if details["type"] == "extra_forbidden"
    }
    grouped: dict[tuple[str, str | None], list[Problem]] = {}
    for details, place in faults:
        key = str(details["loc"][-1]) if details["type"] in ("missing", "extra_forbidden") else None
        if details["type"] == "missing" and (place, key) in misspelt:
            # It is there under a misspelt name: that is one problem, not two.
            continue
        about_a_value = details["type"] != "extra_forbidden"
        if about_a_value and any(place == other or place.startswith(f"{other}/") for other in unknown):
            continue
        # All alternatives of a union report errors for one value: that is one problem.
        grouped.setdefault((place, key), []).append(_problem(model, details, place))
    return [_joined(problems) for problems in grouped.values()]


def document_problems(value: Any, error: ValidationError, steps: Collection[str]) -> list[Problem]:
    """The problems of a whole flow document with steps at these pointers."""
    problems = model_problems(FlowDocument, value, "", error)
    vague = {problem.pointer: problem for problem in problems if _lacks_its_kind(problem, value, steps)}
    kept = [problem for problem in problems if problem.pointer not in vague and not _follows_from(problem, vague)]
    return kept + [_kindless(pointer, value_at(value, pointer)) for pointer in vague]


def _lacks_its_kind(problem: Problem, value: Any, steps: Collection[str]) -> bool:
    if problem.code != "missing_key" or problem.pointer not in steps:
        return False
    step = value_at(value, problem.pointer)
    return isinstance(step, dict) and not any(kind in step for kind in _KINDS)


def _follows_from(problem: Problem, vague: Collection[str]) -> bool:
    parent, _, key = problem.pointer.rpartition("/")
    return (
        problem.code == "unknown_key"
        and parent in vague
        and (key in _STEP_KEYS or nearest_name(key, _KINDS) is not None)
    )


def _kindless(pointer: str, step: Mapping[str, Any]) -> Problem:
    remedy = f'add "use" with the name of an action, or the key of a block: {_listed(BLOCKS)}'
    fix = adding(f"{pointer}/use", "")
    for key in step:
        if (near := nearest_name(key, _KINDS)) is not None:
            remedy = f"instead of {key!r}, {question(near)}"
            fix = (Patch("move", f"{pointer}/{near}", from_=f"{pointer}/{escape(key)}"),)
            break
    message = f"this step has none of the keys {', '.join(_KINDS[:-1])} and {_KINDS[-1]}"
    return Problem(message, pointer, "missing_key", remedy, fix=fix)


def _listed(keys: Iterable[str]) -> str:
    *others, last = (f'"{key}"' for key in keys)
    return f"{', '.join(others)} or {last}"


def _place(model: type[BaseModel], value: Any, loc: Sequence[str | int], pointer: str) -> str:
    """The pointer of the innermost value on an error's path.

    Alternatives of unions and missing keys are part of an error's path, but not of the document; they are skipped.
    """
    for part, names_alternative, _ in _walk(model, loc):
        if names_alternative:
            continue
        if isinstance(value, dict) and part in value:
            value, pointer = value[str(part)], f"{pointer}/{escape(str(part))}"
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value, pointer = value[part], f"{pointer}/{part}"
    return pointer


def _is_echo(details: ErrorDetails) -> bool:
    """Return whether pydantic reports a list as too short only because of invalid items, which it reports as well."""
    context = details.get("ctx", {})
    return (
        details["type"] == "too_short"
        and isinstance(details["input"], list)
        and len(details["input"]) >= context.get("min_length", 0)
    )


def _problem(model: type[BaseModel], details: ErrorDetails, pointer: str) -> Problem:
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    loc = details["loc"]
    if kind == "missing":
        key = str(loc[-1])
        description = next((text for name, text in _keys(model, loc[:-1]) if name == key and text), "")
        fix = adding(f"{pointer}/{escape(key)}", _empty(_within_all(model, loc)))
        remedy = f"add it: {description}".strip(": ")
        return Problem(f"the key {key!r} is missing", pointer, "missing_key", remedy, fix=fix)
    if kind == "extra_forbidden":
        key = str(loc[-1])
        known = _known(model, details)
        listed = f"the keys here are {', '.join(known)}" if known else "remove it; no keys are allowed here"
        found = unknown_name(f"there is no key {key!r} here", pointer, "unknown_key", key, known, listed)
        return found if found.similar else replace(found, fix=removing(pointer))
    shown = _shown(given)
    fix = converted(kind, given, pointer)
    if kind == "string_pattern_mismatch" and (pattern := str(context.get("pattern"))) in _PATTERNS:
        fix = renamed(pattern, given, pointer)
        return Problem(f"{shown} is not valid", pointer, "invalid_value", _PATTERNS[pattern], fix=fix)
    if kind == "value_error":
        remedy = str(context.get("error", details["msg"]))
        fix = duration(given, pointer) if timedelta in _within_all(model, loc) else ()
        return Problem(f"{shown} is not valid", pointer, "invalid_value", remedy, fix=fix)
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")]
        remedy = f"use one of {', '.join(choices)}"
        message, near = f"{shown} is not one of the allowed values", None
        if isinstance(given, str) and (near := nearest_name(given, choices)):
            remedy = f"{question(near)} {remedy}"
        written = given if near else None
        return Problem(message, pointer, "invalid_value", remedy, unknown=written, similar=near)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return Problem(f"{shown} is not an object", pointer, "invalid_value", "write an object: {…}")
    if kind in ("list_type", "tuple_type"):
        return Problem(f"{shown} is not a list", pointer, "invalid_value", "write a list: […]", fix=fix)
    return Problem(f"{shown} is not valid", pointer, "invalid_value", error_text(details), fix=fix)


def _joined(problems: Sequence[Problem]) -> Problem:
    first = problems[0]
    remedies = dict.fromkeys(problem.remedy for problem in problems)
    if len(remedies) == 1:
        return first
    fix = next((problem.fix for problem in problems if problem.fix), ())
    near = next((problem for problem in problems if problem.similar), first)
    return replace(first, remedy="; or ".join(remedies), unknown=near.unknown, similar=near.similar, fix=fix)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _known(model: type[BaseModel], details: ErrorDetails) -> list[str]:
    return sorted({name for name, _ in _keys(model, details["loc"][:-1])})


def _keys(model: type[BaseModel], loc: Iterable[str | int]) -> Iterator[tuple[str, str | None]]:
    """Yield the keys, with their descriptions, that an object at an error's path may have."""
    for option in _within_all(model, list(loc)):
        if _is_model(option):
            for name, info in option.model_fields.items():
                yield info.alias or name, info.description


def _walk(model: type[BaseModel], loc: Iterable[str | int]) -> Iterator[tuple[str | int, bool, list[Any]]]:
    """Yield each part of an error's path, whether it is an alternative of a union, and the annotations there."""
    here: list[Any] = [model]
    for part in loc:
        named = [option for option in here if len(here) > 1 and _is_model(option) and option.__name__ == part]
        inner = named or [each for option in here for found in _within(option, part) for each in _alternatives(found)]
        # pydantic's names of types and validators lead nowhere.
        here = inner or here
        yield part, bool(named), here


def skeleton(model: type[BaseModel], key: str) -> Any:
    """Return an empty value of the type that a key has, to be filled in."""
    return _empty(_within_all(model, (key,)))


def _within_all(model: type[BaseModel], loc: Sequence[str | int]) -> list[Any]:
    """The annotations of the value at an error's path."""
    here: list[Any] = [model]
    for _, _, inner in _walk(model, loc):
        here = inner
    return here


def _empty(annotations: Sequence[Any]) -> Any:
    """An empty value of the first of these types that has one; otherwise an empty text."""
    for annotation in annotations:
        if typing.get_origin(annotation) is typing.Literal:
            return typing.get_args(annotation)[0]
        kind = typing.get_origin(annotation) or annotation
        if isinstance(kind, type) and (issubclass(kind, BaseModel) or kind in (dict, Mapping)):
            return {}
        if kind in (list, tuple, frozenset, set, Sequence):
            return []
        if kind in (bool, int, float):
            return kind()
    return ""


def _within(annotation: Any, part: str | int) -> Iterator[Any]:
    """Yield the annotations of the value under a key or an index."""
    if _is_model(annotation):
        for name, info in annotation.model_fields.items():
            if part == (info.alias or name):
                yield info.annotation
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(part, int) and origin in (list, tuple):
        yield from (argument for argument in arguments if argument is not Ellipsis)
    elif isinstance(part, str) and origin is dict:
        yield arguments[1]


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the alternatives of a union; for other annotations, the annotation itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _alternatives(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _alternatives(argument)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
