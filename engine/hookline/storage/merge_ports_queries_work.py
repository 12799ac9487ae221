"""What there is to do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hookline.model.execution import State


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting execution whose time has come."""

    execution_id: str
    flow_id: str
    ready_at: datetime


class WorkQueries(Protocol):
    """What is known of executions that have not ended."""

    async def due(self, after: datetime | None, until: datetime, limit: int) -> Sequence[Due]:
        """Waiting executions with `after < ready_at <= until`, in the order of `ready_at`."""
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """The earliest `ready_at` of a waiting execution that lies after a time."""
        ...

    async def flows_with_work(self) -> Collection[str]:
        """Ids of the flows that have executions which have not ended."""
        ...

    async def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        """For each flow with queued executions: how many, and when the oldest was accepted."""
        ...

    async def line_length(self, flow_id: str, order_key: str, limit: int) -> int:
        """How many executions with an order key have a place in its line, that of the first included.

        Counts no further than to `limit`.
        """
        ...

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """For each flow and state that is not final: how many executions are in it."""
        ...
