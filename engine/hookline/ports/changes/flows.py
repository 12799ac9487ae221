"""What is kept of a flow."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Publish:
    """A version of a flow is kept, so that executions bound to it can go on with it. Known versions stay."""

    flow_id: str
    version: str
    document: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class SetState:
    """A flow keeps a value under a key; None removes it."""

    flow_id: str
    key: str
    value: bytes | None
    """JSON."""
    at: datetime


@dataclass(frozen=True, slots=True)
class SetCursor:
    """A flow's trigger has got so far."""

    flow_id: str
    value: bytes
    """JSON."""
    at: datetime
