"""The fixtures of the contract of stores."""

from typing import Final

import pytest

from hookline.model.execution import FINAL, Outcome, State
from hookline.model.message import Envelope
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept, Change, End, Park, Start
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

OUTCOMES: Final = {
    State.SUCCEEDED: Outcome.COMPLETED,
    State.FAILED: Outcome.FAILED,
    State.CANCELLED: Outcome.CANCELLED,
}
"""The outcomes of executions by their final states."""


class StoreFixtures:
    """Fixtures to define: `clock`, a ManualClock, and `backend`, open, empty, and on that clock."""

    @pytest.fixture
    def store(self, backend: Backend) -> Store:
        """The store under test."""
        return backend.store

    @pytest.fixture
    def envelopes(self, clock: ManualClock) -> Envelopes:
        """The factory of messages."""
        return Envelopes(clock)

    async def _accept(self, store: Store, *envelopes: Envelope) -> None:
        await store.commit([Accept(envelope) for envelope in envelopes])

    async def _run(self, store: Store, envelope: Envelope) -> None:
        await store.commit([Accept(envelope), Start(envelope.execution_id, "v1", envelope.accepted_at)])

    async def _bring(self, store: Store, envelopes: Envelopes, state: State) -> str:
        """Make an execution in a state."""
        envelope = envelopes.make()
        id_, now = envelope.execution_id, envelope.accepted_at
        changes: list[Change] = [Accept(envelope)]
        if state is not State.QUEUED:
            changes.append(Start(id_, "v1", now))
        if state is State.WAITING:
            changes.append(Park(id_, now, None, "blocked: x"))
        elif state in FINAL:
            changes.append(End(id_, state, OUTCOMES[state], now))
        await store.commit(changes)
        return id_
