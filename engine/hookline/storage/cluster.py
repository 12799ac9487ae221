"""Nodes: the processes that serve one database."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from hookline import __version__
from hookline.kernel.process import host_of_process, process_identity

NodeRole = Literal["all", "webhook", "worker", "command"]
"""What a node does; a command of the command line runs no executions."""


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """What a node tells about itself."""

    name: str = field(default_factory=socket.gethostname)
    role: NodeRole = "all"
    host: str = field(default_factory=host_of_process)
    process: str = field(default_factory=lambda: process_identity() or "")
    version: str = __version__


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


class Membership(Protocol):
    """The place of this process among the nodes of its database."""

    @property
    def node(self) -> NodeDescription: ...

    @property
    def held(self) -> bool:
        """True while no other node can have taken over what this one runs, as far as this process knows."""
        ...

    on_lost: Callable[[], Awaitable[None]] | None
    """Called when the lease is lost. When it returns, nothing that ran under that lease may run; then the node
    registers anew."""
    on_cancel: Callable[[Sequence[str]], None] | None
    """Called with executions of this node that are to be cancelled, which another node may have requested. It may be
    called again with the same ones."""


class Alone:
    """The only process that uses a database."""

    def __init__(self) -> None:
        self.node = NodeDescription()
        self.on_lost: Callable[[], Awaitable[None]] | None = None
        self.on_cancel: Callable[[Sequence[str]], None] | None = None

    @property
    def held(self) -> bool:
        """True: there is no other process."""
        return True
