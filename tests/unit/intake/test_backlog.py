"""The numbers of queued executions, and whether they are certain."""

from collections.abc import Callable

import pytest

from hookline.intake.backlog import Backlog
from hookline.testing.clock import ManualClock


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(ManualClock(), max_backlog=10, max_backlog_total=10)


def _leave_in_doubt(backlog: Backlog) -> None:
    with backlog.leaving("orders"):
        pass


def _accept_in_doubt(backlog: Backlog) -> None:
    backlog.reserve("orders")
    backlog.settle("orders", queued=None)


@pytest.mark.parametrize("happens", [_leave_in_doubt, _accept_in_doubt, Backlog.doubt])
def test_what_happens_while_the_store_counts_leaves_the_numbers_uncertain(
    backlog: Backlog, happens: Callable[[Backlog], None]
) -> None:
    backlog.enter("orders")
    backlog.doubt()
    before = backlog.changes
    happens(backlog)
    backlog.set_all({"orders": 1}, before)
    assert backlog.uncertain
    backlog.set_all({"orders": 1}, backlog.changes)
    assert not backlog.uncertain


def test_a_number_that_was_wrong_is_counted_once_more(backlog: Backlog) -> None:
    backlog.enter("orders")
    backlog.set_all({"orders": 3, "others": 1}, backlog.changes)
    assert (backlog.of("orders"), backlog.of("others"), backlog.uncertain) == (3, 1, True)
    backlog.set_all({"orders": 3, "others": 1}, backlog.changes)
    assert not backlog.uncertain
