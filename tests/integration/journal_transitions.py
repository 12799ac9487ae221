"""Every entry of a step that is written follows the table of transitions, which the chart in the docs is drawn from."""

from typing import Any

import pytest

from hookline.executions.journal.journal import Journal
from hookline.model.execution import STEP_TRANSITIONS, StepRecord


def watch_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an entry that isn't declared fail from now on."""
    add, note_committed = Journal._add, Journal._note_committed

    def checked(journal: Journal, record: StepRecord, stored: StepRecord, **more: Any) -> None:
        _check(journal, record)
        add(journal, record, stored, **more)

    def checked_committed(journal: Journal, record: StepRecord) -> None:
        """Entries of numbers and of batches are written by other changes."""
        _check(journal, record)
        note_committed(journal, record)

    monkeypatch.setattr(Journal, "_add", checked)
    monkeypatch.setattr(Journal, "_note_committed", checked_committed)


def _check(journal: Journal, record: StepRecord) -> None:
    last = journal.last_entry(record.path)
    old = None if last is None else last.state
    assert record.state in STEP_TRANSITIONS[old], f"{record.path}: {old} -> {record.state} isn't declared"
