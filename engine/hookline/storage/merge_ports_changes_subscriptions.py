"""What is kept of flows' subscriptions with providers."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SetSubscription:
    """What is kept of a flow's subscription is this now; None: nothing."""

    flow_id: str
    value: bytes | None
    """Encrypted."""
    at: datetime


@dataclass(frozen=True, slots=True)
class RewrapSubscription:
    """It is encrypted anew, where it is still what it was."""

    flow_id: str
    value: bytes
    was: bytes
