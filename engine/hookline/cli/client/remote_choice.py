"""The remote server that a command is for: `--remote`, or the variable HOOKLINE_REMOTE."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hookline.cli.client.profiles import Profile, profiles_file, read_profiles
from hookline.kernel.errors import ConfigError
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.server_settings import Settings

REMOTE: Final = "HOOKLINE_REMOTE"
TOKEN: Final = "HOOKLINE_TOKEN"  # noqa: S105 - the name of the variable
_SCHEMES: Final = ("http", "https")


class Remote(msgspec.Struct, frozen=True):
    """A remote server."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"


class RemoteSettings(Settings):
    """The settings of a command for a remote server, besides those of this machine, which name its folders."""

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)

    remote: Remote = Field(repr=False)


def settings_for(settings: Settings, remote: Remote | None) -> Settings:
    """Return the settings of a command that is for a remote server, or for that of this machine."""
    if remote is None:
        return settings
    # They are valid already.
    return RemoteSettings.model_construct(**dict(settings), remote=remote)


def remote_of(settings: Settings) -> Remote | None:
    """Return the remote server that a command is for; None if it is for this machine."""
    return settings.remote if isinstance(settings, RemoteSettings) else None


def find_remote(option: str | None, environment: Mapping[str, str] = os.environ) -> Remote | None:
    """Return the remote server of `--remote`, or else of the environment; None if neither names one.

    A name without `://` is that of a profile. A token in the environment is used instead of the profile's. Raises
    ConfigError.
    """
    name = option if option is not None else environment.get(REMOTE, "")
    if not name:
        return None
    source = "--remote" if option is not None else REMOTE
    given = checked_token(environment[TOKEN], TOKEN) if environment.get(TOKEN, "").strip() else ""
    if "://" not in name:
        profile = _profile(name, source)
        check_secure(profile.url, insecure=profile.insecure)
        return Remote(profile.url, given or profile.token)
    url = server_url(name, source)
    known = [one for one in read_profiles().values() if one.url == url]
    check_secure(url, insecure=any(one.insecure for one in known))
    if not given and not known:
        raise ConfigError(f"there is no token for {url}: `hookline login {url}` stores one, or set {TOKEN}")
    if not given and len({one.token for one in known}) > 1:
        raise ConfigError(f"several profiles have tokens for {url}: give the name of one as {source}")
    return Remote(url, given or checked_token(known[0].token, f"{profiles_file()}: the profile of {url}"))


def _profile(name: str, source: str) -> Profile:
    profiles = read_profiles()
    if name in profiles:
        # Somebody may have edited the file.
        found, place = profiles[name], f"{profiles_file()}: profile {name}"
        return Profile(server_url(found.url, place), checked_token(found.token, place), found.insecure)
    remedy = did_you_mean(name, profiles, f"`hookline login URL --profile {name}` stores one")
    raise ConfigError(
        f"{source}: there is no profile {name!r} in {profiles_file()}; a URL begins with https:// ({remedy})"
    )


def server_url(text: str, source: str) -> str:
    """Return the URL of a server in the form in which it is stored. Raises ConfigError."""
    try:
        parts = urlsplit(text.strip())
        host = (parts.hostname or "").encode("idna").decode()
        right = parts.scheme in _SCHEMES and bool(host) and " " not in text.strip() and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(
            f"{source}: {text!r} is not the URL of a server; write one such as https://hookline.example.com, without a "
            "user, a query or a fragment"
        )
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path.rstrip("/")).geturl()


def checked_token(text: str, source: str) -> str:
    """Return the token in a text. Raises ConfigError if it can't be one, without showing it."""
    token = text.strip()
    # It becomes part of a header.
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"{source} has no token: it is one word, which `hookline tokens create` prints")
    return token


def check_secure(url: str, *, insecure: bool) -> None:
    """Raise ConfigError if a token would be readable on its way to a server, unless that was allowed."""
    parts = urlsplit(url)
    if insecure or parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return
    raise ConfigError(
        f"{url}: over plain http, anybody on the network can read the token; use https, or allow http for it with "
        f"`hookline login {url} --insecure`"
    )


def is_loopback(host: str) -> bool:
    """Return true if a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
