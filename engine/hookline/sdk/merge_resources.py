"""What a plugin keeps open between steps (`ctx.resources`), such as a pool of connections."""

import socket
from collections.abc import Callable
from typing import Protocol, TypeVar


class Resource(Protocol):
    """Something that is kept open for as long as an engine runs."""

    async def close(self) -> None:
        """Give everything back. Called once, when the engine stops."""
        ...


R = TypeVar("R", bound=Resource)


class Resources(Protocol):
    """An engine's own resources: two engines in one process share none."""

    def get(self, make: Callable[[], R]) -> R:
        """The resource that `make` makes: made at the first call with the same `make` (a class, say), then kept.

        Raises StepError (`engine.stopping`, retryable) once the engine closes its resources.
        """
        ...

    def owns_database(self, url: str) -> bool:
        """Whether a database URL names the engine's own store or queue, which steps must leave alone."""
        ...

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """A TCP connection for what doesn't speak HTTP, guarded against inside addresses as `ctx.http` is.

        The socket doesn't block, and whoever asked for it closes it. `timeout`: seconds, for all addresses of the host
        together. Raises StepError: `engine.egress` (an inside address), and, retryable, `engine.connect`.
        """
        ...
