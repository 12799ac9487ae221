"""`hookline login URL`, `hookline logout PROFILE` and `hookline open [EXECUTION]`."""

import asyncio
import os
import re
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click

from hookline.cli.client import ApiError, connect
from hookline.cli.client.http import http_client
from hookline.cli.client.profiles import Profile, profiles_file, read_profiles, remove_profile, store_profile
from hookline.cli.client.remote_choice import REMOTE, TOKEN, check_secure, checked_token, server_url
from hookline.cli.command import Command, NotFound, emit
from hookline.cli.operate.shortened_execution_ids import full_id
from hookline.cli.printable_text import printable
from hookline.kernel.errors import ConfigError
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.server_settings import Settings

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_WIDEST: Final = ("admin", "author", "operate", "read")
"""The scopes, each of which includes those after it."""
_BROWSER: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables that say that there is a browser. Without them, one for text might take the terminal of the command."""


@click.command(cls=Command, needs_settings=False)
@click.argument("url", metavar="URL")
@click.option("--profile", metavar="NAME", help="The name of the profile; by default the name of the host.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    help="A file with the token; - is standard input. By default, HOOKLINE_TOKEN is used, or the token is asked for.",
)
@click.option(
    "--insecure", is_flag=True, help="Allow plain http to another machine; anybody on the network can read the token."
)
def login(url: str, profile: str | None, token_file: Path | None, insecure: bool, as_json: bool) -> None:
    """Store a token for a remote server as a profile. URL is the address of the server's admin API.

    The token is checked first. The name of the profile is a value of --remote and HOOKLINE_REMOTE. Profiles are stored
    in ~/.config/hookline/profiles.json, or in the folder that XDG_CONFIG_HOME names; only you can read the file.
    `hookline tokens create` on the server creates tokens.
    """
    place = server_url(url, "URL")
    name = profile or _name_of(place)
    if not _NAME.match(name):
        raise ConfigError(f"--profile {name!r}: a name has letters, digits, dots, dashes and underscores")
    check_secure(place, insecure=insecure)
    token = _token(token_file)
    me = asyncio.run(_me(place, token))
    plain = urlsplit(place).scheme == "http"
    file = store_profile(name, Profile(place, token, insecure=insecure and plain))
    value = {"profile": name, "url": place, "file": str(file), **me}

    def text() -> str:
        return (
            f"signed in to {place} {_described(me)}\nprofile {name} is in {file}; use it with --remote {name}, or set "
            f"{REMOTE}={name}"
        )

    emit(value, as_json=as_json, text=text)


@click.command(cls=Command, needs_settings=False)
@click.argument("profile")
def logout(profile: str, as_json: bool) -> None:
    """Remove PROFILE, with its token, from this machine. The token stays valid until it is revoked."""
    known = read_profiles()
    if not remove_profile(profile):
        near = did_you_mean(profile, known, "`hookline login` stores one")
        raise NotFound(f"there is no profile {profile!r} in {profiles_file()} ({near})")
    emit({"profile": profile}, as_json=as_json, text=lambda: f"profile {profile} is removed")


@click.command(cls=Command, settings=("db",))
@click.argument("execution", required=False)
def open(execution: str | None, as_json: bool, settings: Settings) -> None:
    """Open the console of the running server, signed in with the token of this command. EXECUTION: show this one.

    The link is printed, and is opened in a browser if there is one and the output is a terminal. It can be used once,
    within 10 minutes. An id may be shortened to its beginning or its end.
    """
    link = asyncio.run(_link(settings, execution))
    emit(link, as_json=as_json, text=lambda: f"{link['url']}\nvalid once, until {link['expires_at']}")
    if not as_json and sys.stdout.isatty() and _has_browser() and link["url"].startswith(("http://", "https://")):
        webbrowser.open(link["url"])


def _name_of(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").replace(":", "-").strip("-")
    return host if parts.port is None else f"{host}-{parts.port}"


def _token(file: Path | None) -> str:
    """Return the token. Raises ConfigError if there is none, or if it can't be one."""
    if file is not None:
        place, token = _read(file)
    elif os.environ.get(TOKEN, "").strip():
        place, token = TOKEN, os.environ[TOKEN]
    elif sys.stdin.isatty():
        place, token = "the answer", click.prompt("Token", hide_input=True, err=True)
    else:
        raise ConfigError(
            f"there is no terminal to ask for the token: add --token-file FILE (- is standard input), or set {TOKEN}"
        )
    return checked_token(token, place)


def _read(file: Path) -> tuple[str, str]:
    if str(file) == "-":
        return "standard input", sys.stdin.read()
    try:
        return str(file), file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} has no token: it isn't text") from None
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from None


async def _me(url: str, token: str) -> Mapping[str, Any]:
    """Return the holder of a token. Raises ApiError and StoreError."""
    async with http_client(url, token, proxies=True) as client:
        try:
            me: Mapping[str, Any] = await client.get("me")
        except ApiError as error:
            if error.status != 401:
                raise
            message = f"{url} doesn't accept the token; `hookline tokens create` on the server creates one"
            raise ApiError(message, error.error_code, status=error.status) from None
    if not isinstance(me, dict) or not {"name", "scopes", "flows", "expires"} <= me.keys():
        raise ConfigError(f"{url} is not a Hookline server; give the URL of the admin API")
    return me


def _described(me: Mapping[str, Any]) -> str:
    scope = next((one for one in _WIDEST if one in me["scopes"]), "none")
    limited = "" if me["flows"] is None else f", for the flows {', '.join(me['flows'])}"
    until = "" if me["expires"] is None else f", until {me['expires']}"
    return printable(f"with token {me['name']}: scope {scope}{limited}{until}")


async def _link(settings: Settings, execution: str | None) -> Mapping[str, Any]:
    """Return a sign-in link. Raises ApiError, StoreError, and NoServer if no server runs."""
    no_server = "the console is a page of a running server: start one with `hookline serve`"
    async with connect(settings, server_only=no_server) as client:
        execution_id = None if execution is None else await full_id(client, execution)
        made: Mapping[str, Any] = await client.post("sign-in-links", body={"execution_id": execution_id})
        return made


def _has_browser() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _BROWSER)
