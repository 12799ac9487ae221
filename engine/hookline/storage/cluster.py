"""Nodes: the processes that serve one database."""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from hookline import __version__
from hookline.kernel.clocks import Clock, SystemClock
from hookline.kernel.errors import StoreError
from hookline.storage.limit_parts import NodeParts, Parts, PartsMoved, PartsRequest, QueueCount
from hookline.storage.process_identity import host_of_process, process_identity

NodeRole = Literal["all", "webhook", "worker", "command"]
"""The part that a node takes; a command of the command line runs no executions."""


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """The facts that a node tells about itself."""

    name: str = field(default_factory=socket.gethostname)
    role: NodeRole = "all"
    host: str = field(default_factory=host_of_process)
    process: str = field(default_factory=lambda: process_identity() or "")
    version: str = __version__
    listen_url: str | None = None
    """The URL of the database for a session that listens, if the other one leads to a pooler of transactions."""
    accepts_without_lease: float = 0.0
    """Seconds for which it goes on accepting messages into an intake queue after its lease has run out, with the flows
    and credentials that it knew last."""
    queue: str = ""
    """The name of its intake queue; empty if it has none."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that serves the database, or did."""

    lease: str
    """Its lease: its name and a random part."""
    name: str
    host: str
    role: str
    version: str
    started_at: datetime
    until: datetime
    """The time until which its lease holds."""
    clock_ahead: float
    """Seconds by which its host's clock is ahead of the database's."""
    drain_asked_at: datetime | None
    gone_at: datetime | None
    """The time at which it stopped, or another node took over."""
    queue: str | None
    """The name of its intake queue: empty if it has none, and None if its release doesn't report it."""
    pending: bool = False
    """It may not have adopted the last change of flows, states or credentials."""


class Membership(Protocol):
    """The place of this process among the nodes of its database."""

    @property
    def node(self) -> NodeDescription: ...

    @property
    def held(self) -> bool:
        """True while no other node can have taken over what this one runs, as far as this process knows.

        After the loss of a lease, it is false until this node has adopted all changes."""
        ...

    @property
    def current(self) -> bool:
        """False from the loss of a lease until all changes are adopted under the next one."""
        ...

    def behind_for(self) -> float:
        """Return the seconds since this node last knew that it has adopted all changes."""
        ...

    on_lost: Callable[[], Awaitable[None]] | None
    """Called when the lease is lost. When it returns, nothing that ran under that lease may run; then the node
    registers anew."""
    on_cancel: Callable[[Sequence[str]], None] | None
    """Called with executions of this node that are to be cancelled, which another node may have requested. It may be
    called again with the same ones."""
    on_change: Callable[[], Awaitable[None]] | None
    """Called after changes that each node has to adopt: deployments, states of flows, credentials. Raises StoreError
    if they can't be adopted now."""
    on_drain: Callable[[], None] | None
    """Called when an operator asks this node to stop; it may be called again."""
    on_look: Callable[[bool], None] | None
    """Called each second, and when another node has something for this one to see; with true if a node asks for parts
    of a limit."""

    on_hint: Callable[[bytes], None] | None
    """Called with what another node has sent by `send_hint`."""

    def send_hint(self, hint: bytes) -> bool:
        """Send a short text to the other nodes, if any listen. Nothing says whether it arrives.

        Return false if it is dropped, because it is too long or too many wait to be sent.
        """
        ...

    @property
    def shared(self) -> bool:
        """True if other nodes may serve the database at any time.

        Then this node has only the parts of limits that it takes (`hookline.storage.limit_parts`).
        """
        ...

    @property
    def hosts(self) -> int:
        """The number of hosts on which nodes run, as far as this process knows."""
        ...

    on_probe: Callable[[str], Awaitable[bool]] | None
    """Called with a blob that a starting node of another host has stored; returns true if it can be read here. Raises
    StoreError if that isn't known now."""

    async def probe(self, blob_id: str) -> bool:
        """Return true if a live node of another host has read a blob, or if there is none; false if none can.

        Raises StoreError.
        """
        ...

    async def blob_mark(self) -> str | None:
        """Return the blob that marks the blob store of all nodes; None if there is none yet. Raises StoreError."""
        ...

    async def set_blob_mark(self, blob_id: str, *, instead_of: str | None) -> None:
        """Name another blob that marks the blob store, unless a third one is named by now. Raises StoreError."""
        ...

    async def limit_parts(self, names: Collection[str] | None = None) -> Sequence[NodeParts]:
        """Return the parts of the limits with these names, and of those for which a node asks; None for all.

        Raises StoreError.
        """
        ...

    async def count_queued(self, flow_ids: Collection[str]) -> Mapping[str, QueueCount]:
        """Count the queued messages of flows, to take parts of their backlogs. Raises StoreError."""
        ...

    async def move_limit_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        """Give and take parts of limits, in one commit; return the result of each request. Raises StoreError.

        No two requests are about the same limit.
        """
        ...

    @property
    def size(self) -> int:
        """The number of nodes that serve the database, with this one, as far as this process knows."""
        ...

    @property
    def alone(self) -> bool:
        """True if no other node serves the database, as far as this process knows."""
        ...

    async def take(self, duties: Collection[str]) -> Collection[str]:
        """Take duties, each of which one node has; return those that this node has now. Raises StoreError.

        It has them until it gives them, or loses its lease.
        """
        ...

    async def give(self, duty: str) -> None:
        """Leave a duty to other nodes. Raises StoreError."""
        ...

    async def adopted(self) -> Collection[str]:
        """Return when each living node has adopted all changes that are durable now, or has lost its lease.

        Return the names of the nodes that may not have adopted them: those that have done neither in time, those that
        accept messages without a lease, and all nodes if the database can't be asked.
        """
        ...

    async def nodes(self) -> Sequence[Node]:
        """Return the nodes that serve the database, and those that did in the last hour; oldest first."""
        ...

    def drain(self, lease: str) -> None:
        """Note that a node was asked to stop (`DrainNode`), if it is this one."""
        ...


