"""Whether settings fit what they are for, as far as that is known before they are evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.expressions import Template
from hookline.kernel.errors import ExpressionError, Problem
from hookline.kernel.pointer import escape, parts_of
from hookline.kernel.safe_validation import is_plugin_defect, validate_safely
from hookline.sdk.action import Action

#: For each type that an expression may be known to give, a value of it.
_SAMPLES: Final[Mapping[type, Any]] = {bool: True, str: "", int: 0, float: 0.5, list: [], dict: {}, type(None): None}


def settings_problems(action: Action, template: Template, fixed_vars: Mapping[str, Any], pointer: str) -> list[Problem]:
    """What is wrong with an action's settings: unknown and missing keys, and values that don't fit.

    Constants, and expressions that read nothing but `vars`, are checked by their values; other expressions by their
    type where it is known.
    """
    unknown: dict[str, type | None] = {}
    value = _known(template, fixed_vars, pointer, unknown)
    problems = _fit(action.settings, value, pointer, {place for place, gives in unknown.items() if gives is None})
    typed = {place for place, gives in unknown.items() if gives is not None}
    chosen = _chosen_by_messages(action, template)
    return [
        *chosen,
        *(problem for problem in problems if problem.pointer not in typed),
        *(
            problem
            for place in sorted(typed - {problem.pointer for problem in chosen})
            if (problem := _type_problem(action.settings, value, pointer, place, unknown[place])) is not None
        ),
    ]


def remedy_if_none_fits(
    action: Action, template: Template, fixed_vars: Mapping[str, Any], pointer: str, place: str, values: Sequence[Any]
) -> str | None:
    """The remedy where none of some values can be right at a place in the settings; None where one of them may be."""
    remedy: str | None = None
    for value in values:
        whole = _known(template, fixed_vars, pointer, {})
        parts = parts_of(place.removeprefix(pointer))
        inner = whole
        for part in parts[:-1]:
            inner = inner[part]
        inner[parts[-1]] = value
        found = _type_problem(action.settings, whole, pointer, place, type(value))
        if found is None:
            return None
        remedy = found.remedy
    return remedy


def _chosen_by_messages(action: Action, template: Template) -> list[Problem]:
    """Settings that a message could choose and must not."""
    fields = template.fields or {}
    return [
        Problem(
            f"{name!r} may read 'vars' and nothing else, so that no message can choose it",
            field.pointer,
            "not_from_vars",
            f"write it out, or declare it in the flow's vars: $.vars.{name}",
        )
        for name in sorted(action.from_vars & fields.keys())
        for field in (fields[name],)
        if not field.constant and not _reads_vars_alone(field)
    ]


def _reads_vars_alone(template: Template) -> bool:
    # What an expression without references reads isn't known: `$..url` goes through the whole scope.
    return all(
        expression.references and all(reference.path[:1] == ("vars",) for reference in expression.references)
        for _, expression in template.parts()
    )


def _known(template: Template, fixed_vars: Mapping[str, Any], pointer: str, unknown: dict[str, type | None]) -> Any:
    """The value, as far as it is known; what stands for the rest is noted in `unknown` with its type."""
    if template.constant:
        return template.value
    if template.fields is not None:
        return {
            key: _known(field, fixed_vars, f"{pointer}/{escape(key)}", unknown)
            for key, field in template.fields.items()
        }
    if _reads_vars_alone(template):
        try:
            return template.evaluate({"vars": fixed_vars})
        except ExpressionError:
            # It reads more than it says, or a var that doesn't exist: then nothing is known of it here.
            pass
    unknown[pointer] = template.gives
    return _SAMPLES.get(template.gives) if template.gives is not None else None


def _fit(model: type[BaseModel], value: Any, pointer: str, unknown: set[str]) -> list[Problem]:
    try:
        validate_safely(model, value)
    except ValidationError as error:
        # Where something isn't known, a validator may have stumbled over what stands for it.
        return [] if unknown and is_plugin_defect(error) else model_problems(model, value, pointer, error, unknown)
    return []


def _type_problem(model: type[BaseModel], value: Any, pointer: str, place: str, gives: type | None) -> Problem | None:
    try:
        validate_safely(model, value)
    except ValidationError as error:
        parts = place.removeprefix(f"{pointer}/").split("/")
        kinds = [
            details["type"]
            for details in error.errors(include_url=False, include_input=False)
            if [escape(part) for part in details["loc"][: len(parts)]] == parts
        ]
        # A sample says nothing of lengths or formats: only that no value of its type can be right.
        if kinds and all(kind.endswith("_type") for kind in kinds):
            found = [each for each in model_problems(model, value, pointer, error) if each.pointer == place]
            remedy = found[0].remedy if found else "give a value of another type"
            return Problem(f"this gives {_KINDS.get(gives, 'a value')}, which doesn't fit", place, "wrong_type", remedy)
    return None


_KINDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    str: "text",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
