"""The components: everything that a flow can name, with its settings.

A component is an action, a trigger, a block, a scheme, a mapper, or a type of credential. Its settings are read from
the JSON Schema that pydantic generates.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import structs
from pydantic import BaseModel

from hookline.credentials.connector_options import OptionsPage
from hookline.discovery.quality import level_of
from hookline.discovery.registry import PartKind, Registry
from hookline.flows.blocks import USES
from hookline.flows.blocks.step_type import StepType
from hookline.flows.types.action_result import output_text
from hookline.kernel.json import encode
from hookline.model import durations
from hookline.sdk.action import Action
from hookline.sdk.poll import PollTrigger
from hookline.sdk.schemes import Scheme
from hookline.sdk.settings.options_functions import OptionsFunction
from hookline.sdk.triggers import ConnectorTrigger, Trigger
from hookline.service.views.json_field_types import one_of

_NO_OPTIONS: Final[Mapping[str, OptionsFunction]] = {}


class OptionsView(msgspec.Struct, frozen=True):
    """The options that the service offers: `POST /api/v1/components/<name>/options/<setting>` returns them."""

    search: bool
    """True if they can be searched."""
    depends_on: list[str]
    """Other settings on which they depend."""


class SettingView(msgspec.Struct, frozen=True):
    """One setting of a component."""

    name: str
    type: str
    required: bool
    default: Any
    description: str
    options: OptionsView | None = None
    """The options that the service offers for it; null if there are none."""


class ComponentView(msgspec.Struct, frozen=True):
    """An action, trigger, block, scheme, mapper or type of credential."""

    name: str
    kind: Annotated[str, one_of("action", "block", "trigger", "scheme", "mapper", "credential type")]
    """`action`, `block`, `trigger`, `scheme`, `mapper` or `credential type`."""
    title: str
    description: str
    plugin: str
    """The plugin that registers it, with its distribution and version; `the engine` if it belongs to no plugin."""
    settings: list[SettingView]
    credential_types: list[str]
    unavailable: str | None
    """The reason why it can't be used here, with the remedy."""
    output: str = ""
    """The result of an action, in words."""
    idempotent: Annotated[str, one_of("yes", "no", "depends")] | None = None
    """`yes` if an action may run twice, `no` if it may not, `depends` if its settings decide, or null if it isn't
    known."""
    connector: str | None = None
    """The connector of an action or a trigger; null if it has none."""
    quality: Annotated[str, one_of("bronze", "silver", "gold")] | None = None
    """The quality level of its connector: `bronze`, `silver` or `gold`; null below bronze."""
    rate: str | None = None
    """The rate limit with one credential: `50/s`, or `by credential` if the credential determines it."""
    version: int | None = None
    """The version of its settings; null if there was never another. Earlier ones are used as `<name>@<version>`."""
    hosts: list[str] | None = None
    """The hosts to which credentials of this type may be sent: `{field}` is a value of the credential. Empty if only
    the credential names hosts; null if it is sent nowhere, and for other components."""


def component_schema(registry: Registry, kind: str, name: str) -> dict[str, Any] | None:
    """The JSON Schema of a component's settings, or of a credential's values; None if there is no such component."""
    models = settings_models(registry).get(kind, {})
    if name not in models:
        return None
    model = models[name]
    return {"type": "object"} if model is None else _schema(model)


def settings_models(registry: Registry) -> Mapping[str, Mapping[str, type[BaseModel] | None]]:
    """The models of the settings of all components, by kind and name; None for one without settings."""
    parts: Mapping[str, Mapping[str, StepType | Action | Trigger | Scheme[Any, Any]]] = {
        "action": registry.actions,
        "block": USES,
        "trigger": registry.triggers,
        "scheme": registry.schemes,
    }
    models = {kind: {name: part.settings for name, part in named.items()} for kind, named in parts.items()}
    return {**models, "credential type": registry.credential_types}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, schema_generator=durations.FlowJsonSchema)


def component_views(registry: Registry) -> list[ComponentView]:
    """All components, sorted by name."""
    views = [_block(use, block) for use, block in USES.items()]
    own: set[str] = set()
    for connector in registry.connectors.values():
        level = level_of(connector)
        parts = [_action(registry, action) for action in connector.actions.values()]
        parts += [_trigger(registry, registry.triggers[name]) for name in connector.triggers]
        views += [structs.replace(part, connector=connector.name, quality=level) for part in parts]
        own.update(connector.triggers, connector.pinned)
    views += [_trigger(registry, trigger) for name, trigger in registry.triggers.items() if name not in own]
    for scheme in registry.schemes.values():
        takes = (scheme.name,) if scheme.credential is not None else ()
        views.append(_view(registry, "scheme", scheme.name, scheme.title, _doc(scheme), scheme.settings, takes))
    for mapper in registry.mappers.values():
        title = mapper.title or mapper.name
        views.append(_view(registry, "mapper", mapper.name, title, _doc(mapper), None, (), mapper.unavailable))
    for name, model in registry.credential_types.items():
        doc = inspect.cleandoc(model.__doc__ or "")
        view = _view(registry, "credential type", name, doc.partition("\n")[0] or name, doc, model)
        hosts = registry.credential_hosts.get(name)
        views.append(structs.replace(view, hosts=None if hosts is None else list(hosts)))
    return sorted(views, key=lambda view: (view.name, view.kind))


