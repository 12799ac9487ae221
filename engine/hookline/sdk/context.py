"""What a flow keeps from one execution to the next: values under keys."""

import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from hookline.kernel.errors import StepError
from hookline.kernel.json import JsonValue, encode

MAX_KEY: Final = 200
"""Characters."""
MAX_VALUE: Final = 256 * 1024
"""Bytes of a value's JSON."""


class FlowState(Protocol):
    """What a flow keeps, as an action sees it."""

    async def get(self, key: str) -> JsonValue:
        """The value under a key, null where there is none.

        It is the latest that this execution has set, or else what is in the store. Raises StepError for a key that
        can't be one, and StoreError.
        """
        ...

    async def set(self, key: str, value: JsonValue) -> None:
        """Keep a value under a key; null removes it.

        It is durable with the step's entry in the journal, exactly once: nothing is changed where the attempt fails.
        Raises StepError for what is out of bounds.
        """
        ...


def check_key(key: str) -> str:
    """A key that can be one. Raises StepError."""
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
    """JSON of a value, None for null. Raises StepError where it is too large."""
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
