"""The order in which several workers run the tests: slow ones first, and those of one file by one worker.

`--dist worksteal` cuts the list into one equal share for each worker. A worker that has finished takes half of what is
left of the longest share, from its end. So each share begins with whole files whose tests start servers or browsers,
and ends with tests that take milliseconds. If there are too few of these to fill the shares, their borders shift, and a
slow file may be cut.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

import pytest

#: How long a test of a folder takes, compared with one of `integration`. Those of other folders are fast.
WEIGHTS: Final = {"browser": 12, "acceptance": 6, "integration": 1}
BROWSERS: Final = 2
"""The most workers that begin with tests in a browser."""


def shared_out(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in such an order that cutting them into this many equal parts gives the shares."""
    files = [list(group) for _, group in groupby(items, _file)]
    slow = sorted((file for file in files if _weight(file)), key=_weight, reverse=True)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    loads = [0] * workers
    most = len(items) // workers
    for file in slow:
        chosen = range(min(BROWSERS, workers)) if _folder(file[0]) == "browser" else range(workers)
        with_room = [place for place in chosen if len(shares[place]) + len(file) <= most]
        least = min(with_room or chosen, key=loads.__getitem__)
        shares[least] += file
        loads[least] += _weight(file)
    fast = [item for file in files if not _weight(file) for item in file]
    ordered: list[pytest.Item] = []
    for place, share in enumerate(shares):
        size = (len(items) - len(ordered)) // (workers - place)
        missing = max(0, size - len(share))
        ordered += share + fast[:missing]
        del fast[:missing]
    return ordered + fast


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _folder(item: pytest.Item) -> str:
    _, _, path = item.nodeid.partition("/")
    return path.partition("/")[0]


def _weight(file: Iterable[pytest.Item]) -> int:
    return sum(WEIGHTS.get(_folder(item), 0) for item in file)
