"""What is gathered at steps."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hookline.model.batch import Gathered


class BatchQueries(Protocol):
    """What is known of batches that their leaders have not taken."""

    async def batches(self, execution_id: str) -> Mapping[str, bool]:
        """The batches that an execution leads, by the paths of their steps: whether they are open still."""
        ...

    async def gathered(self, execution_id: str, path: str) -> Sequence[Gathered]:
        """What executions have added to a batch, in the order in which they joined; the leader's comes first."""
        ...
