"""The resources that plugins keep open between steps, such as connections. Each engine has its own."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

from hookline.kernel.errors import StepError
from hookline.outbound.egress import Egress, connect
from hookline.sdk.context import Resource

R = TypeVar("R", bound=Resource)

_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound


class EngineResources:
    """The resources of one engine. See `Resources`."""

    def __init__(self, own_urls: Iterable[str] = (), egress: Egress | None = None) -> None:
        """`own_urls`: the URLs of the engine's store and queue. `egress`: the addresses that are allowed."""
        self._own = tuple(own_urls)
        self._egress = egress or Egress()
        self._made: dict[Callable[[], Any], Resource] = {}
        self._closed = False

    def get(self, make: Callable[[], R]) -> R:
        """See `Resources`."""
        made = self._made.get(make)
        if made is None:
            if self._closed:
                raise StepError("the engine is stopping", code="engine.stopping", retryable=True)
            made = self._made[make] = make()
        return cast(R, made)

    def owns_database(self, url: str) -> bool:
        """See `Resources`."""
        # Not cached: the identity of a path changes when its file is created.
        return database_identity(url) in map(database_identity, self._own)

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        return await connect(self._egress, host, port, timeout)

    async def close(self) -> None:
        """Close all resources concurrently. Raises an ExceptionGroup of all errors at the end."""
        self._closed = True
        made, self._made = list(self._made.values()), {}
        results = await asyncio.gather(*(resource.close() for resource in made), return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            raise ExceptionGroup("resources of plugins failed to close", failures)


def database_identity(url: str) -> tuple[object, ...]:
    """Return a value that is equal for all URLs of the same database.

    Files are compared by device and inode if they exist, so that links are recognised. Servers are compared by host,
    port and database; the driver and the user don't matter.
    """
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0].lower()
    if kind == "postgres":
        kind = "postgresql"
    if kind == "sqlite":
        # `sqlite:///relative` and `sqlite:////absolute`: the first slash of the path only ends the host.
        text = unquote(parts.path[1:])
        if text.startswith("file:"):
            text = unquote(urlsplit(text).path) or unquote(text[5:].partition("?")[0])
        if text in ("", ":memory:"):
            return (kind, url)
        path = Path(text)
        try:
            found = path.stat()
        except OSError:
            return (kind, str(path.resolve()))
        return (kind, found.st_dev, found.st_ino)
    query = parse_qs(parts.query)
    # The query may have the host, or the directory of a socket.
    host = (query.get("host") or [parts.hostname or ""])[0].lower()
    if host in _LOCAL or host.startswith("/"):
        host = "localhost"
    try:
        port = parts.port
    except ValueError:
        port = None
    port = int((query.get("port") or ["0"])[0]) if port is None and query.get("port", ["x"])[0].isdigit() else port
    database = (query.get("database") or query.get("dbname") or [unquote(parts.path.lstrip("/"))])[0]
    return (kind, host, port or _PORTS.get(kind), database or unquote(parts.username or ""))
