"""The parts of a context that aren't a client: the state of the flow, and the plugin's resources."""

import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from hookline.kernel.errors import StepError
from hookline.kernel.json import JsonValue, encode

MAX_KEY: Final = 200
"""The longest key, in characters."""
MAX_VALUE: Final = 256 * 1024
"""The largest value, in bytes of JSON."""


class FlowState(Protocol):
    """The state of a flow: values under keys, which outlive executions."""

    async def get(self, key: str) -> JsonValue:
        """Return the value under a key, or None.

        A value that this execution has set comes first, and then the value in the store. Raises StepError for an
        invalid key, and StoreError.
        """
        ...

    async def set(self, key: str, value: JsonValue) -> None:
        """Store a value under a key. None removes the key.

        The value is committed with the step's entry in the journal, exactly once: an attempt that fails changes
        nothing. Raises StepError if the key or the value is invalid or too large.
        """
        ...


def check_key(key: str) -> str:
    """Return the key if it is valid. Raises StepError."""
    if not 1 <= len(key) <= MAX_KEY:
        raise StepError(
            f"a key of the flow's state has 1 to {MAX_KEY} characters, and {key[:20]!r}… has {len(key):,}"
            if key
            else "a key of the flow's state can't be empty",
            code="state.key",
        )
    if not key.isprintable():
        raise StepError(f"a key of the flow's state is printable text, and {key!r} isn't", code="state.key")
    return key


def packed(key: str, value: JsonValue) -> bytes | None:
    """Return the JSON of a value, or None for None. Raises StepError if it is too large."""
    if value is None:
        return None
    made = encode(value)
    if len(made) > MAX_VALUE:
        raise StepError(
            f"the value under {key!r} has {len(made):,} bytes as JSON; a flow keeps at most {MAX_VALUE:,} under a key",
            code="state.too_large",
        )
    return made


class Resource(Protocol):
    """A resource that is open as long as the engine runs, such as a pool of connections."""

    async def close(self) -> None:
        """Release everything. Called once, when the engine stops."""
        ...


R = TypeVar("R", bound=Resource)


class Resources(Protocol):
    """The resources of an engine. Two engines in one process share none."""

    def get(self, make: Callable[[], R]) -> R:
        """Return the resource of `make`, such as a class. The first call with this `make` creates it.

        Raises StepError (`engine.stopping`, retryable) once the engine closes its resources.
        """
        ...

    def owns_database(self, url: str) -> bool:
        """Return True if a URL names the database of the engine's own store or queue, which steps must not use."""
        ...

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """Open a TCP connection, for protocols other than HTTP. Like `ctx.http`, it reaches no inside addresses.

        The socket is non-blocking, and the caller closes it. `timeout`: seconds, for all addresses of the host
        together. Raises StepError: `engine.egress` (an inside address), and, retryable, `engine.connect`.
        """
        ...
