"""What is kept of a flow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hookline.model.execution import State
from hookline.model.flow import FlowState


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """A version of a flow that is kept."""

    version: str
    created_at: datetime
    """When it was first published."""
    served_at: datetime
    """When it last began to serve: of two versions, the one that began later."""


@dataclass(frozen=True, slots=True)
class StateOverride:
    """What an operator has decided a flow's state to be."""

    state: FlowState
    file_state: FlowState
    """What its file said then."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """What a flow keeps under a key."""

    key: str
    updated_at: datetime
    value: bytes
    """JSON."""


@dataclass(frozen=True, slots=True)
class KeptPage:
    """One page of what a flow keeps."""

    items: Sequence[Kept]
    next: str | None
    """The cursor of the next page."""


class FlowQueries(Protocol):
    """What is kept of flows."""

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """The document of a published version."""
        ...

    async def flow_versions(self, flow_id: str) -> Sequence[FlowVersion]:
        """The versions of a flow that are kept; the one that began to serve last comes first."""
        ...

    async def executions_by_version(self, flow_id: str) -> Mapping[tuple[str | None, State], int]:
        """For each version, None where none is bound yet, and each state that is not final: how many executions of a
        flow are in it."""
        ...

    async def state_overrides(self) -> Mapping[str, StateOverride]:
        """What operators have decided, by flow."""
        ...

    async def state(self, flow_id: str, key: str) -> bytes | None:
        """JSON of what a flow keeps under a key."""
        ...

    async def kept(self, flow_id: str, *, cursor: str | None = None, limit: int = 50) -> KeptPage:
        """What a flow keeps, in the order of its keys. Raises ValueError for a cursor that isn't one."""
        ...

    async def cursor(self, flow_id: str) -> bytes | None:
        """JSON of how far a flow's trigger has got."""
        ...
