"""Flows that an operator, or their file, pauses and stops."""

import json

import pytest
from tests.integration.engine_harness import Harness, act, fails

from hookline.catalog.folder_catalog import FolderCatalog
from hookline.engine import Engine
from hookline.kernel.errors import FlowNotFound, FlowUnknown
from hookline.model.access import SYSTEM
from hookline.model.execution import State

WAITS = act("wait", retry={"attempts": 2, "wait": "1m"})


async def begun_and_queued(harness: Harness, engine: Engine) -> tuple[str, str]:
    """An execution that waits for its second attempt, and one that waits behind a flow that is paused."""
    harness.probe.does["wait"] = fails(1)
    begun = await harness.send(engine, "f", 1)
    await harness.until(engine, begun, State.WAITING)
    await engine.version_switch.set_state("f", "paused", by=SYSTEM)
    return begun, await harness.send(engine, "f", 2)


async def still_queued(engine: Engine, execution_id: str) -> bool:
    execution = await engine.store.execution(execution_id)
    return execution is not None and execution.state is State.QUEUED


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("state", ["paused", "stopped"])
async def test_what_has_begun_goes_on_while_its_flow_begins_nothing(
    harness: Harness, state: str, restarts: bool
) -> None:
    harness.flow("f", [WAITS, act("end")])
    async with harness.engine() as engine:
        begun, queued = await begun_and_queued(harness, engine)
        await engine.version_switch.set_state("f", state, by=SYSTEM)  # type: ignore[arg-type]  # one of the three
        if not restarts:
            assert (await harness.advance_until(engine, begun)).state is State.SUCCEEDED
            assert await still_queued(engine, queued)
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, begun)).state is State.SUCCEEDED
        assert await still_queued(engine, queued)
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        assert (await harness.until(engine, queued)).state is State.SUCCEEDED


async def test_a_file_that_says_paused_keeps_what_has_begun_going_too(harness: Harness) -> None:
    harness.flow("f", [WAITS, act("end")])
    harness.probe.does["wait"] = fails(1)
    async with harness.engine() as engine:
        begun = await harness.send(engine, "f", 1)
        await harness.until(engine, begun, State.WAITING)
        harness.flow("f", [WAITS, act("end")], state="paused")
        await engine.version_switch.refresh()
        queued = await harness.send(engine, "f", 2)
        assert (await harness.advance_until(engine, begun)).state is State.SUCCEEDED
        assert await still_queued(engine, queued)


async def test_a_failed_execution_of_a_stopped_flow_can_be_retried(harness: Harness) -> None:
    harness.flow("f", [act("broken")], state="stopped")
    async with harness.engine() as engine:
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        harness.probe.does["broken"] = fails(1, retryable=False)
        execution_id = await harness.send(engine, "f", 1)
        assert (await harness.until(engine, execution_id)).state is State.FAILED
        await engine.version_switch.set_state("f", None, by=SYSTEM)
        await engine.operations.retry(execution_id, by=SYSTEM)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).attempt == 2


async def test_a_stopped_flow_takes_nothing_and_a_paused_one_keeps_what_it_takes(harness: Harness) -> None:
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        await engine.version_switch.set_state("f", "stopped", by=SYSTEM)
        with pytest.raises(FlowUnknown):
            engine.intake.flow("f")
        await engine.version_switch.set_state("f", "paused", by=SYSTEM)
        kept = await harness.send(engine, "f", 1)
        assert await still_queued(engine, kept)
        await engine.version_switch.set_state("f", None, by=SYSTEM)
        await harness.until(engine, kept)
        with pytest.raises(FlowNotFound):
            await engine.version_switch.set_state("g", "paused", by=SYSTEM)


async def test_a_decision_holds_over_restarts_until_the_file_says_something_else(harness: Harness) -> None:
    harness.flow("f", [act("one")])

    def state(engine: Engine) -> tuple[str, bool]:
        flow = engine.catalog.entries["f"].flow
        assert flow is not None
        return engine.states.of(flow), engine.states.override(flow) is not None

    async with harness.engine() as engine:
        await engine.version_switch.set_state("f", "paused", by=SYSTEM)
        assert state(engine) == ("paused", True)
    async with harness.engine() as engine:
        assert state(engine) == ("paused", True)
        # Another version that says the same of its state changes nothing about it.
        harness.flow("f", [act("two")])
        await engine.version_switch.refresh()
        assert state(engine) == ("paused", True)
        harness.flow("f", [act("two")], state="stopped")
        await engine.version_switch.refresh()
        assert state(engine) == ("stopped", False)
        harness.flow("f", [act("two")])
        await engine.version_switch.refresh()
        assert state(engine) == ("active", False)
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        assert state(engine) == ("active", False)
    harness.flow("f", [act("two")], state="paused")
    async with harness.engine() as engine:
        await engine.version_switch.set_state("f", "active", by=SYSTEM)
        assert state(engine) == ("active", True)
        assert dict(await engine.store.state_overrides()).keys() == {"f"}
    harness.flow("f", [act("two")])
    async with harness.engine() as engine:
        assert state(engine) == ("active", False)
        assert await engine.store.state_overrides() == {}


async def test_a_paused_flow_cannot_be_called_for_its_result_before_it_is_active(harness: Harness) -> None:
    harness.flow("callee", [act("inner")], state="paused")
    harness.flow("f", [{"id": "call", "use": "flow", "with": {"id": "callee"}}])
    async with harness.engine() as engine:
        caller = await harness.send(engine, "f", 1)
        await harness.until(engine, caller, State.WAITING)
        assert harness.probe.calls == []
        await engine.version_switch.set_state("callee", "active", by=SYSTEM)
        assert (await harness.until(engine, caller)).state is State.SUCCEEDED


async def test_what_serves_is_kept_before_anything_starts_on_it(harness: Harness) -> None:
    """A message comes while a version begins to serve, and the file changes again: what ran on it can go on."""
    harness.flow("f", [act("one")])
    async with harness.engine() as engine:
        harness.flow("f", [WAITS, {"id": "v", "use": "map", "with": {"body": "second"}}])
        assert isinstance(engine.catalog, FolderCatalog)
        engine.catalog.refresh()  # without publishing it
        harness.probe.does["wait"] = fails(1)
        execution_id = await harness.send(engine, "f", 1)
        await engine.version_switch.refresh()
        await harness.advance_until(engine, execution_id, State.WAITING, seconds=0.1)
        harness.flow("f", [act("third")])
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id)).state is State.SUCCEEDED
        entry = (await harness.journal(engine, execution_id))["v"]
        assert json.loads(entry.output or b"")["body"] == "second"
