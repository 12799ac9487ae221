"""The generated part of the page on providers: a section for each scheme, made of what it says of itself."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hookline.discovery import discover
from hookline.jsontypes import encode
from hookline.scheme import Scheme
from hookline.service.components import inputs

#: Ways of verifying that are nobody's own.
GENERAL = ("api-key", "basic", "bearer", "hmac", "jwt", "standard-webhooks", "svix")


def sections() -> str:
    """What is on the page, and then each provider, and each scheme that many senders use."""
    schemes = discover().schemes
    general = [schemes[name] for name in GENERAL]
    providers = sorted(
        (scheme for name, scheme in schemes.items() if name not in GENERAL), key=lambda one: one.title.lower()
    )
    parts = [
        f"Providers: {_links(providers)}.",
        f"Any other sender: {_links(general)}.",
        *map(_section, [*providers, *general]),
    ]
    return "\n\n".join(parts)


def _links(schemes: Iterable[Scheme[Any, Any]]) -> str:
    return ", ".join(
        f"[{one.title}](#{re.sub(r'[^a-z0-9 -]', '', one.title.lower()).replace(' ', '-')})" for one in schemes
    )


def _section(scheme: Scheme[Any, Any]) -> str:
    flow = f"from-{scheme.name}"
    verify: dict[str, Any] = {"scheme": scheme.name}
    if scheme.credential is not None:
        verify["credential"] = f"my-{scheme.name}"
    verify |= {
        name: _example(scheme, name) for name, field in scheme.settings.model_fields.items() if field.is_required()
    }
    parts = [f"## {scheme.title}", inspect.cleandoc(type(scheme).__doc__ or "")]
    if scheme.credential is not None:
        parts.append(f"The credential, of type `{scheme.name}`:")
        parts.append(_table(scheme.credential, "value"))
        parts.append(f"    hookline credentials set my-{scheme.name} --type {scheme.name} {_values(scheme.credential)}")
    if scheme.settings.model_fields:
        parts.append("Settings of `verify`:")
        parts.append(_table(scheme.settings, "setting"))
    parts.append(
        "```json\n"
        "{\n"
        f'  "id": "{flow}",\n'
        '  "trigger": {"use": "webhook", "with": {"verify": ' + _spaced(verify) + "}},\n"
        '  "steps": [{"id": "seen", "use": "log", "with": {"message": "{{ body }}"}}]\n'
        "}\n"
        "```"
    )
    if scheme.credential is not None:
        parts.append(_trial(scheme, scheme.credential, flow))
    return "\n\n".join(parts)


def _trial(scheme: Scheme[Any, Any], credential: type[BaseModel], flow: str) -> str:
    chosen = scheme.settings.model_construct(
        **{
            name: field.get_default() if not field.is_required() else None
            for name, field in scheme.settings.model_fields.items()
        }
    )
    shows = scheme.secret_headers(chosen) or scheme.secret_query(chosen) or scheme.secret_fields(chosen)
    command = f"    hookline send {flow} event.json"
    if shows:
        values = " ".join(f"--secret {value}" for value in _values(credential).split(" "))
        return (
            "Try it without the sender, with the secret at hand, since a server doesn't give it back:\n\n"
            f"{command} {values}"
        )
    if "private_key" in credential.model_fields:
        return f"Try it without the sender, where the credential has a `private_key`:\n\n{command}"
    return f"Try it without the sender:\n\n{command}"


def _values(credential: type[BaseModel]) -> str:
    """What the command line says of a credential: the first secret from standard input, and the rest from files."""
    fields = credential.model_fields
    names = [name for name, field in fields.items() if field.is_required()] or list(fields)[:1]
    kinds = {one.name: one.type for one in inputs(credential)}
    shown = []
    stdin = "-"
    for name in names:
        secret = "secret" in kinds[name]
        shown.append(f"{name}={stdin if secret and stdin else f'@{name}.txt' if secret else '…'}")
        if secret:
            stdin = ""
    return " ".join(shown)


def _example(scheme: Scheme[Any, Any], name: str) -> Any:
    examples = scheme.settings.model_fields[name].examples
    if not examples:
        raise ValueError(f"scheme {scheme.name!r}: the setting {name!r} is required, and has no example")
    return examples[0]


def _spaced(value: Any) -> str:
    """JSON as people write it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": {_spaced(one)}' for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_spaced, value)) + "]"
    return encode(value).decode()


def _table(model: type[BaseModel], word: str) -> str:
    lines = [f"| {word} | type | default | meaning |", "| --- | --- | --- | --- |"]
    for one in inputs(model):
        default = "required" if one.required else f"`{encode(one.default).decode()}`"
        cells = (f"`{one.name}`", one.type, default, one.description)
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
