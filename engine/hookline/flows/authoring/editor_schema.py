"""The JSON Schema of flows with the installed components, for completion and checks in editors."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from hookline.discovery.registry import Registry
from hookline.flows.blocks import USES
from hookline.flows.blocks.step_type import StepType
from hookline.flows.elements.expressions import RESERVED
from hookline.model.expression_setting_types import EXPRESSION_SCHEMA
from hookline.model.flow import BLOCKS, STEPS, ActionStep, FlowDocument
from hookline.sdk.action import Action
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import ConnectorTrigger, RequestTrigger, Trigger, WebhookTrigger

_EXPRESSION: Final = {"$ref": "#/$defs/Expression"}
_STEP: Final = {"$ref": "#/$defs/Step"}
_STEPS: Final = frozenset(step.__name__ for step in STEPS)
#: Keys of a schema whose values are not schemas.
_VALUES: Final = frozenset({"default", "const", "enum", "examples", "required"})
#: Keys that restrict a value. A schema without any accepts everything.
_LIMITS: Final = ("type", "anyOf", "oneOf", "allOf", "enum", "const", "$ref")


def flow_schema(registry: Registry) -> str:
    """The schema as JSON text. It is the same for the same components."""
    return json.dumps(_document(registry), indent=1, ensure_ascii=False) + "\n"


def _document(registry: Registry) -> dict[str, Any]:
    document: dict[str, Any] = _plain(FlowDocument.model_json_schema(by_alias=True))
    definitions: dict[str, Any] = document.pop("$defs")
    definitions["Expression"] = _expression(registry.mappers)
    definitions["Step"] = _step(definitions)
    definitions["Verify"] = _verify(registry.schemes)
    offered = [(action.name, action.summary) for action in registry.actions.values()]
    _offer(definitions["ActionStep"], sorted([*offered, *((use, block.summary) for use, block in USES.items())]))
    definitions["ActionStep"]["allOf"] = [
        _where("use", action.name, _action(action, definitions)) for action in registry.actions.values()
    ] + [_where("use", use, _block(use, block, definitions)) for use, block in USES.items()]
    _offer(definitions["TriggerDocument"], ((each.name, each.summary) for each in registry.triggers.values()))
    definitions["TriggerDocument"]["allOf"] = [
        _where("use", trigger.name, _trigger(trigger, definitions)) for trigger in registry.triggers.values()
    ]
    others = sorted(registry.mappers.keys() - set(RESERVED))
    document["properties"]["mappers"]["items"] = {"enum": others} if others else False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A Hookline flow",
        **document,
        "$defs": dict(sorted(definitions.items())),
    }


def _plain(schema: Any) -> Any:
    """A schema without generated titles, and without defaults that pydantic writes in another form than flows do."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema == EXPRESSION_SCHEMA:
        return _EXPRESSION
    if isinstance(schema.get("oneOf"), list) and all(
        each.get("$ref", "").rpartition("/")[2] in _STEPS for each in schema["oneOf"]
    ):
        return _STEP
    duration = "pattern" in schema and str(schema.get("default", "")).startswith("P")
    return {
        key: value if key in _VALUES else _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and duration)
    }


def _expression(mappers: Iterable[str]) -> dict[str, Any]:
    def named(name: str) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: {"type": "string"}, "default": {"description": "The value if the result is missing."}},
            "required": [name],
            "additionalProperties": False,
        }

    literal = {
        "type": "object",
        "properties": {"literal": {"description": "This value, unchanged."}},
        "required": ["literal"],
        "additionalProperties": False,
    }
    return {
        "description": "JSONPath ($.body.id), Jinja ({{ body.id }}), or an object that names the language.",
        "anyOf": [
            {"type": "string", "pattern": r"^\$($|[.\[])|\{\{|\{%"},
            literal,
            *(named(name) for name in sorted({*mappers, *RESERVED} - {"literal"})),
        ],
    }


def _step(definitions: Mapping[str, Any]) -> dict[str, Any]:
    kinds: dict[str, type[BaseModel]] = {"use": ActionStep, **BLOCKS}
    chosen: dict[str, Any] = {"$ref": f"#/$defs/{ActionStep.__name__}"}
    for key, block in reversed(BLOCKS.items()):
        chosen = {"if": {"required": [key]}, "then": {"$ref": f"#/$defs/{block.__name__}"}, "else": chosen}
    return {
        "type": "object",
        # The keys are also listed here, so that editors offer them before one is chosen.
        "properties": {key: {"description": definitions[kind.__name__]["description"]} for key, kind in kinds.items()},
        **chosen,
    }


def _offer(definition: dict[str, Any], names: Iterable[tuple[str, str]]) -> None:
    """Restrict `use` to these names, each with its description."""
    use = definition["properties"]["use"]
    use.pop("type", None)
    use["oneOf"] = [{"const": name, "description": text} if text else {"const": name} for name, text in names]


