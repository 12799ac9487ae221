"""The table of reach: what each setting may reach outside, and what bounds it. It is made of the declarations."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel
from render import cell

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.model.flow import BLOCKS, ActionStep, CaseDocument, FlowDocument, TriggerDocument
from hookline.model.reach import REACHES, ReachKind, declared_settings
from hookline.model.webhook import Correlate
from hookline.sdk.action import Action
from hookline.server_settings import Settings
from hookline.service.views.components import settings_models

_AUTHOR: Final = "the flow's text, its `vars` and messages"
_AUTHOR_ONLY: Final = "the flow's text and its `vars`"
_TEXT: Final = "the flow's text"
_CHOSEN_BY: Final = {
    "action": _AUTHOR,
    "block": _TEXT,
    "trigger": _AUTHOR_ONLY,
    "scheme": _TEXT,
    "credential type": "an administrator",
}


def kinds() -> str:
    """Each kind of reach: what a setting of that kind may reach, and what bounds it."""
    lines = ["| kind | it may reach | bounded by |", "| --- | --- | --- |"]
    lines += [f"| `{kind}` | {cell(bound.reaches)} | {cell(bound.bounded_by)} |" for kind, bound in REACHES.items()]
    return "\n".join(lines)


def components() -> str:
    """The settings of each action, block, trigger, scheme and type of credential, and the mappers."""
    registry = load_plugins()
    lines = ["| component | settings | kind of reach | chosen by |", "| --- | --- | --- | --- |"]
    for kind, named in settings_models(registry).items():
        for name, model in sorted(named.items()):
            if model is not None and "@" not in name:
                lines += _rows(f"{kind} `{name}`", model, registry, kind, name)
    lines += [f"| mapper `{name}` | the expression | `expression` | {_TEXT} |" for name in sorted(registry.mappers)]
    return "\n".join(lines)


def flows() -> str:
    """The keys of a flow's document that reach something."""
    lines = ["| in | keys | kind of reach |", "| --- | --- | --- |"]
    models = {"the flow": FlowDocument, "its trigger": TriggerDocument, "a step": ActionStep}
    models |= {f"`{key}`": block for key, block in BLOCKS.items()} | {"a case": CaseDocument}
    seen: set[tuple[str, ReachKind]] = set()
    for name, model in (models | {"`correlate`": Correlate}).items():
        own = [one for one in _own(model) if "." not in one[0] and one not in seen]
        # Blocks have some keys of actions, too.
        seen |= set(own) if model is ActionStep else set()
        lines += [f"| {name} | {paths} | `{kind}` |" for kind, paths in _by_kind(own).items()]
    return "\n".join(lines)


def server() -> str:
    """The server's settings that reach something."""
    lines = ["| setting | kind of reach |", "| --- | --- |"]
    return "\n".join(lines + [f"| `{path}` | `{kind}` |" for path, kind in _own(Settings)])


def _own(model: type[BaseModel]) -> Iterator[tuple[str, ReachKind]]:
    for setting in declared_settings(model):
        if setting.reach is not None:
            yield setting.path, setting.reach.kind


def _by_kind(settings: Iterable[tuple[str, Any]]) -> dict[Any, str]:
    found: dict[Any, list[str]] = {}
    for path, kind in settings:
        found.setdefault(kind, []).append(f"`{path}`")
    return {kind: ", ".join(paths) for kind, paths in found.items()}


def _rows(component: str, model: type[BaseModel], registry: Registry, kind: str, name: str) -> Iterator[str]:
    fixed = _from_vars(registry.actions[name]) if kind == "action" else set()
    settings = [(path, (reach, path in fixed)) for path, reach in _own(model)]
    for (reach, is_fixed), paths in _by_kind(settings).items():
        yield f"| {component} | {paths} | `{reach}` | {_AUTHOR_ONLY if is_fixed else _CHOSEN_BY[kind]} |"


def _from_vars(action: Action) -> set[str]:
    """The settings whose expressions may read only `vars`."""
    fields, parameters = action.settings.model_fields, action.parameters
    return {fields[name].alias or name for name, parameter in parameters.items() if parameter in action.from_vars}
