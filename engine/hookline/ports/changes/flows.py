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
