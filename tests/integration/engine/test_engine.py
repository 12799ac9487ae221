"""What the engine promises, over a real SQLite file: a message runs through its flow."""

import json
from pathlib import Path

from tests.integration.engine_harness import Harness, act

from hookline.model.execution import Outcome, State, StepState


async def test_a_message_runs_through_its_flow_and_each_step_is_recorded(harness: Harness) -> None:
    harness.flow(
        "f", [act("one", {"n": "$.body.n"}), {"id": "two", "use": "map", "with": {"body": "$.steps.one.body.n"}}]
    )
    async with harness.engine() as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", {"n": 3}))
        assert (execution.state, execution.outcome) == (State.SUCCEEDED, Outcome.COMPLETED)
        records = await engine.store.journal(execution.id)
        assert [(r.seq, r.path, r.use, r.state) for r in records] == [
            (1, "one", "probe.act", StepState.SUCCEEDED),
            (2, "two", "map", StepState.SUCCEEDED),
        ]
        assert records[0].input == b'{"value":{"n":3}}'
        assert json.loads(records[1].output or b"") == {"body": 3}


async def test_two_engines_live_in_one_process(tmp_path: Path) -> None:
    harnesses = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        harnesses.append(Harness(tmp_path / name))
        harnesses[-1].flow("f", [act("one", name)])
    async with harnesses[0].engine() as first, harnesses[1].engine() as second:
        for harness, engine in zip(harnesses, (first, second), strict=True):
            await harness.until(engine, await harness.send(engine, "f", 1))
    assert [harness.probe.calls[0][3] for harness in harnesses] == ["a", "b"]
