"""What is kept of flows' subscriptions with providers."""

from collections.abc import Mapping
from typing import Protocol


class SubscriptionQueries(Protocol):
    """What is kept of subscriptions."""

    async def subscription(self, flow_id: str) -> bytes | None:
        """What is kept of a flow's subscription, encrypted."""
        ...

    async def subscriptions(self) -> Mapping[str, bytes]:
        """What is kept, by flow, encrypted."""
        ...
