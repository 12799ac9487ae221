"""Batches of a store in memory."""

from dataclasses import dataclass, replace
from datetime import datetime

from hookline.model.batch import LARGEST, Gathered
from hookline.storage.merge_ports_changes_batches import Join


@dataclass(frozen=True, slots=True)
class MemoryBatch:
    """What is gathered under one leader at one step."""

    key: tuple[str, str, str, str] | None
    """Flow, version, path and key while others may join."""
    due_at: datetime | None
    members: tuple[Gathered, ...]

    @property
    def leader_id(self) -> str:
        """Who came first."""
        return self.members[0].execution_id

    def takes(self, join: Join) -> bool:
        """Whether another is in time, and has room."""
        in_time = self.due_at is None or self.due_at > join.at
        return in_time and sum(one.size for one in self.members) + join.gathered.size <= LARGEST

    def closed(self) -> "MemoryBatch":
        """The same, for nobody else."""
        return replace(self, key=None)

    def grown(self, gathered: Gathered) -> "MemoryBatch":
        """The same with one more."""
        return replace(self, members=(*self.members, gathered))


def key_of(join: Join) -> tuple[str, str, str, str]:
    """What executions have in common that are gathered together."""
    return join.flow_id, join.flow_version, join.step.path, join.key