def setting_views(model: type[BaseModel], options: Mapping[str, OptionsFunction] = _NO_OPTIONS) -> list[SettingView]:
    """The fields of a model as JSON names and types. `options`: the options by field."""
    schema = _schema(model)
    definitions = schema.get("$defs", {})
    if "$ref" in schema:  # it is among its own definitions, since some of these contain it
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", ()))
    return [
        SettingView(
            name=name,
            type=type_text(field, definitions),
            required=name in required,
            default=field.get("default"),
            description=field.get("description", ""),
            options=OptionsView(found.searches, found.depends_on) if (found := options.get(name)) else None,
        )
        for name, field in schema.get("properties", {}).items()
    ]


#: The types of JSON Schema in our words; a format says more than the type to which it belongs.
_TYPES: Final = {
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "null": "null",
}
_FORMATS: Final = {"password": "secret", "date-time": "time", "date": "date", "uri": "URL", "binary": "bytes"}


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The type of a JSON Schema in a few words: `text or null`, `list of object`, `"first" or "all"`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions.get(name, {})
        return "any JSON value" if not target else type_text(target, definitions)
    if schema.get("x-hookline") in ("expression", "attachment"):
        return str(schema["x-hookline"])
    if schema.get("x-hookline") == "items" and isinstance(schema.get("items"), dict):
        inside = type_text(schema["items"], definitions)
        return "list or stream" if not schema["items"] else f"list or stream of {inside}"
    if "properties" in schema:
        return "object"
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return _either(type_text(part, definitions) for part in schema[joined])
    if "const" in schema:
        return encode(schema["const"]).decode()
    if "enum" in schema:
        return _either(encode(value).decode() for value in schema["enum"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _either(_TYPES.get(one, str(one)) for one in kind)
    if kind is None:
        return "any JSON value"
    if schema.get("pattern") == durations.PATTERN:
        return "duration"
    if kind == "string" and schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if kind == "array" and isinstance(schema.get("items"), dict) and schema["items"]:
        return f"list of {type_text(schema['items'], definitions)}"
    return _TYPES.get(kind, str(kind))


def _either(texts: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(texts))


def _doc(thing: object) -> str:
    # Without the indentation of the source, which Python itself removes from 3.13 on.
    return inspect.cleandoc(type(thing).__doc__ or "")


def _action(registry: Registry, action: Action) -> ComponentView:
    view = _view(
        registry,
        "action",
        action.name,
        action.summary,
        action.description,
        action.settings,
        action.credential_types,
        action.unavailable,
        action.options,
    )
    known: Mapping[bool | None, str | None] = {True: "yes", False: "no", None: None}
    idempotent = "depends" if callable(action.idempotent) else known[action.idempotent]
    return structs.replace(
        view,
        output=output_text(action),
        idempotent=idempotent,
        rate="by credential" if callable(action.rate) else action.rate,
        version=action.version,
    )


def _block(use: str, block: StepType) -> ComponentView:
    """The view of a block, which steps `use` as they use actions."""
    return ComponentView(
        name=use,
        kind="block",
        title=block.summary,
        description=block.summary,
        plugin="the engine",
        settings=[] if block.settings is None else setting_views(block.settings),
        credential_types=[],
        unavailable=None,
    )


def _trigger(registry: Registry, trigger: Trigger) -> ComponentView:
    own = trigger if isinstance(trigger, ConnectorTrigger) else None
    view = _view(
        registry,
        "trigger",
        trigger.name,
        trigger.title,
        trigger.description or trigger.summary,
        trigger.settings,
        () if own is None else own.credential_types,
        None if own is None else own.unavailable,
        _NO_OPTIONS if own is None else own.options,
    )
    return structs.replace(view, version=trigger.version if isinstance(trigger, PollTrigger) else None)


def _view(
    registry: Registry,
    kind: PartKind,
    name: str,
    title: str,
    description: str,
    model: type[BaseModel] | None,
    credential_types: Sequence[str] = (),
    unavailable: str | None = None,
    options: Mapping[str, OptionsFunction] = _NO_OPTIONS,
) -> ComponentView:
    origin = registry.origin(kind, name)
    return ComponentView(
        name=name,
        kind=kind,
        title=title,
        description=description,
        plugin=str(origin),
        settings=[] if model is None else setting_views(model, options),
        credential_types=list(credential_types),
        unavailable=unavailable,
    )


class OptionsRequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"with_": "with"}):
    """The values on which the options of a setting depend."""

    credential: str | None = None
    """The name of the credential for the request to the service."""
    with_: dict[str, Any] = {}
    """The other settings, as they are in the flow so far."""
    search: str = ""


class OptionView(msgspec.Struct, frozen=True):
    """One option."""

    value: Any
    """The value of the setting."""
    label: str
    """The text for people."""


class OptionsPageView(msgspec.Struct, frozen=True):
    """The options of a setting."""

    items: list[OptionView]
    """At most 1000."""
    more: bool
    """True if there are more; a search finds them, if the setting's `options` allow a search."""


def options_page_view(found: OptionsPage) -> OptionsPageView:
    return OptionsPageView([OptionView(one.value, one.label) for one in found.options], found.more)
