"""The page of each provider, made from the description of its signature scheme, and the list of all providers.

`python docs/render_providers.py` creates the pages of new schemes and removes those of schemes that are gone; cog then
fills them in.
"""

import inspect
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from render_connectors import DOCS, keep_pages

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.json import encode
from hookline.sdk.schemes import Scheme
from hookline.service.views.components import setting_views

PAGES: Final = DOCS / "how-to" / "providers"

_PAGE: Final = """<!-- [[[cog
import render_providers
cog.outl(render_providers.page("{name}"))
]]] -->
<!-- [[[end]]] -->
"""

#: Schemes that don't belong to one provider.
GENERAL = ("api-key", "basic", "bearer", "hmac", "jwt", "standard-webhooks", "svix")

_CERTIFICATE = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 30 -keyout test.key -out test.pem"
#: For schemes of which only the provider has the private key: how to make a key for tests, and the values of its
#: credential.
OWN_KEYS = {
    "discord": ("openssl rand -hex 32 > test.key", "private_key=@test.key"),
    "paypal": (_CERTIFICATE, "webhook_id=test certificate=@test.pem private_key=@test.key"),
    "sendgrid": ("openssl ecparam -name prime256v1 -genkey -noout -out test.key", "private_key=@test.key"),
    "sns": (_CERTIFICATE, "certificate=@test.pem private_key=@test.key"),
}
#: Example bodies of schemes that need a certain form, with the file name and further options of the command.
BODIES = {
    "microsoft-graph": ('{"value": [{"changeType": "created", "resource": "me/messages/1"}]}', "event.json"),
    "sns": ("Hello", "event.txt"),
    "twilio": ("From=%2B15550100&Body=Hello", "event.txt --type application/x-www-form-urlencoded"),
}


def index() -> str:
    """The list of providers, and of the schemes that many senders use."""
    schemes = load_plugins().schemes
    general = [schemes[name] for name in GENERAL]
    providers = sorted(
        (scheme for name, scheme in schemes.items() if name not in GENERAL), key=lambda one: one.title.lower()
    )
    return "\n\n".join(
        [
            "## Providers",
            _list(providers),
            "## Any other sender",
            "These schemes are used by many senders:",
            _list(general),
        ]
    )


def _list(schemes: Iterable[Scheme[Any, Any]]) -> str:
    rows = [f"| [{one.title}](providers/{one.name}.md) | `{one.name}` | {_first_sentence(one)} |" for one in schemes]
    return "\n".join(["| provider | scheme | signature |", "| --- | --- | --- |", *rows])


def _first_sentence(scheme: Scheme[Any, Any]) -> str:
    first = inspect.cleandoc(type(scheme).__doc__ or "").partition("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")


def page(name: str) -> str:
    """The page of one scheme: how to set up the provider, the credential, the settings, a flow, and a test request."""
    scheme = load_plugins().schemes[name]
    flow = f"from-{scheme.name}"
    needs = scheme.credential is not None and scheme.credential_required
    parts = [f"# {scheme.title}", inspect.cleandoc(type(scheme).__doc__ or "")]
    parts.append(
        "[Receive webhooks from a provider](../receive-from-providers.md) explains what all schemes have in common."
    )
    if scheme.credential is not None:
        purpose = "" if needs else ", which only a test request needs"
        parts += ["## Credential", f"The credential has the type `{scheme.name}`{purpose}:"]
        parts.append(_table(scheme.credential, "value"))
    if scheme.credential is not None and needs:
        parts.append(f"    hookline credentials set my-{scheme.name} --type {scheme.name} {_values(scheme.credential)}")
    if scheme.settings.model_fields:
        parts += ["## Settings of `verify`", _table(scheme.settings, "setting")]
    parts += ["## Flow", _flow(scheme, flow, with_credential=needs)]
    if scheme.credential is not None:
        parts += ["## Test request", _test(scheme, scheme.credential, flow)]
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
        return (
            f"Send a test request{with_body}. The request contains the secret itself, which the server never "
            f"shows again, so the command needs it once more:\n\n{command} {values}"
        )
    return f"Send a test request{with_body}:\n\n{command}"


def _test_with_own_key(scheme: Scheme[Any, Any], flow: str, file: str, with_body: str) -> str:
    make, values = OWN_KEYS[scheme.name]
    parts = [
        "Only the provider can make its signatures. Make a key of your own and send a test request"
        f"{with_body}, signed with that key:"
    ]
    commands = [make, f"hookline credentials set my-{scheme.name} --type {scheme.name} {values}"]
    if scheme.credential_required:
        parts.append(_commands(*commands, f"hookline send {flow} {file}"))
        parts.append(
            "Until you set the credential again as shown above, requests of the provider itself are rejected. Delete "
            "the key afterwards."
        )
    else:
        parts.append(_commands(*commands))
        parts.append("A second flow names this credential:")
        parts.append(_flow(scheme, f"{flow}-test", with_credential=True))
        parts.append(_commands(f"hookline send {flow}-test {file}"))
        parts.append("Afterwards remove the second flow, its credential and the key.")
    return "\n\n".join(parts)


def _commands(*lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _values(credential: type[BaseModel]) -> str:
    """The values of a credential on the command line: the first secret from standard input, the others from files."""
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
    """A value as JSON with spaces after commas and colons."""
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


if __name__ == "__main__":
    keep_pages(PAGES, _PAGE, load_plugins().schemes)
