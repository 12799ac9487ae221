"""`hookline credentials set|list|verify|authorize|rm|rotate`."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.command import CommandGroup, emit, table
from hookline.config import Settings

#: Where credentials are, and what they are encrypted with.
_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup)
def credentials() -> None:
    """The secrets that flows use: named, typed and encrypted."""


@credentials.command("set", settings=_SETTINGS)
@click.argument("name")
@click.option("--type", "type_", required=True, metavar="TYPE", help="A scheme's or a connector's name.")
@click.argument("values", nargs=-1, metavar="KEY=VALUE…")
def set_credential(name: str, type_: str, values: tuple[str, ...], as_json: bool, settings: Settings) -> None:
    """Make or replace a credential.

    A value stands on the line, in a file (key=@path), or comes from standard input (key=-). A key that is repeated
    makes a list. `hookline components TYPE` shows which keys a type has. What stands on the line is kept by the
    shell's history and seen by other users of the machine; files and standard input aren't.
    """
    made = asyncio.run(_put(settings, name, type_, read_values(values)))
    missing = (made["tokens"] or {}).get("problem")
    said = f"credential {name} of type {type_} is set" + (f"\n{missing}" if missing else "")
    emit({"name": name, "type": type_}, as_json=as_json, text=lambda: said)


@credentials.command("list", settings=_SETTINGS)
def list_credentials(as_json: bool, settings: Settings) -> None:
    """The credentials, without their secrets."""
    found = asyncio.run(_list(settings))

    def text() -> str:
        rows = [(one["name"], one["type"], one["updated_at"], _tokens(one["tokens"]), _problem(one)) for one in found]
        return table(("name", "type", "changed", "tokens", "problem"), rows)

    emit(found, as_json=as_json, text=text)


@credentials.command("verify", settings=_SETTINGS)
@click.argument("name")
@click.pass_context
def verify_credential(ctx: click.Context, name: str, as_json: bool, settings: Settings) -> None:
    """Ask the service of a credential whether it takes it.

    Exit code 1 where it doesn't, and where nobody can say it: the type has no way to verify it.
    """
    found = asyncio.run(_verify(settings, name))
    words = {"well": "works", "failed": "can't be used", "unknown": "is not verified"}
    emit(found, as_json=as_json, text=lambda: f"credential {name} {words[found['state']]}: {found['message']}")
    if found["state"] != "well":
        ctx.exit(1)


@credentials.command("authorize", settings=_SETTINGS)
@click.argument("name")
@click.option(
    "--redirect-uri",
    metavar="URI",
    help="Listen there for the redirect, in place of the server or of any free port: http://127.0.0.1:8765/…",
)
@click.option("--open", "open_", is_flag=True, help="Open the address in a browser of this machine, too.")
@click.pass_context
def authorize_credential(
    ctx: click.Context, name: str, redirect_uri: str | None, open_: bool, as_json: bool, settings: Settings
) -> None:
    """Let somebody authorize a credential with OAuth 2, and keep the tokens that the service gives.

    Prints the address to open in a browser, and waits until its user has agreed there, ten minutes at most. The client
    that the service knows has to allow the redirect: to /oauth/callback of the server where one runs, under its
    public_url; otherwise to /oauth/callback at a free port of 127.0.0.1. With --json there are two lines: where to
    authorize, and what became of it.
    """
    from hookline.cli.operate.authorization import authorize

    def begun(made: Mapping[str, Any]) -> None:
        emit(made, as_json=as_json, text=lambda: f"open this address in a browser, and agree there:\n\n{made['url']}\n")
        sys.stdout.flush()
        if open_:
            click.launch(made["url"])

    done = asyncio.run(authorize(settings, name, redirect_uri, begun))
    emit(done, as_json=as_json, text=lambda: done["message"])
    if done["state"] != "done":
        ctx.exit(1)


@credentials.command("rm", settings=_SETTINGS)
@click.argument("name")
def remove_credential(name: str, as_json: bool, settings: Settings) -> None:
    """Remove a credential."""
    asyncio.run(_drop(settings, name))
    emit({"name": name}, as_json=as_json, text=lambda: f"credential {name} is removed")


@credentials.command("rotate", settings=_SETTINGS)
@click.option("--master", is_flag=True, required=True, help="The key that encrypts credentials; none other is rotated.")
def rotate_credentials(master: bool, as_json: bool, settings: Settings) -> None:
    """Encrypt all credentials with the first of the keys in HOOKLINE_SECRET_KEY.

    Put a new key in front of the old one, restart the server, rotate, and then take the old key away.
    """
    rotated = asyncio.run(_rotate(settings))
    emit({"rotated": rotated}, as_json=as_json, text=lambda: f"{rotated} credentials are encrypted anew")


def _tokens(tokens: Mapping[str, Any] | None) -> str:
    if tokens is None:
        return ""
    words = {
        "valid": "hold",
        "renewable": "expired, and renewed when used",
        "on_demand": "got when used",
        "missing": "none",
        "lost": "lost",
    }
    until = f" until {tokens['expires_at']}" if tokens["state"] == "valid" and tokens["expires_at"] else ""
    return words[tokens["state"]] + until


def _problem(credential: Mapping[str, Any]) -> str:
    tokens = credential["tokens"] or {}
    return credential["problem"] or tokens.get("problem") or ""


def read_values(pairs: Sequence[str]) -> dict[str, Any]:
    """The values of `key=value`, `key=@file` and `key=-`. Raises click.UsageError, which never shows a value."""
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
            value = sys.stdin.read().removesuffix("\n")
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


def _read(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"{key}: the file {path} isn't text") from None
    except OSError as error:
        raise click.UsageError(f"{key}: the file {path} can't be read: {error.strerror}") from error


async def _put(settings: Settings, name: str, type_: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        await held.put_credential(name, type_, values)
        # Somebody may have removed it meanwhile.
        return next((one for one in await held.credentials() if one["name"] == name), {"tokens": None})


async def _list(settings: Settings) -> list[Mapping[str, Any]]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.credentials()


async def _verify(settings: Settings, name: str) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.verify_credential(name)


async def _drop(settings: Settings, name: str) -> None:
    from hookline.cli.access import access

    async with access(settings) as held:
        await held.drop_credential(name)


async def _rotate(settings: Settings) -> int:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.rotate_credentials()
