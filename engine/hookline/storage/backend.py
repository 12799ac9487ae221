"""Backends: a store and a queue over the same data."""

from collections.abc import Collection
from typing import Any, Protocol

from hookline.storage.cluster import Membership, NodeDescription
from hookline.storage.queue import Queue
from hookline.storage.store import Store


class Backend(Protocol):
    """A store and a queue, made by a plugin from a URL."""

    store: Store
    queue: Queue

    @property
    def membership(self) -> Membership:
        """The place of this process among those that use the database."""
        ...

    @property
    def identities(self) -> Collection[str]:
        """The identities of the open database, by which steps are kept from it, whatever name they give it.

        `file:<device>/<inode>` for each file; `postgresql:<system identifier>` for the server, and with it `/<oid>` for
        the database and `@<role>` for its own user and its owner.
        """
        ...

    async def open(self, node: NodeDescription | None = None) -> None:
        """Connect, migrate the tables, and join as a node; executions that ran when a process died are ready again.

        Raises StoreAway if it can't be reached now; then it may be opened again, also after `close`. Raises StoreError
        if it can't be used, or if only one process may use it and another one does.
        """
        ...

    async def close(self) -> None: ...


class BackendFactory(Protocol):
    """The factory that `register_backends` returns for a URL scheme."""

    def __call__(self, url: str, *, clock: Any) -> Backend: ...
