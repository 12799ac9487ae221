"""The progress of a foreach with many items."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from typing import Final

from hookline.model.foreach_progress_and_streams import Done, Progress

#: The number of results that may wait for the next commit, and their bytes.
_RESULTS: Final = 500
_BYTES: Final = 1_000_000


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
        self._size = 0
        """The bytes of these results."""
        self._finished_since = Done()
        """The items that have finished since the last `take`."""
        self._returned: tuple[tuple[int, bytes], ...] = ()
        """Runs of results whose commit failed, or is not known to have taken place: they stay as they are."""

    def finish(self, index: int, at: datetime, *, result: bytes | None, failed: bool) -> None:
        """Finish an item; `result` is JSON of its result, if results are collected."""
        self.done.add(index)
        self._finished_since.add(index)
        self.failed += failed
        self.latest = max(self.latest, at)
        if result is not None:
            self._results.append((index, result))
            self._size += len(result)

    @property
    def full(self) -> bool:
        """True if its results should be committed soon, because they take up memory."""
        return len(self._results) >= _RESULTS or self._size >= _BYTES

    def take(self) -> tuple[Progress, tuple[tuple[int, bytes], ...]]:
        """Take the progress and the results for a commit: the first item of each run of results, and their lines.

        The store keeps each run in one row: deleting a million rows would take seconds. Items that only compute are
        committed hundreds at a time and make long runs; an item with an effect is committed at once, as a run of its
        own. All items of a run, and those between them, have finished since the last call, so runs never overlap.
        """
        runs = (*self._returned, *self._runs())
        self._results, self._size, self._returned, self._finished_since = [], 0, (), Done()
        self.stored = True
        return Progress(self.path, self.total, self.done.ranges(), self.failed, self.latest), runs

    def _runs(self) -> Iterator[tuple[int, bytes]]:
        for _, run in groupby(sorted(self._results), key=lambda one: self._finished_since.ranges_until(one[0])):
            first, size, lines = -1, 0, list[bytes]()
            for index, line in run:
                if size > _BYTES:
                    # Many large results can arrive during another commit, and a row must not become too large.
                    yield first, b"\n".join(lines)
                    size, lines = 0, []
                first = first if lines else index
                lines.append(line)
                size += len(line)
            yield first, b"\n".join(lines)

    def give_back(self, runs: tuple[tuple[int, bytes], ...]) -> None:
        """Return runs of results that were not committed."""
        self._returned += runs
