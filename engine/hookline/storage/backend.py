"""A backend: store and queue in one, made from a URL."""

from typing import Any, Protocol

from hookline.storage.queue import Queue
from hookline.storage.store import Store


class Backend(Protocol):
    """A store and a queue; a plugin makes it from a URL."""

    store: Store
    queue: Queue

    async def open(self) -> None:
        """Connect, bring the schema up to date, and make ready again what ran when the process died.

        Raises StoreError where another process has it, or it can't be used.
        """
        ...

    async def close(self) -> None: ...


class BackendFactory(Protocol):
    """What `register_backends` gives for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Backend: ...
