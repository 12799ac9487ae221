"""Batches of many callers at once, against a model that is a dict."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, StoreError
from hookline.model.execution import TRANSITIONS, Outcome, State
from hookline.model.message import Envelope
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Change,
    Duplicate,
    End,
    Park,
    RecordSteps,
    Reopen,
    Resume,
    Start,
)
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import sqlite

CLOCK = ManualClock()
NOW = CLOCK.now()
ENVELOPES = Envelopes(CLOCK)
POOL = tuple(
    ENVELOPES.make(flow_id=flow_id, key=key)
    for flow_id, key in [("a", None), ("a", "k"), ("a", "k"), ("b", "k"), ("b", None), ("a", "l"), ("a", "l")]
)


@dataclass(frozen=True)
class _Execution:
    envelope: Envelope
    state: State = State.QUEUED
    attempt: int = 1
    bound: bool = False
    """It has started once."""
    journal: frozenset[int] = frozenset()


@dataclass
class _Model:
    executions: dict[str, _Execution] = field(default_factory=dict)

    def commit(self, batch: Sequence[Change]) -> list[Accepted | Duplicate | None] | type[Exception]:
        before = dict(self.executions)
        try:
            return [self._apply(change) for change in batch]
        except (IllegalStateChange, ExecutionNotFound) as error:
            self.executions = before
            return type(error)

    def _apply(self, change: Change) -> Accepted | Duplicate | None:
        if isinstance(change, Accept):
            new = change.envelope
            if new.execution_id in self.executions:
                return Duplicate(new.execution_id)
            for id_, known in self.executions.items():
                key = known.envelope.dedupe_key
                if key is not None and (known.envelope.flow_id, key) == (new.flow_id, new.dedupe_key):
                    return Duplicate(id_)
            self.executions[new.execution_id] = _Execution(new)
            return Accepted(new.execution_id)
        assert isinstance(change, Start | Resume | RecordSteps | Park | End | Reopen)
        old = self.executions.get(change.execution_id)
        if old is None:
            raise ExecutionNotFound
        self.executions[change.execution_id] = self._moved(old, change)
        return None

    def _moved(self, old: _Execution, change: Change) -> _Execution:
        match change:
            case Start() if old.state in (State.QUEUED, State.WAITING) and not old.bound:
                return replace(old, state=State.RUNNING, bound=True)
            case Resume() if old.state in (State.WAITING, State.RUNNING):
                return replace(old, state=State.RUNNING)
            case Park() if old.state in (State.QUEUED, State.RUNNING):
                return replace(old, state=State.WAITING)
            case End(state=state) if state in TRANSITIONS[old.state]:
                return replace(old, state=state)
            case Reopen() if old.state is State.FAILED:
                return replace(old, state=State.WAITING, attempt=old.attempt + 1)
            case RecordSteps(steps=steps) if old.state is State.RUNNING and not old.journal & {
                step.seq for step in steps
            }:
                return replace(old, journal=old.journal | {step.seq for step in steps})
        raise IllegalStateChange


_ids = st.sampled_from([envelope.execution_id for envelope in POOL])
_outcomes = {
    State.SUCCEEDED: Outcome.COMPLETED,
    State.FAILED: Outcome.FAILED,
    State.CANCELLED: Outcome.CANCELLED,
}
_changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Accept, st.sampled_from(POOL)),
    st.builds(Start, _ids, st.just("v1"), st.just(NOW)),
    st.builds(Resume, _ids, st.just(NOW)),
    st.builds(lambda id_, seq: RecordSteps(id_, (ENVELOPES.record(seq),)), _ids, st.integers(1, 3)),
    st.builds(Park, _ids, st.just(NOW), st.just(NOW), st.just("retry")),
    st.builds(lambda id_, state: End(id_, state, _outcomes[state], NOW), _ids, st.sampled_from(list(_outcomes))),
    st.builds(Reopen, _ids, st.just(NOW)),
)


async def _compare(rounds: list[list[list[Change]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        backend = sqlite(f"sqlite:///{folder}/x.db", clock=CLOCK)
        await backend.open()
        try:
            model = _Model()
            for batches in rounds:
                # Batches that are given together are committed in the order in which they were given.
                expected = [model.commit(batch) for batch in batches]
                results = await asyncio.gather(
                    *(backend.store.commit(batch) for batch in batches), return_exceptions=True
                )
                assert [type(one) if isinstance(one, Exception) else one for one in results] == expected
            for envelope in POOL:
                id_ = envelope.execution_id
                kept, known = await backend.store.execution(id_), model.executions.get(id_)
                assert (kept is None) == (known is None)
                if kept is not None and known is not None:
                    journal = frozenset(entry.seq for entry in await backend.store.journal(id_))
                    assert (kept.state, kept.attempt, journal) == (known.state, known.attempt, known.journal)
                    assert await backend.store.envelope(id_) == envelope
        finally:
            await backend.close()


@pytest.mark.rule(1)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=st.lists(st.lists(st.lists(_changes, max_size=4), max_size=6), max_size=4))
def test_commits_do_what_a_dict_does(rounds: list[list[list[Change]]]) -> None:
    asyncio.run(_compare(rounds))


@pytest.mark.rule(1)
async def test_what_the_database_undid_together_with_another_batch_is_not_reported_as_durable(tmp_path: Path) -> None:
    """A full disk, for one, may undo the whole transaction, and not only the statement that it met."""
    backend = sqlite(f"sqlite:///{tmp_path}/hookline.db", clock=CLOCK)
    await backend.open()
    envelopes = [ENVELOPES.make() for _ in range(9)]
    fatal = envelopes[4].execution_id
    with closing(sqlite3.connect(tmp_path / "hookline.db")) as raw:
        raw.execute(
            f"create trigger undo before insert on executions when new.id = '{fatal}'"
            " begin select raise(rollback, 'undone'); end"
        )
    try:
        results = await asyncio.gather(
            *(backend.store.commit([Accept(envelope)]) for envelope in envelopes), return_exceptions=True
        )
        for envelope, result in zip(envelopes, results, strict=True):
            stored = await backend.store.execution(envelope.execution_id)
            assert (stored is not None) == isinstance(result, list), "durable is what is said to be, and nothing else"
        assert isinstance(results[4], StoreError)
        assert isinstance(await backend.store.commit([Accept(ENVELOPES.make())]), list)
    finally:
        await backend.close()
