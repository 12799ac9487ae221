"""What is kept of a flow."""

from typing import Protocol


class FlowQueries(Protocol):
    """What is kept of flows."""

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """The document of a published version."""
        ...

    async def state(self, flow_id: str, key: str) -> bytes | None:
        """JSON of what a flow keeps under a key."""
        ...

    async def cursor(self, flow_id: str) -> bytes | None:
        """JSON of how far a flow's trigger has got."""
        ...
