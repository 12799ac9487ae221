"""The parts of a limit, of which each node has some.

A rate of `10/s` has ten parts, and one of `5/m` has five. Each part allows one message at once, and then one each
second, minute or hour. So whatever parts a node has, they are a rate limit of their own, and all parts together are the
rate limit of the flow, the step or the connector.

A part that has just been used recovers: `recovers_in` is the time until it allows a message again. It stays with the
part when that moves to another node. So moving parts doesn't allow anything more.

A backlog of at most 100 messages has a hundred parts. Each queued message uses one up. The parts of nodes are those
that aren't used up, or that were not when the node told so last. No node has the rest, less the queued messages.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

BACKLOG: Final = "queued"
"""In the place of a rate: the limit on the queued messages of a flow."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Some parts of a rate."""

    count: int
    recovers_in: float = 0.0
    """Seconds until a part allows a message again, as the mean of these parts."""

    def joined(self, other: "Parts") -> "Parts":
        """Return these parts and others."""
        count = self.count + other.count
        if count == 0:
            return self
        return Parts(count, (self.count * self.recovers_in + other.count * other.recovers_in) / count)

    def after(self, seconds: float) -> "Parts":
        """Return the same parts, later."""
        return Parts(self.count, max(0.0, self.recovers_in - max(0.0, seconds)))


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The parts of a limit that one node has, or that no node has."""

    name: str
    """The flow, the step, or the connector and its credential."""
    rate: str
    """The text of the rate, or `BACKLOG`."""
    lease: str
    """The lease of the node; empty if no node has them."""
    mine: bool
    """The node is the one that asks."""
    count: int
    need: float
    """The parts that the messages of the last seconds need."""
    asks: bool
    """The node wants more parts."""


@dataclass(frozen=True, slots=True)
class QueueCount:
    """The queued messages of a flow at some time."""

    queued: int
    version: int
    """Another number after each move of parts of the backlog. Until then, nodes only use up what they have."""


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """The request of a node to have a number of the parts of a limit."""

    name: str
    rate: str
    total: int
    """All parts."""
    recovery: float
    """Seconds until a part that is used up allows a message again."""
    wanted: int
    """The parts that it wants. If it has more, it doesn't use them any more."""
    recovers_in: float
    """Seconds until its own parts have recovered."""
    need: float
    asks: bool
    leaves: bool = False
    """The node doesn't use the limit any more."""
    unused: int = 0
    """Of a backlog: the parts of the node that aren't used up."""
    count: QueueCount | None = None
    """Of a backlog: needed to take parts. It was counted while the node took back no part that it had used up."""


@dataclass(frozen=True, slots=True)
class PartsMoved:
    """The result of a request."""

    count: int
    """The parts that the node has now."""
    taken: Parts
    """Those among them that it did not have before."""
    given: int = field(default=0, compare=False)
    """The parts that it had before and has no more."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The parts after a request: those of the node, those that no node has, and those that the node has taken."""

    own: Parts
    free: Parts
    taken: Parts


def move_parts(request: PartsRequest, own: int, free: Parts, gone: Iterable[tuple[int, float]] = ()) -> Moved:
    """Give parts that a node doesn't want to the free ones, or take some of them.

    `own`: the parts that it has. `gone`: the parts of nodes that are gone, and the seconds since then. Nobody knows
    what these nodes have accepted before, so that their parts count as used up then.
    """
    for count, seconds in gone:
        free = free.joined(Parts(count, request.recovery).after(seconds))
    if request.wanted < own:
        given = Parts(own - request.wanted, request.recovers_in)
        return Moved(Parts(request.wanted, request.recovers_in), free.joined(given), Parts(0))
    taken = Parts(min(request.wanted - own, free.count), free.recovers_in)
    left = Parts(free.count - taken.count, free.recovers_in)
    return Moved(Parts(own, request.recovers_in).joined(taken), left, taken)


def move_backlog_parts(request: PartsRequest, own: int, others: int, version: int) -> Moved:
    """Give or take parts of a backlog, as `move_parts` does.

    `own`, `others`: the parts of the node that aren't used up, and those of the others, also of nodes that are gone:
    what these have used up may not be counted yet. `version`: the one up to now. The free parts follow from the count
    of the queued messages. So none can be taken if parts have moved since.
    """
    free = 0
    if request.count is not None and request.count.version == version:
        free = max(0, request.total - request.count.queued - others - own)
    return move_parts(request, own, Parts(free))