def _where(key: str, value: str, then: Mapping[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _action(action: Action, definitions: dict[str, Any]) -> dict[str, Any]:
    settings = _settings(action.settings, action.name, definitions)
    for name in list(definitions):
        if name.startswith(f"{action.name}."):
            definitions[name] = _open(definitions[name])
    then: dict[str, Any] = {"properties": {"with": _open(settings)}}
    required = ["with"] if settings.get("required") else []
    required += ["credential"] if action.needs_credential else []
    if required:
        then["required"] = required
    if not action.credential_types:
        then["properties"]["credential"] = {"type": "null"}
    return then


def _block(use: str, block: StepType, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a step that uses a block. Its settings are only expressions if they are declared so."""
    properties: dict[str, Any] = dict.fromkeys(block.rejects, False)
    if block.settings is None:
        return {"properties": properties}
    settings = _settings(block.settings, f"{use}-step", definitions)
    _refer_to_verify(settings, f"{use}-step", definitions)
    then: dict[str, Any] = {"properties": {"with": settings, **properties}}
    if settings.get("required") or settings.get("anyOf"):
        then["required"] = ["with"]
    return then


def _refer_to_verify(settings: dict[str, Any], name: str, definitions: dict[str, Any]) -> None:
    """Replace the schema of `verify` by a reference to the shared one."""
    if definitions.pop(f"{name}.Verify", None) is not None:
        described = settings["properties"]["verify"].get("description", "")
        settings["properties"]["verify"] = {"$ref": "#/$defs/Verify", "description": described}


def _trigger(trigger: Trigger, definitions: dict[str, Any]) -> dict[str, Any]:
    settings = _settings(trigger.settings, trigger.name, definitions)
    if isinstance(trigger, RequestTrigger):
        _refer_to_verify(settings, trigger.name, definitions)
    elif isinstance(trigger, WebhookTrigger):
        # Its own settings may read vars.
        own, properties = trigger.own_names(), settings.get("properties", {})
        opened = _open({"properties": {key: each for key, each in properties.items() if key in own}})
        settings = settings | {"properties": properties | opened["properties"]}
    else:
        # The settings may read vars.
        settings = _open(settings)
        for name in [each for each in definitions if each.startswith(f"{trigger.name}.")]:
            definitions[name] = _open(definitions[name])
    takes = isinstance(trigger, ConnectorTrigger) and bool(trigger.credential_types)
    then: dict[str, Any] = {"properties": {"with": settings} | ({} if takes else {"credential": {"type": "null"}})}
    required = ["with"] if settings.get("required") else []
    required += ["credential"] if isinstance(trigger, ConnectorTrigger) and trigger.needs_credential else []
    return then | {"required": required} if required else then


def _verify(schemes: Mapping[str, Scheme[Any, Any]]) -> dict[str, Any]:
    scheme = {
        "oneOf": [
            {"const": "none", "description": "Requests are not verified: anyone who knows the URL can send."},
            *({"const": name, "description": each.title} for name, each in schemes.items()),
        ]
    }
    short = ["none", *(name for name, each in schemes.items() if not _needs_credential(each))]
    cases = [_where("scheme", "none", {"properties": {"scheme": True}, "additionalProperties": False})]
    cases += [_where("scheme", name, _scheme(each)) for name, each in schemes.items()]
    # `if` instead of `anyOf`, so that a problem is reported within the chosen form.
    return {
        "if": {"type": "string"},
        "then": {"enum": short},
        "else": {
            "type": "object",
            "properties": {
                "scheme": scheme,
                "credential": {"type": "string", "description": "The name of the credential with its secret."},
            },
            "required": ["scheme"],
            "allOf": cases,
        },
    }


def _needs_credential(scheme: Scheme[Any, Any]) -> bool:
    return scheme.credential is not None and scheme.credential_required


def _scheme(scheme: Scheme[Any, Any]) -> dict[str, Any]:
    settings = _inline(_plain(scheme.settings.model_json_schema(by_alias=True)))
    allowed: dict[str, Any] = {"scheme": True, **settings.get("properties", {})}
    required = list(settings.get("required", ()))
    if scheme.credential is not None:
        allowed["credential"] = True
    if _needs_credential(scheme):
        required.append("credential")
    then: dict[str, Any] = {"properties": allowed, "additionalProperties": False}
    return then | {"required": required} if required else then


def _settings(model: type[BaseModel], name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A model's schema. Its definitions are added to the document's, under the component's name."""
    schema: dict[str, Any] = _plain(model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}.{{model}}"))
    definitions |= {f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()}
    # The description of the step is used instead of that of the generated model.
    schema.pop("description", None)
    return schema


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its references replaced by the definitions, which must not be recursive."""
    definitions = schema.pop("$defs", {})

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            rest = {key: item for key, item in value.items() if key != "$ref"}
            return {**put(definitions[value["$ref"].rpartition("/")[2]]), **rest}
        return {key: item if key in _VALUES else put(item) for key, item in value.items()}

    placed: dict[str, Any] = put(schema)
    return placed


def _open(schema: Any) -> Any:
    """A schema of settings in which each value may also be an expression."""
    if not isinstance(schema, dict):
        return schema
    opened = dict(schema)
    if "properties" in schema:
        opened["properties"] = {key: _value(each) for key, each in schema["properties"].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            opened[key] = _value(schema[key])
    if "prefixItems" in schema:
        opened["prefixItems"] = [_value(each) for each in schema["prefixItems"]]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            opened[key] = [_open(each) for each in schema[key]]
    if schema.get("type") == "string" and "enum" not in schema and "const" not in schema:
        # Numbers are converted if text is needed.
        opened["type"] = ["string", "number"]
    return opened


def _value(schema: Any) -> Any:
    if not isinstance(schema, dict) or not any(limit in schema for limit in _LIMITS):
        return schema
    notes = {key: schema[key] for key in ("description", "default") if key in schema}
    limits = _open({key: value for key, value in schema.items() if key not in notes})
    alternatives = limits["anyOf"] if limits.keys() == {"anyOf"} else [limits]
    return {**notes, "anyOf": [*alternatives, _EXPRESSION]}
