"""Several workers share out the tests without loss, and each file's tests stay together."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.shares import BROWSERS, shared_out


def made_up(file: str, count: int) -> list[Any]:
    return [SimpleNamespace(nodeid=f"tests/{file}::test_{number}") for number in range(count)]


SLOW = ("acceptance", "browser", "integration")
ITEMS = [
    *(item for number in range(9) for item in made_up(f"acceptance/test_{number}.py", 3)),
    *(item for number in range(6) for item in made_up(f"browser/test_{number}.py", 4)),
    *(item for number in range(40) for item in made_up(f"integration/room/test_{number}.py", number)),
    *made_up("unit/test_many.py", 800),
]


@pytest.mark.parametrize("workers", [2, 3, 4, 7])
def test_each_share_begins_with_whole_slow_files_and_ends_with_fast_tests(workers: int) -> None:
    ordered = shared_out(ITEMS, workers)
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in ITEMS)
    owners: dict[str, set[int]] = {}
    left = ordered
    for place in range(workers):
        size = len(left) // (workers - place)
        names, left = [item.nodeid for item in left[:size]], left[size:]
        assert names[0].split("/")[1] != "unit"
        assert names[-1].split("/")[1] == "unit"
        for name in names:
            owners.setdefault(name.partition("::")[0], set()).add(place)
    fast = owners.pop("tests/unit/test_many.py")
    assert len(fast) == workers
    assert all(len(places) == 1 for places in owners.values())
    assert len(set[int]().union(*(places for file, places in owners.items() if "/browser/" in file))) <= BROWSERS


def test_few_tests_are_shared_out_too() -> None:
    items = made_up("acceptance/test_1.py", 5)
    assert shared_out(items, 4) == items


def test_without_fast_tests_nothing_is_lost() -> None:
    items = [item for number in range(10) for folder in SLOW for item in made_up(f"{folder}/test_{number}.py", 7)]
    ordered = shared_out(items, 4)
    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