class Alone:
    """The only process that uses a database."""

    held: Final = True
    current: Final = True
    alone: Final = True
    size: Final = 1
    shared: Final = False
    hosts: Final = 1

    def __init__(self, clock: Clock | None = None) -> None:
        self.node = NodeDescription()
        self.on_lost: Callable[[], Awaitable[None]] | None = None
        self.on_cancel: Callable[[Sequence[str]], None] | None = None
        self.on_change: Callable[[], Awaitable[None]] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.on_look: Callable[[bool], None] | None = None
        self.on_hint: Callable[[bytes], None] | None = None
        self.on_probe: Callable[[str], Awaitable[bool]] | None = None
        self._clock = clock or SystemClock()
        self._started_at = self._clock.now()

    def behind_for(self) -> float:
        """Return 0: nobody else makes changes."""
        return 0.0

    async def take(self, duties: Collection[str]) -> Collection[str]:
        """Return all: nobody else has one."""
        return duties

    async def give(self, duty: str) -> None:
        """Do nothing."""

    def send_hint(self, hint: bytes) -> bool:
        """Do nothing: nobody else hears."""
        return True

    async def probe(self, blob_id: str) -> bool:
        """Return true: nobody else needs it."""
        return True

    async def blob_mark(self) -> str | None:
        """Return None: nobody else needs one."""
        return None

    async def set_blob_mark(self, blob_id: str, *, instead_of: str | None) -> None:
        """Do nothing."""

    async def limit_parts(self, names: Collection[str] | None = None) -> Sequence[NodeParts]:
        """Return none: it has all parts."""
        return ()

    async def count_queued(self, flow_ids: Collection[str]) -> Mapping[str, QueueCount]:
        """Return none: it has all parts."""
        return {}

    async def move_limit_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        """Return all: nobody else wants any."""
        return [PartsMoved(one.wanted, Parts(0)) for one in requests]

    async def adopted(self) -> Collection[str]:
        """Return at once: there is no other node."""
        return ()

    async def nodes(self) -> Sequence[Node]:
        """Return this node."""
        now, node = self._clock.now(), self.node
        about = node.name, node.name, node.host, node.role, node.version
        return [Node(*about, self._started_at, now, 0.0, None, None, node.queue)]

    def drain(self, lease: str) -> None:
        """Stop this node."""
        if lease == self.node.name and self.on_drain is not None:
            self.on_drain()


_AGAIN: Final = 5.0
"""Seconds until a duty is tried again that another node has."""


async def has_duty(membership: Membership, duty: str, clock: Clock) -> None:
    """Return when this node has a duty; until then, another one may have it."""
    while True:
        with contextlib.suppress(StoreError):
            if await membership.take((duty,)):
                return
        await clock.sleep(_AGAIN)
