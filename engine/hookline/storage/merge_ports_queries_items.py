"""How far the foreach blocks have got whose items are not kept one by one."""

from collections.abc import Sequence
from typing import Protocol

from hookline.model.items import Progress


class ItemQueries(Protocol):
    """What is known of items that are done."""

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        """Of each foreach of an execution that has not come to its end, by path."""
        ...

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        """What items gave, as JSON, with their places, which are above `after`, in order."""
        ...
