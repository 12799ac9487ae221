"""What plugins keep open between steps, for one engine."""

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
    """The resources of one engine; `own_urls` are the URLs of its store and queue. See `Resources`."""

    def __init__(self, own_urls: Iterable[str] = (), egress: Egress | None = None) -> None:
        """`egress`: which addresses plugins may connect to; by default none that is inside."""
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
        # Not remembered: what a path names changes when its file is made.
        return database_identity(url) in map(database_identity, self._own)

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        return await connect(self._egress, host, port, timeout)

    async def close(self) -> None:
        """Close all of them, side by side. Raises an ExceptionGroup of what went wrong, when all have been tried."""
        self._closed = True
        made, self._made = list(self._made.values()), {}
        results = await asyncio.gather(*(resource.close() for resource in made), return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            raise ExceptionGroup("resources of plugins failed to close", failures)


def database_identity(url: str) -> tuple[object, ...]:
    """Equal for two URLs that name one database, however they spell it.

    Files are the same by device and inode where they exist, so that links don't hide one; servers by host, port and
    database, whatever the driver and the user.
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
    # Hosts may stand in the query as well, sockets' directories among them.
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
