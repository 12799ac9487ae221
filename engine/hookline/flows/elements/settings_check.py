"""The check of an action's settings, as far as their values are known before the flow runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hookline.flows.documents.model_problems import model_problems, skeleton
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.fixed_origin import has_fixed_origin, reads_vars_alone
from hookline.kernel.errors import ExpressionError, Problem
from hookline.kernel.plugin_model_validation import is_plugin_defect, validate_safely
from hookline.kernel.pointers_and_patches import adding, escape, parts_of, removing
from hookline.model.reach import declared_settings
from hookline.model.webhook import is_steering_header
from hookline.sdk.action import Action

#: A sample value of each type that an expression may be known to give.
_SAMPLES: Final[Mapping[type, Any]] = {bool: True, str: "", int: 0, float: 0.5, list: [], dict: {}, type(None): None}


def settings_problems(action: Action, template: Template, fixed_vars: Mapping[str, Any], pointer: str) -> list[Problem]:
    """The problems of an action's settings: unknown and missing keys, and invalid values.

    Constants, and expressions that read only `vars`, are checked by their values; other expressions by their type, if
    it is known.
    """
    unknown: dict[str, type | None] = {}
    value = _known(template, fixed_vars, pointer, unknown)
    problems = _fit(action.settings, value, pointer, {place for place, gives in unknown.items() if gives is None})
    typed = {place for place, gives in unknown.items() if gives is not None}
    # An expression at a key that doesn't exist is wrong whatever it gives.
    misplaced = {problem.pointer for problem in problems if problem.code == "unknown_key"}
    chosen = [*_chosen_by_messages(action, template), *_headers_chosen_by_messages(action, template)]
    return [
        *chosen,
        *_not_together(action, template, pointer),
        *(problem for problem in problems if problem.pointer not in typed or problem.pointer in misplaced),
        *(
            problem
            for place in sorted(typed - misplaced - {problem.pointer for problem in chosen})
            if (problem := _type_problem(action.settings, value, pointer, place, unknown[place])) is not None
        ),
    ]


def remedy_if_none_fits(
    action: Action, template: Template, fixed_vars: Mapping[str, Any], pointer: str, place: str, values: Sequence[Any]
) -> str | None:
    """The remedy if none of some values is valid at a place in the settings; None if one of them may be valid."""
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


def _not_together(action: Action, template: Template, pointer: str) -> list[Problem]:
    """Problems of settings of which only one may be given."""
    fields, found = template.fields or {}, list[Problem]()
    for name, mark in action.either.items():
        names = (name, *mark.others)
        given = [each for each in names if each in fields and not _left_out(action, each, fields[each])]
        listed = f"{', '.join(f'`{each}`' for each in names[:-1])} or `{names[-1]}`"
        if not given and mark.required and template.fields is not None:
            message, remedy = f"one of {listed} is missing", f"give either {listed}"
            fix = adding(f"{pointer}/{escape(name)}", skeleton(action.settings, name))
            found.append(Problem(message, pointer, "missing_key", remedy, fix=fix))
        elif len(given) > 1:
            # An expression may give null, which counts as not given.
            sure = all(fields[each].constant or fields[each].gives not in (None, type(None)) for each in given)
            both = " and ".join(f"`{each}`" for each in given)
            remedy = f"give one of them: {listed}"
            message = f"{both} are given, but only one of them is allowed"
            at = fields[given[1]].pointer
            severity: Literal["error", "warning"] = "error" if sure else "warning"
            found.append(Problem(message, at, "settings_conflict", remedy, severity, fix=removing(at)))
    return found


def _left_out(action: Action, name: str, field: Template) -> bool:
    """Return whether a setting is null by default and null here."""
    if not field.constant or field.value is not None:
        return False
    return any(info.alias == name and info.default is None for info in action.settings.model_fields.values())


def _chosen_by_messages(action: Action, template: Template) -> list[Problem]:
    """Problems of settings that must not depend on messages but do."""
    fields = template.fields or {}
    return [
        Problem(
            f"{name!r} may only read 'vars', so that no message can choose its value",
            field.pointer,
            "not_from_vars",
            f"write the value, or declare it in the flow's vars: $.vars.{name}",
        )
        for name in sorted(action.from_vars & fields.keys())
        for field in (fields[name],)
        if not field.constant and not reads_vars_alone(field)
    ]


def _headers_chosen_by_messages(action: Action, template: Template) -> Iterator[Problem]:
    """Problems of headers whose names, or whose values that steer others, a message could choose."""
    for name, field in (template.fields or {}).items():
        steering = _STEERING.get(_reach_of(action, name))
        if steering is None or field.constant or field.gives is str:
            continue
        if field.fields is None:
            yield Problem(
                f"the names in {name!r} must stand in the flow, so that no message can add one",
                field.pointer,
                "header_names_not_written",
                'write an object whose values may be expressions: {"X-Order": "$.body.order"}',
            )
        for header, value in (field.fields or {}).items():
            if steering(header) and not has_fixed_origin(value):
                yield Problem(
                    f"the header {header!r} steers others, so that no message may choose its value",
                    value.pointer,
                    "not_from_vars",
                    "write the value, declare it in the flow's vars, or begin it with a URL's scheme and host",
                )


def _reach_of(action: Action, name: str) -> str | None:
    """The reach of a setting that has named values."""
    found = next((one for one in declared_settings(action.settings) if one.path == name), None)
    return found.reach.kind if found is not None and found.reach is not None and _has_names(found.annotation) else None


def _has_names(annotation: Any) -> bool:
    return get_origin(annotation) in (dict, Mapping) or any(map(_has_names, get_args(annotation)))


_STEERING: Final[Mapping[str | None, Callable[[str], bool]]] = {
    "response_header": is_steering_header,
    # The server behind an address finds its site by it.
    "request_header": lambda name: name.lower() == "host",
}


def _known(template: Template, fixed_vars: Mapping[str, Any], pointer: str, unknown: dict[str, type | None]) -> Any:
    """The value, with samples for the unknown parts. Adds the pointer and the type of each of these to `unknown`."""
    if template.constant:
        return template.value
    if template.fields is not None:
        return {
            key: _known(field, fixed_vars, f"{pointer}/{escape(key)}", unknown)
            for key, field in template.fields.items()
        }
    if reads_vars_alone(template):
        try:
            return template.evaluate({"vars": fixed_vars})
        except ExpressionError:
            # It reads more than its references say, or a var that doesn't exist: its value is unknown.
            pass
    unknown[pointer] = template.gives
    return _SAMPLES.get(template.gives) if template.gives is not None else None


def _fit(model: type[BaseModel], value: Any, pointer: str, unknown: set[str]) -> list[Problem]:
    try:
        validate_safely(model, value)
    except ValidationError as error:
        # If some values are unknown, a validator may have failed on a sample.
        return [] if unknown and is_plugin_defect(error) else model_problems(model, value, pointer, error, unknown)
    return []


def _type_problem(model: type[BaseModel], value: Any, pointer: str, place: str, gives: type | None) -> Problem | None:
    try:
        validate_safely(model, value)
    except ValidationError as error:
        parts = parts_of(place)[len(parts_of(pointer)) :]
        kinds = [
            details["type"]
            for details in error.errors(include_url=False, include_input=False)
            if [str(part) for part in details["loc"][: len(parts)]] == parts
        ]
        # A sample only shows that no value of its type is valid. It says nothing about lengths or formats.
        if kinds and all(kind.endswith("_type") for kind in kinds):
            found = [each for each in model_problems(model, value, pointer, error) if each.pointer == place]
            remedy = found[0].remedy if found else "give a value of another type"
            return Problem(
                f"this gives {_KINDS.get(gives, 'a value')}, which is not valid here", place, "wrong_type", remedy
            )
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
