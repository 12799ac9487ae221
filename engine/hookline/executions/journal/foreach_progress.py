"""The progress of a foreach with many items."""

from datetime import datetime
from typing import Final

from hookline.model.items import Done, Progress

#: The number of results that may wait for the next commit.
_RESULTS: Final = 500


class ForeachProgress:
    """The progress of a foreach that doesn't keep the entries of its items."""

    def __init__(self, path: str, total: int, at: datetime, stored: Progress | None) -> None:
        """`at`: the time of its start. `stored`: the progress before the execution was resumed."""
        self.path = path
        self.total = total
        self.done = Done(() if stored is None else stored.done)
        self.failed = 0 if stored is None else stored.failed
        self.latest = at if stored is None else max(at, stored.at)
        """The time at which the last finished item had committed its work."""
        self.stored = stored is not None
        """True if the store may have a record of it."""
        self._results: list[tuple[int, bytes]] = []

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """Finish an item; `result` is JSON of its result, if results are collected."""
        self.done.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))

    @property
    def full(self) -> bool:
        """True if its results should be committed soon, because they take up memory."""
        return len(self._results) >= _RESULTS

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """Take the progress and the results for a commit."""
        results, self._results = tuple(self._results), []
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), results

    def give_back(self, results: tuple[tuple[int, bytes], ...]) -> None:
        """Return results that were not committed."""
        self._results[:0] = results
