"""Backends: a store and a queue over the same data."""

from typing import Any, Protocol

from hookline.storage.queue import Queue
from hookline.storage.store import Store


class Backend(Protocol):
    """A store and a queue, made by a plugin from a URL."""

    store: Store
    queue: Queue

    async def open(self) -> None:
        """Connect, migrate the tables, and make executions ready again that ran when the process died.

        Raises StoreError if another process uses it, or if it can't be used.
        """
        ...

    async def close(self) -> None: ...


class BackendFactory(Protocol):
    """The factory that `register_backends` returns for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Backend: ...
