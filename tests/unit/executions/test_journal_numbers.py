"""The numbers of a journal's entries."""

from types import SimpleNamespace
from typing import Any

import pytest

from hookline.executions.journal.journal import Journal
from hookline.model.execution import StepRecord, StepState
from hookline.testing.clock import ManualClock

NOW = ManualClock().now()


def _entry(seq: int) -> StepRecord:
    return StepRecord(seq, "a", "a", "probe.act", StepState.SUCCEEDED, 1, NOW, NOW)


@pytest.mark.parametrize(
    ("stored", "reopened_after", "number"), [((), 0, 1), ((1, 3), 0, 4), ((1, 3), 2, 4), ((1, 3), 7, 8), ((), 7, 8)]
)
def test_a_new_entry_never_counts_as_one_from_before_the_retry(
    stored: tuple[int, ...], reopened_after: int, number: int
) -> None:
    """Entries of finished items are dropped, also those whose numbers were the highest when an operator retried."""
    services: Any = SimpleNamespace(store=None)
    journal = Journal("id", services, [_entry(seq) for seq in stored], (), reopened_after=reopened_after)
    added = journal.add(
        recomputable=True,
        id="b",
        path="b",
        use="probe.act",
        state=StepState.SUCCEEDED,
        attempt=1,
        started_at=NOW,
        finished_at=NOW,
    )
    assert added.seq == number
