"""Every entry that these tests write follows the table of transitions."""

from typing import Any

import pytest

from hookline.executions.journal.journal import Journal
from hookline.model.execution import STEP_TRANSITIONS, StepRecord


@pytest.fixture(autouse=True)
def _only_declared_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Journal._add

    def checked(journal: Journal, record: StepRecord, stored: StepRecord, **more: Any) -> None:
        past = journal.last_entry(record.path)
        old = None if past is None else past.state
        assert record.state in STEP_TRANSITIONS[old], f"{record.path}: {old} -> {record.state} isn't declared"
        add(journal, record, stored, **more)

    monkeypatch.setattr(Journal, "_add", checked)
