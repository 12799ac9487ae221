"""The generated part of the page on providers: a section for each scheme, made of what it says of itself."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from hookline.discovery.loader import load_plugins
from hookline.kernel.json import encode
from hookline.sdk.schemes import Scheme
from hookline.service.views.components import setting_views

#: Ways of verifying that are nobody's own.
GENERAL = ("api-key", "basic", "bearer", "hmac", "jwt", "standard-webhooks", "svix")

_CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 30 -keyout test.key -out test.pem"
#: Where only the provider can sign: how to make a key of one's own, and what the credential then holds.
OWN_KEYS = {
    "discord": ("openssl rand -hex 32 > test.key", "private_key=@test.key"),
    "paypal": (_CERTIFICATE, "webhook_id=test certificate=@test.pem private_key=@test.key"),
    "sendgrid": ("openssl ecparam -name prime256v1 -genkey -noout -out test.key", "private_key=@test.key"),
    "sns": (_CERTIFICATE, "certificate=@test.pem private_key=@test.key"),
}
#: Bodies that have to have a shape, with the file's name and what the command says besides.
BODIES = {
    "microsoft-graph": ('{"value": [{"changeType": "created", "resource": "me/messages/1"}]}', "event.json"),
    "sns": ("Hello", "event.txt"),
    "twilio": ("From=%2B15550100&Body=Hello", "event.txt --type application/x-www-form-urlencoded"),
}


def sections() -> str:
    """What is on the page, and then each provider, and each scheme that many senders use."""
    schemes = load_plugins().schemes
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
    needs = scheme.credential is not None and scheme.credential_required
    parts = [f"## {scheme.title}", inspect.cleandoc(type(scheme).__doc__ or "")]
    if scheme.credential is not None:
        purpose = "" if needs else ", which only a test request needs"
        parts.append(f"The credential, of type `{scheme.name}`{purpose}:")
        parts.append(_table(scheme.credential, "value"))
    if scheme.credential is not None and needs:
        parts.append(f"    hookline credentials set my-{scheme.name} --type {scheme.name} {_values(scheme.credential)}")
    if scheme.settings.model_fields:
        parts.append("Settings of `verify`:")
        parts.append(_table(scheme.settings, "setting"))
    parts.append(_flow(scheme, flow, with_credential=needs))
    if scheme.credential is not None:
        parts.append(_test(scheme, scheme.credential, flow))
    return "\n\n".join(parts)


def _flow(scheme: Scheme[Any, Any], flow: str, *, with_credential: bool) -> str:
    verify: dict[str, Any] = {"scheme": scheme.name}
    if with_credential:
        verify["credential"] = f"my-{scheme.name}"
    verify |= {
        name: _example(scheme, name) for name, field in scheme.settings.model_fields.items() if field.is_required()
    }
    settings = _spaced({"verify": verify} | ({} if scheme.json_as is None else {"body": "json"}))
    return (
        "```json\n"
        "{\n"
        f'  "id": "{flow}",\n'
        f'  "trigger": {{"use": "webhook", "with": {settings}}},\n'
        '  "steps": [{"id": "seen", "use": "log", "with": {"message": "received", "fields": {"body": "$.body"}}}]\n'
        "}\n"
        "```"
    )


def _test(scheme: Scheme[Any, Any], credential: type[BaseModel], flow: str) -> str:
    chosen = scheme.settings.model_construct(
        **{
            name: field.get_default() if not field.is_required() else None
            for name, field in scheme.settings.model_fields.items()
        }
    )
    shows = scheme.secret_headers(chosen) or scheme.secret_query(chosen) or scheme.secret_fields(chosen)
    body, file = BODIES.get(scheme.name, ("", "event.json"))
    command = f"    hookline send {flow} {file}"
    with_body = f" with a body such as `{body}`" if body else ""
    if scheme.name in OWN_KEYS:
        return _test_with_own_key(scheme, flow, file, with_body)
    if shows:
        values = " ".join(f"--secret {value}" for value in _values(credential).split(" "))
        given = " and" if body else ""
        return (
            f"Try it without the sender,{with_body}{given} with the secret at hand, since a server doesn't give it "
            f"back:\n\n{command} {values}"
        )
    with_body = f",{with_body}" if body else ""
    return f"Try it without the sender{with_body}:\n\n{command}"


def _test_with_own_key(scheme: Scheme[Any, Any], flow: str, file: str, with_body: str) -> str:
    make, values = OWN_KEYS[scheme.name]
    given = " and" if with_body else ""
    parts = [
        f"Nobody else can sign as the sender does. Try it without the sender,{with_body}{given} with a key of your own:"
    ]
    commands = [make, f"hookline credentials set my-{scheme.name} --type {scheme.name} {values}"]
    if scheme.credential_required:
        parts.append(_commands(*commands, f"hookline send {flow} {file}"))
        parts.append(
            "What the sender itself signs is rejected meanwhile. Then set the credential again, as further above, and "
            "delete the key."
        )
    else:
        parts.append(_commands(*commands))
        parts.append("A second flow names that credential:")
        parts.append(_flow(scheme, f"{flow}-test", with_credential=True))
        parts.append(_commands(f"hookline send {flow}-test {file}"))
        parts.append("Then remove this second flow, its credential and the key.")
    return "\n\n".join(parts)


def _commands(*lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _values(credential: type[BaseModel]) -> str:
    """What the command line says of a credential: the first secret from standard input, and the rest from files."""
    fields = credential.model_fields
    names = [name for name, field in fields.items() if field.is_required()] or list(fields)[:1]
    kinds = {one.name: one.type for one in setting_views(credential)}
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
    for one in setting_views(model):
        default = "required" if one.required else f"`{encode(one.default).decode()}`"
        cells = (f"`{one.name}`", one.type, default, one.description)
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
