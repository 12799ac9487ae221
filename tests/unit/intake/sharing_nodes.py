"""Nodes that share limits, and the rows of these limits, as a database keeps them for all nodes."""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.limits import rate_parts
from hookline.kernel.errors import StoreError
from hookline.storage.cluster import Alone
from hookline.storage.limit_parts import (
    BACKLOG,
    NodeParts,
    Parts,
    PartsMoved,
    PartsRequest,
    QueueCount,
    move_backlog_parts,
    move_parts,
)
from hookline.testing.clock import ManualClock

FLOW = "orders"


@dataclass
class Table:
    """The rows of a rate, as a database keeps them for all nodes."""

    rate: str
    clock: ManualClock
    name: str = FLOW
    own: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What each node needs, and when it asked for more."""
    gone: dict[str, tuple[int, float]] = field(default_factory=dict)
    free: Parts = field(init=False)
    free_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.free, self.free_at = Parts(rate_parts(self.rate)), self.clock.monotonic()

    def rows(self, lease: str) -> Sequence[NodeParts]:
        now = self.clock.monotonic()
        known = bool(self.own or self.gone)
        rows = [NodeParts(self.name, self.rate, "", False, self.free.count, 0.0, False)] if known else []
        rows += [NodeParts(self.name, self.rate, "", False, parts, 0.0, False) for parts, _ in self.gone.values()]
        for one, parts in self.own.items():
            need, asked = self.told[one]
            rows.append(NodeParts(self.name, self.rate, one, one == lease, parts, need, now - asked < 3))
        return rows

    def move(self, lease: str, request: PartsRequest) -> PartsMoved:
        now = self.clock.monotonic()
        free = self.free.after(now - self.free_at)
        gone = [(parts, now - at) for parts, at in self.gone.values()]
        moved = move_parts(request, self.own.get(lease, 0), free, gone)
        self.gone.clear()
        self.free, self.free_at = moved.free, now
        self.own[lease] = moved.own.count
        self.told[lease] = (request.need, now if request.asks else -math.inf)
        if request.leaves and not moved.own.count:
            del self.own[lease], self.told[lease]
        return PartsMoved(moved.own.count, moved.taken)


@dataclass
class Queue:
    """The queue of the flow, and the rows of the limit on it."""

    clock: ManualClock
    queued: int = 0
    version: int = 0
    own: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[float, float]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def rows(self, lease: str) -> Sequence[NodeParts]:
        now = self.clock.monotonic()
        return [
            NodeParts(FLOW, BACKLOG, "" if one in self.gone else one, one == lease, parts, need, now - asked < 3)
            for one, parts in self.own.items()
            for need, asked in [self.told[one]]
        ]

    def move(self, lease: str, request: PartsRequest) -> PartsMoved:
        others = sum(parts for one, parts in self.own.items() if one != lease)
        for one in self.gone:
            del self.own[one], self.told[one]
        self.gone.clear()
        own = min(self.own.get(lease, 0), request.unused)
        moved = move_backlog_parts(request, own, others, self.version)
        self.version += 1
        self.own[lease] = moved.own.count
        self.told[lease] = (request.need, self.clock.monotonic() if request.asks else -math.inf)
        if request.leaves and not moved.own.count:
            del self.own[lease], self.told[lease]
        return PartsMoved(moved.own.count, moved.taken)


class Node(Alone):
    """A node of a table, whose commits may fail before or after they took place."""

    shared = True  # type: ignore[assignment, misc] # the other one is alone

    def __init__(self, table: Table, lease: str, queue: Queue | None = None) -> None:
        super().__init__(table.clock)
        self.lease = lease
        self.queue = queue or Queue(table.clock)
        self.fails: str | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """Called while a query or a commit is on its way."""
        self._table = table

    async def limit_parts(self, names: Collection[str] | None = None) -> Sequence[NodeParts]:
        found = (self._table.rows(self.lease), self.queue.rows(self.lease))
        return [
            row for rows in found if names is None or FLOW in names or any(row.asks for row in rows) for row in rows
        ]

    async def count_queued(self, flow_ids: Collection[str]) -> Mapping[str, QueueCount]:
        if self.meanwhile is not None:
            await self.meanwhile()
        count = QueueCount(self.queue.queued, self.queue.version)
        if self.meanwhile is not None:
            await self.meanwhile()
        return {FLOW: count}

    async def move_limit_parts(self, requests: Sequence[PartsRequest]) -> Sequence[PartsMoved]:
        if self.fails == "before":
            raise StoreError("not stored")
        if self.meanwhile is not None:
            await self.meanwhile()
        moved = [
            self.queue.move(self.lease, one) if one.rate == BACKLOG else self._table.move(self.lease, one)
            for one in requests
        ]
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.fails == "after":
            raise StoreError("nobody knows whether it is stored")
        return moved


@dataclass(frozen=True)
class _Settings:
    rate: str | None
    max_queued: int


@dataclass(frozen=True)
class _Flow:
    id: str
    settings: _Settings


def flow_of(rate: str | None, flow_id: str = FLOW, max_queued: int = 100) -> CompiledFlow:
    """A flow that has nothing but these limits."""
    return cast(CompiledFlow, cast(Any, _Flow(flow_id, _Settings(rate, max_queued))))
