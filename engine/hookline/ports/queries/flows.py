"""What is kept of a flow."""

from typing import Protocol


class FlowQueries(Protocol):
    """What is kept of flows."""

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        """The document of a published version."""
        ...
