"""What has come for steps that wait."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol


class CallbackQueries(Protocol):
    """What is known of steps that wait for callbacks."""

    async def callbacks(self, execution_id: str) -> Mapping[str, bytes]:
        """What has come for the steps of an execution that wait, by their paths, as `pack_callback` packed it."""
        ...

    async def executions_with_callbacks(self, ended_before: datetime, limit: int) -> Sequence[str]:
        """Ids of executions that ended before a time and have callbacks still, oldest first."""
        ...

    async def waits(self, execution_id: str) -> Sequence[str]:
        """The paths of the steps of an execution that wait for callbacks."""
        ...
