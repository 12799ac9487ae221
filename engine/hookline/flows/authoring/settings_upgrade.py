"""Upgrading settings of older versions in a flow: `hookline fmt --upgrade`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from hookline.discovery.registry import Registry
from hookline.flows.blocks.step_walkers import map_documents
from hookline.flows.elements.expressions import Expressions, Template
from hookline.kernel.errors import Problem, StepError
from hookline.sdk.settings.setting_upgrades import Upgrade


def upgrade_flow(document: Mapping[str, Any], registry: Registry) -> tuple[dict[str, Any], list[Problem]]:
    """The flow with the newest settings, and a problem for each step that can't be upgraded automatically."""
    mappers = document.get("mappers")
    named = [name for name in mappers if isinstance(name, str)] if isinstance(mappers, list) else []
    expressions = Expressions(registry.mappers, named)
    problems: list[Problem] = []

    def changed(step: dict[str, Any], pointer: str, upgrade: Upgrade | None) -> dict[str, Any]:
        if upgrade is None:
            return step
        try:
            return _upgraded(step, upgrade, expressions)
        except StepError as error:
            remedy = "write the newest settings by hand; `hookline components` shows them"
            problems.append(Problem(error.message, f"{pointer}/with", "cannot_upgrade", remedy))
            return step

    def changed_step(step: dict[str, Any], pointer: str) -> dict[str, Any]:
        return changed(step, pointer, getattr(_used(registry.actions, step), "upgrade", None))

    made = dict(document)
    if isinstance(trigger := made.get("trigger"), dict):
        made["trigger"] = changed(trigger, "/trigger", getattr(_used(registry.triggers, trigger), "upgrade", None))
    for key in ("steps", "on_error"):
        if key in made:
            made[key] = map_documents(made[key], f"/{key}", changed_step)
    return made, problems


def _used(components: Mapping[str, Any], step: Mapping[str, Any]) -> Any:
    use = step.get("use")
    return components.get(use) if isinstance(use, str) else None


def _upgraded(step: Mapping[str, Any], upgrade: Upgrade, expressions: Expressions) -> dict[str, Any]:
    """Upgrade a step or trigger. Raises StepError if an upgrade function does more with an expression than move it."""
    given = step.get("with", {})
    if not isinstance(given, dict):
        raise StepError("the settings are not an object")
    template, _ = expressions.template(given)
    wrapped = {name: _wrapped(value, (template.fields or {}).get(name), expressions) for name, value in given.items()}
    settings = {name: _unwrapped(value, expressions) for name, value in upgrade.apply(wrapped).items()}
    made = {**step, "use": f"{upgrade.name}@{upgrade.newest}"}
    return {**made, "with": settings} if settings or "with" in step else made


def _wrapped(value: Any, template: Template | None, expressions: Expressions) -> Any:
    """The value with each of its expressions wrapped, so that it can be moved but not read."""
    if template is None:
        template, _ = expressions.template(value)
    if template.constant and template.value == value:
        return value
    if template.fields is not None and isinstance(value, dict):
        return {key: _wrapped(item, template.fields[key], expressions) for key, item in value.items()}
    if template.items is not None and isinstance(value, list):
        return [_wrapped(item, inner, expressions) for item, inner in zip(value, template.items, strict=True)]
    return _OpaqueExpression(value)


def _unwrapped(value: Any, expressions: Expressions) -> Any:
    kind = type(value)
    if kind is _OpaqueExpression:
        return object.__getattribute__(value, "_value")
    if kind is dict:
        return {key: _unwrapped(item, expressions) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_unwrapped(item, expressions) for item in value]
    template, problems = expressions.template(value)
    # An upgrade function may have made a text that looks like an expression.
    return value if template.constant and not problems else {"literal": value}


def _rejecting(*names: str) -> Iterator[tuple[str, Callable[..., NoReturn]]]:
    def reject(*_: Any) -> NoReturn:
        raise ValueError("the new setting depends on the value of an expression")

    for name in names:
        yield f"__{name}__", reject


class _OpaqueExpression:
    """An expression during an upgrade: upgrade functions can move it, but any other use raises ValueError."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "_value", value)

    def __deepcopy__(self, _: Any) -> "_OpaqueExpression":
        return self

    locals().update(
        _rejecting(
            *("getattr", "getitem", "call", "contains", "iter", "len", "bool", "hash", "str", "repr", "format"),
            *("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul", "mod", "rmod"),
            *("truediv", "rtruediv", "floordiv", "rfloordiv", "or", "ror", "and", "rand", "neg", "abs"),
            *("int", "float", "index"),
        )
    )

    def _type(self) -> NoReturn:
        raise ValueError("the new setting depends on the type of an expression")

    # `isinstance` reads it.
    __class__: Any = property(_type)
