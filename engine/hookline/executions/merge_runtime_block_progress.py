"""How far a foreach has got, while it runs: what its items' entries are replaced by."""

from datetime import datetime
from typing import Final

from hookline.model.items import Done, Progress

#: Results that may wait for the next commit, where nothing else asks for one.
_RESULTS: Final = 500


class BlockProgress:
    """Of one foreach whose items are not kept one by one."""

    def __init__(self, path: str, total: int, at: datetime, stored: Progress | None) -> None:
        """`stored`: how far it had got when the execution was resumed."""
        self.path = path
        self.total = total
        self.done = Done(() if stored is None else stored.done)
        self.failed = 0 if stored is None else stored.failed
        self.latest = at if stored is None else max(at, stored.at)
        """When the last of its items had committed what it did."""
        self.stored = stored is not None
        """Whether the store may know of it."""
        self._results: list[tuple[int, bytes]] = []

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """An item is done; `result` is JSON of what it gave, where that is collected."""
        self.done.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))

    @property
    def full(self) -> bool:
        """Whether its results should soon be committed, lest they fill the memory."""
        return len(self._results) >= _RESULTS

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """What is to be committed."""
        results, self._results = tuple(self._results), []
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), results

    def give_back(self, results: tuple[tuple[int, bytes], ...]) -> None:
        """What was taken wasn't committed."""
        self._results[:0] = results
