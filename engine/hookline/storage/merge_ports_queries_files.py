"""Which files are still referred to."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol


class FileQueries(Protocol):
    """What is known of executions' files."""

    async def referenced(self, blob_ids: Collection[str]) -> Collection[str]:
        """Those of these blobs that an execution refers to."""
        ...

    async def executions_with_files(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Ids of executions that ended before a time and refer to files still, oldest first."""
        ...
