"""An execution with a free slot starts in the commit that accepts its message."""

from collections.abc import Sequence

import pytest
from tests.integration.engine_harness import Hang, Harness, act

from hookline.model.access import SYSTEM
from hookline.model.execution import State, StepState
from hookline.storage.change_declarations import Accept, Change, CommitResult, PutStatistics
from hookline.storage.store import Store


def watch(store: Store, commits: list[Sequence[Change]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the commits of a store."""
    commit = store.commit

    async def noted(changes: Sequence[Change]) -> Sequence[CommitResult]:
        commits.append(changes)
        return await commit(changes)

    monkeypatch.setattr(store, "commit", noted)


async def test_an_execution_with_one_action_takes_two_commits(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[Sequence[Change]] = []
    harness.flow("f", [{"id": "made", "use": "map", "with": {"body": {"n": "$.body"}}}, act("one")])
    async with harness.engine() as engine:
        watch(engine.store, commits, monkeypatch)
        execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.state is State.SUCCEEDED
    # The statistics are for many executions at once.
    of_executions = [changes for changes in commits if not isinstance(changes[0], PutStatistics)]
    assert [[type(change).__name__ for change in changes] for changes in of_executions] == [
        ["Accept"],
        ["RecordSteps", "End"],
    ]
    (accept,) = of_executions[0]
    assert isinstance(accept, Accept)
    assert accept.start is not None
    assert (execution.flow_version, execution.started_at) == (accept.start.flow_version, accept.start.at)


async def test_without_a_free_slot_it_is_queued_and_runs_later(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    harness.flow("f", [act("one")], concurrency=1)
    async with harness.engine() as engine:
        first = await harness.send(engine, "f", 1)
        await hang.reached.wait()
        second = await harness.send(engine, "f", 2)
        stored = await engine.store.execution(second)
        assert stored is not None
        assert (stored.state, engine.intake.backlog("f")) == (State.QUEUED, 1)
        harness.probe.does.clear()
        await engine.operations.cancel(first, by=SYSTEM)
        assert (await harness.until(engine, second)).state is State.SUCCEEDED
        assert engine.intake.backlog("f") == 0


@pytest.mark.parametrize("settings", [{"state": "paused"}, {"order_by": "$.body.key"}])
async def test_what_has_to_wait_for_its_turn_is_queued(
    harness: Harness, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[Sequence[Change]] = []
    harness.flow("f", [act("one")], **settings)
    async with harness.engine() as engine:
        watch(engine.store, commits, monkeypatch)
        await harness.send(engine, "f", {"key": "a"})
    accepts = [change for changes in commits for change in changes if isinstance(change, Accept)]
    assert [accept.start for accept in accepts] == [None]


async def test_what_decided_that_a_step_follows_is_durable_before_the_step_takes_effect(harness: Harness) -> None:
    refund = Hang()
    harness.probe.does.update(pay=Hang(), refund=refund)
    broken = {"id": "broken", "use": "map", "with": {"body": "$.body.missing"}}
    block = {"id": "both", "parallel": {"a": [act("pay")], "b": [broken]}}
    harness.flow("f", [{"id": "t", "try": [block], "catch": [act("refund")]}])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {})
        await refund.reached.wait()
        stored = {record.path: record.state for record in await engine.store.journal(execution_id)}
    assert stored["t/both"] is StepState.FAILED
    assert stored["t/both/broken"] is StepState.FAILED
