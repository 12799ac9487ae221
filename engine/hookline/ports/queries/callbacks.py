"""What has come for steps that wait."""

from collections.abc import Sequence
from typing import Protocol


class CallbackQueries(Protocol):
    """What is known of steps that wait for callbacks."""

    async def callback(self, execution_id: str, path: str) -> bytes | None:
        """What has come for a step that waits, as `pack_callback` packed it."""
        ...

    async def waits(self, execution_id: str) -> Sequence[str]:
        """The paths of the steps of an execution that wait for callbacks."""
        ...
