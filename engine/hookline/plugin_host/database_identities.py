"""The identity of the database that a URL names, by which a plugin is kept from the database of the engine."""

import os
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_LOCAL = frozenset({"", "localhost", "localhost.localdomain", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def database_identities(url: str, ends: Iterable[str] = ("",)) -> set[tuple[object, ...]]:
    """Return values of which two URLs of the same database have one in common.

    Files are compared by device and inode if they exist, so that links are recognised. A driver and SQLite decode the
    name of a file in several steps, and `x/..` stands for nothing even if there is no x; so each reading counts.
    Servers are compared by host, port and database; the driver and the user don't matter. `ends`: those of the names of
    files.
    """
    paths = _sqlite_paths(url)
    if paths is None:
        return _server_identities(url)
    return {_file_identity(read(path + end)) for path in paths for end in ends for read in (_textual, os.path.realpath)}


def _server_identities(url: str) -> set[tuple[object, ...]]:
    """The identity of a server's database for each host that the URL has: any of them may have the database."""
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0].lower()
    if kind == "postgres":
        kind = "postgresql"
    query = parse_qs(parts.query)
    try:
        port = parts.port
    except ValueError:
        port = None
    port = int((query.get("port") or ["0"])[0]) if port is None and query.get("port", ["x"])[0].isdigit() else port
    database = (query.get("database") or query.get("dbname") or [unquote(parts.path.lstrip("/"))])[0]
    # The query may have the hosts, or the directory of a socket.
    hosts = [host for value in query.get("host") or [parts.hostname or ""] for host in value.split(",")]
    return {
        (kind, host, own or port or _PORTS.get(kind), database or unquote(parts.username or ""))
        for host, own in map(_host_and_port, hosts)
    }


def _host_and_port(text: str) -> tuple[str, int | None]:
    host, _, port = text.lower().rpartition(":")
    if not port.isdecimal() or ":" in host or not host:
        host, port = text.lower(), ""
    if host.startswith("/") or _is_local(host.rstrip(".")):
        host = "localhost"
    return host, int(port) if port else None


def _is_local(host: str) -> bool:
    if host in _LOCAL:
        return True
    try:
        # This reads `127.1` and `0x7f000001` too, as the C library does.
        address = ip_address(socket.inet_aton(host))
    except OSError:
        try:
            address = ip_address(host)
        except ValueError:
            return False
    inner = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (inner is not None and bool(inner.is_loopback))


def _sqlite_paths(url: str) -> set[str] | None:
    """The paths of the file that a URL may name; None if it is of another database."""
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0].lower() != "sqlite":
        return None
    # The first slash only ends the host: `sqlite:///relative` and `sqlite:////absolute`.
    path = rest.partition("?")[0].partition("/")[2]
    paths = {path, unquote(path)}
    for given in tuple(paths):
        if given.startswith("file:"):
            inner = given[5:].partition("#")[0].partition("?")[0]
            if inner.startswith("//"):
                inner = "/" + inner[2:].partition("/")[2]
            paths |= {inner, unquote(inner)}
    return paths - {"", ":memory:"}


def _textual(path: str) -> str:
    return os.path.realpath(os.path.normpath(path))


def _file_identity(path: str) -> tuple[object, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text with a zero byte is an error of it too
    except (OSError, ValueError):
        return ("sqlite", path)
    return ("sqlite", found.st_dev, found.st_ino)
