"""What is kept of executions that have ended, and how much room that takes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that a database takes on disk."""

    total: int
    free: int | None
    """Of these, what new data will fill before the files grow; None where the database doesn't say."""
    executions: int
    """How many executions there are, about."""


class HistoryQueries(Protocol):
    """What is known of executions that have ended."""

    async def flows_with_history(self) -> Collection[str]:
        """Ids of the flows of which any execution is kept, whether it has ended or not."""
        ...

    async def purgeable(
        self, flow_id: str | None, ended_before: datetime, limit: int, *, after: str = "", up_to: str | None = None
    ) -> Sequence[str]:
        """Ids of executions that ended before a time, and may go; oldest first, above `after`, and up to one."""
        ...

    async def first_too_many(self, flow_id: str, count: int) -> str | None:
        """The newest of a flow's executions that have ended before the newest `count`; None where there are no more."""
        ...

    async def room(self) -> Room:
        """How much room everything takes."""
        ...

    async def spent_versions(self, flow_id: str, keep: int) -> Sequence[str]:
        """Versions of a flow beyond those `keep` that served last, which no execution can refer to that is kept."""
        ...
