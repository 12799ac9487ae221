"""The URL of a JetStream queue: `nats://host:4222,host:4222?stream=name&replicas=3&max_bytes=8GB`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from hookline.api import StoreError

_AUTHORITY: Final = re.compile(r"nats://([^/?#]*)", re.IGNORECASE)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNITS: Final = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_REPLICAS: Final = (1, 3, 5)
_DEFAULT_PORT: Final = 4222


@dataclass(frozen=True, slots=True)
class Address:
    """Servers, and the stream that they keep."""

    servers: tuple[str, ...]
    """URLs without passwords."""
    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials: str | None = None
    """A file with the JWT and the key of a user."""
    stream: str = "hookline"
    replicas: int = 3
    max_bytes: int = 8 * 10**9
    """The largest size of a stream that is created; that of an existing one is left as it is."""

    @property
    def name(self) -> str:
        """The stream in messages."""
        return f"the stream {self.stream!r} at {', '.join(self.servers)}"


def parse(url: str) -> Address:
    """Read a URL. Raises StoreError, which never shows the URL itself, because it may have a password."""
    authority = _AUTHORITY.match(url)
    # `urlsplit` accepts an IPv6 address only if it is the first server.
    parts = urlsplit(url[authority.end() :] if authority else url)
    if authority is None or parts.scheme or parts.netloc or parts.path not in ("", "/") or parts.fragment:
        raise _unreadable("a queue's URL has servers and settings, but no path")
    login, _, hosts = authority[1].rpartition("@")
    given: dict[str, object] = {"servers": tuple(_server(host) for host in hosts.split(","))}
    if login:
        user, colon, password = login.partition(":")
        given |= {"user": unquote(user), "password": unquote(password)} if colon else {"token": unquote(user)}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        read = _SETTINGS.get(name)
        if read is None:
            raise _unreadable(f"there is no setting {name!r}; there are {', '.join(sorted(_SETTINGS))}")
        if name in given:
            raise _unreadable(f"the setting {name!r} is given twice")
        given[name] = read(text)
    return Address(**given)  # type: ignore[arg-type]  # each function returns its field's type


def _server(host: str) -> str:
    try:
        parts = urlsplit(f"nats://{host}")
        name, port = parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise _unreadable(f"{host!r} is not a server: {error}") from error
    if not name:
        raise _unreadable("a server is missing")
    return f"nats://[{name}]:{port}" if ":" in name else f"nats://{name}:{port}"


def _stream(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise _unreadable(f"{text!r} can't be a stream's name: it has at most 64 letters, digits, '-' and '_'")
    return text


def _replicas(text: str) -> int:
    if text not in map(str, _REPLICAS):
        raise _unreadable(f"{text!r} replicas are not possible: there may be 1, 3 or 5")
    return int(text)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,15})(KB|MB|GB|TB|)", text)
    if found is None or not int(found[1]):
        raise _unreadable(f"max_bytes={text!r} is not a size; write 8GB")
    return int(found[1]) * _UNITS[found[2]]


def _file(text: str) -> str:
    if not text:
        raise _unreadable("credentials= must name a file")
    return text


_SETTINGS: Final[dict[str, Callable[[str], object]]] = {
    "stream": _stream,
    "replicas": _replicas,
    "max_bytes": _bytes,
    "credentials": _file,
}


def _unreadable(reason: str) -> StoreError:
    return StoreError(f"the queue's URL can't be used: {reason}; write nats://host:4222,host:4222?stream=hookline")
