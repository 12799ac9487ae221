"""`hookline credentials set|list|show|verify|authorize|delete|rotate|new-key`."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.client import call
from hookline.cli.command import CommandGroup, emit, with_pending
from hookline.cli.table import table
from hookline.kernel.errors import ConfigError
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup)
def credentials() -> None:
    """Manage the credentials that flows use: named, typed and encrypted."""


@credentials.command("set", settings=_SETTINGS)
@click.argument("name")
@click.option("--type", "type_", metavar="TYPE", help="The name of a scheme or a connector; all is replaced.")
@click.option(
    "--flow",
    "flows",
    multiple=True,
    metavar="ID",
    help="A flow that may use it, or a pattern such as 'billing-*'; may be repeated. '*' stands for all flows.",
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host to which it may be sent, such as api.example.com or '*.example.com'; may be repeated. '' stands for "
    "none besides those that its type names.",
)
@click.argument("values", nargs=-1, metavar="KEY=VALUE…")
def set_credential(
    name: str,
    type_: str | None,
    flows: tuple[str, ...],
    hosts: tuple[str, ...],
    values: tuple[str, ...],
    as_json: bool,
    settings: Settings,
) -> None:
    """Create or replace a credential; without --type, change only what is named of an existing one.

    A value is given on the command line, in a file (key=@path), or on standard input (key=-), where a terminal asks for
    it. A repeated key makes a list. `hookline components TYPE` lists the keys of a type. Values on the command line are
    kept in the shell's history and visible to other users of the machine; values in files and on standard input aren't.
    """
    body: dict[str, Any] = {"values": read_values(values)}
    body |= {"flows": list(flows)} if flows else {}
    body |= {"hosts": [host for host in hosts if host]} if hosts else {}
    if type_ is not None:
        made = call(settings, "PUT", "credentials", name, body={"type": type_, **body}, missing="created")
    elif values or flows or hosts:
        made = call(settings, "PATCH", "credentials", name, body=body)
    else:
        raise click.UsageError("give --type with all values, or what to change: values, --flow or --host")
    missing = (made["tokens"] or {}).get("problem")
    done = "set" if type_ is not None else "changed"
    said = "\n".join(
        [f"credential {name} of type {made['type']} is {done}", *made["warnings"], *([missing] if missing else [])]
    )
    shown = {"name": name, "type": made["type"], "pending": made["pending"]}
    emit(shown, as_json=as_json, text=lambda: with_pending(said, made))


@credentials.command("list", settings=_SETTINGS)
def list_credentials(as_json: bool, settings: Settings) -> None:
    """List the credentials, without their secrets."""
    found = call(settings, "GET", "credentials")["items"]

    def text() -> str:
        rows = [
            (
                one["name"],
                one["type"],
                one["updated_at"],
                ", ".join(one["flows"]) or "all",
                ", ".join(one["hosts"]),
                _tokens(one["tokens"]),
                _problem(one),
            )
            for one in found
        ]
        columns = ("name", "type", "changed", "flows", "hosts", "tokens", "problem")
        return table(columns, rows, texts=("flows", "hosts", "tokens", "problem"))

    emit(found, as_json=as_json, text=text)


@credentials.command("show", settings=_SETTINGS)
@click.argument("name")
def show_credential(name: str, as_json: bool, settings: Settings) -> None:
    """Show a credential, without its secrets."""
    found = call(settings, "GET", "credentials", name)
    rows = {
        "type": found["type"],
        "changed": found["updated_at"],
        "flows": ", ".join(found["flows"]) or "all",
        "hosts": ", ".join(found["hosts"]) or "those that its type names",
        "used by": ", ".join(found["used_by"]) or "no flow",
        "tokens": _tokens(found["tokens"]),
        "problem": _problem(found),
    }

    def text() -> str:
        return "\n".join(f"{key}: {value}" for key, value in rows.items() if value)

    emit(found, as_json=as_json, text=text)


@credentials.command("verify", settings=_SETTINGS)
@click.argument("name")
@click.pass_context
def verify_credential(ctx: click.Context, name: str, as_json: bool, settings: Settings) -> None:
    """Ask the service of a credential whether it accepts it.

    Exit code 1 if it doesn't, and if the type of the credential can't be verified.
    """
    found = call(settings, "POST", "credentials", name, "verify")
    words = {"valid": "works", "failed": "can't be used", "unknown": "is not verified"}
    emit(found, as_json=as_json, text=lambda: f"credential {name} {words[found['state']]}: {found['message']}")
    if found["state"] != "valid":
        ctx.exit(1)


@credentials.command("authorize", settings=_SETTINGS)
@click.argument("name")
@click.option(
    "--redirect-uri",
    metavar="URI",
    help="Listen for the redirect at this address of this machine, such as http://127.0.0.1:8765/…",
)
@click.option("--open", "open_", is_flag=True, help="Also open the address in a browser of this machine.")
@click.pass_context
def authorize_credential(
    ctx: click.Context, name: str, redirect_uri: str | None, open_: bool, as_json: bool, settings: Settings
) -> None:
    """Authorize a credential with OAuth 2, and keep the tokens that the service returns.

    Prints the address to open in a browser, and waits at most ten minutes until its user has agreed. The client that
    the service knows must allow the redirect URI: /oauth/callback of the running server, under its public_url, or
    without a server /oauth/callback at a free port of 127.0.0.1. With --json there are two lines: the address, and the
    result.
    """
    from hookline.cli.operate.credential_authorization import authorize

    def begun(made: Mapping[str, Any]) -> None:
        emit(made, as_json=as_json, text=lambda: f"open this address in a browser, and agree there:\n\n{made['url']}\n")
        sys.stdout.flush()
        if open_:
            click.launch(made["url"])

    done = asyncio.run(authorize(settings, name, redirect_uri, begun))
    emit(done, as_json=as_json, text=lambda: with_pending(done["message"], done))
    if done["state"] != "done":
        ctx.exit(1)


@credentials.command("delete", settings=_SETTINGS)
@click.argument("name")
def delete_credential(name: str, as_json: bool, settings: Settings) -> None:
    """Delete a credential."""
    deleted = call(settings, "DELETE", "credentials", name)
    emit(deleted, as_json=as_json, text=lambda: with_pending(f"credential {name} is deleted", deleted))


@credentials.command("rotate", settings=_SETTINGS)
@click.option("--master", is_flag=True, required=True, help="Rotate the key that encrypts credentials.")
def rotate_credentials(master: bool, as_json: bool, settings: Settings) -> None:
    """Encrypt all credentials with the first of the keys in HOOKLINE_SECRET_KEY.

    Put a new key in front of the old one, restart the server, rotate, and then remove the old key.
    """
    done = call(settings, "POST", "credentials", "rotate")
    said = f"{counted(done['rotated'], 'credential')} had an older key; all are encrypted with the first key now"
    if not done["retired"]:
        said += "\nkeep the older keys: a node or a message may still use one; rotate again later"
    emit(done, as_json=as_json, text=lambda: with_pending(said, done))


@credentials.command("new-key", settings=_SETTINGS, remote=False)
def new_key(as_json: bool, settings: Settings) -> None:
    """Give up a key that is lost for good: use the key in HOOKLINE_SECRET_KEY, or else make a new `secret.key`.

    What the lost key has encrypted stays unreadable: credentials have to be set again. Stop all nodes first.
    """
    from hookline.cli.options_from_settings import key_file
    from hookline.secrets.encryption import load_or_create_key, read_keys

    if settings.secret_key is not None:
        asyncio.run(_give_up_other_keys(settings, read_keys(settings.secret_key.get_secret_value())))
        text = "the key in HOOKLINE_SECRET_KEY is used from now on; start the server"
        emit({"file": None}, as_json=as_json, text=lambda: text)
        return
    file = key_file(settings)
    if file.exists():
        raise ConfigError(f"there is a key in {file}; `hookline credentials rotate --master` changes keys")
    keys = load_or_create_key(file)
    try:
        asyncio.run(_give_up_other_keys(settings, keys))
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    emit({"file": str(file)}, as_json=as_json, text=lambda: f"{file} has a new key; start the server")


async def _give_up_other_keys(settings: Settings, keys: Sequence[bytes]) -> None:
    """Let the database need no other keys than these. Raises ConfigError if nodes serve it, and StoreError."""
    from hookline.cli.actor import local_user
    from hookline.credentials.database_keys import give_up_other_keys
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.kernel.clocks import SystemClock
    from hookline.secrets.encryption import Vault

    if settings.sqlite_file is None or settings.sqlite_file.exists():
        clock = SystemClock()
        backend = load_plugins().backend(settings.db, clock)
        await give_up_other_keys(backend, Vault(keys).ids, clock, by=local_user())


def _tokens(tokens: Mapping[str, Any] | None) -> str:
    if tokens is None:
        return ""
    words = {
        "valid": "valid",
        "renewable": "expired, renewed when used",
        "on_demand": "requested when used",
        "missing": "none",
        "lost": "lost",
    }
    until = f" until {tokens['expires_at']}" if tokens["state"] == "valid" and tokens["expires_at"] else ""
    return words[tokens["state"]] + until


def _problem(credential: Mapping[str, Any]) -> str:
    tokens = credential["tokens"] or {}
    return credential["problem"] or tokens.get("problem") or "; ".join(credential["warnings"])


def read_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Return the values of `key=value`, `key=@file` and `key=-`. Raises UsageError, which never shows a value."""
    values: dict[str, Any] = {}
    stdin_used = False
    for number, pair in enumerate(pairs, start=1):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"value {number} isn't written as key=value")
        if value == "-":
            if stdin_used:
                raise click.UsageError("standard input can be read for one key only")
            stdin_used = True
            value = _asked(key) if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
        elif value.startswith("@"):
            value = _read(key, Path(value[1:]))
        known = values.get(key)
        if known is None:
            values[key] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            values[key] = [known, value]
    return values


def _asked(key: str) -> str:
    answer: str = click.prompt(key, default="", show_default=False, hide_input=True, err=True)
    return answer


def _read(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"{key}: the file {path} isn't text") from None
    except OSError as error:
        raise click.UsageError(f"{key}: the file {path} can't be read: {error.strerror}") from error
