"""Connectors that say how often their service wants to be asked: over all flows, for each credential."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs
from tests.integration.engine_harness import Harness

from hookline.api import Connector, Context, hookimpl
from hookline.engine import Engine
from hookline.kernel.errors import PluginError
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State


class Plan(BaseModel):
    """The credential."""

    rate: str | None = None
    secret: SecretStr = SecretStr("")


class Acme:
    """A plugin whose service wants to be asked now and then."""

    def __init__(self, rate: Any) -> None:
        self.ran: list[tuple[str, timedelta]] = []
        self.connector = Connector("acme", credential=Plan, rate=rate)
        self.harness: Harness | None = None

        @self.connector.action(idempotent=True)
        async def call(ctx: Context[Plan | None], name: str = "") -> None:
            """Call it."""
            assert self.harness is not None
            self.ran.append((name, timedelta(seconds=self.harness.clock.monotonic())))

        @self.connector.action(pure=True)
        async def add(a: int) -> int:
            """Add."""
            return a + 1

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """Acme."""
        return [self.connector]


def flows(tmp_path: Path, rate: Any) -> tuple[Harness, Acme]:
    harness, acme = Harness(tmp_path), Acme(rate)
    acme.harness = harness
    harness.plugins.append(acme)
    for flow_id, credential in (("one", "a"), ("two", "a"), ("other", "b")):
        step = {"id": "call", "use": "acme.call", "with": {"name": "$.body"}, "credential": credential}
        harness.flow(flow_id, [{"use": "acme.add", "with": {"a": 1}}, step | {"with": {"name": flow_id}}])
    return harness, acme


async def started(harness: Harness, engine: Engine, *flow_ids: str) -> list[str]:
    return [await harness.send(engine, flow_id, flow_id) for flow_id in flow_ids]


async def test_all_flows_with_one_credential_share_its_turns(tmp_path: Path) -> None:
    harness, acme = flows(tmp_path, "1/m")
    async with harness.engine() as engine:
        for name in ("a", "b"):
            await engine.credentials.put(name, "acme", {}, by=SYSTEM)
        (first,) = await started(harness, engine, "one")
        assert (await harness.until(engine, first)).outcome is Outcome.COMPLETED
        second, other = await started(harness, engine, "two", "other")
        waiting = await harness.until(engine, second, State.WAITING)
        assert waiting.reason == "rate"
        assert waiting.ready_at == harness.clock.now() + timedelta(minutes=1)
        assert (await harness.until(engine, other)).outcome is Outcome.COMPLETED, "another credential has its own"
    # The wait is a row, and outlives the process.
    async with harness.engine() as engine:
        harness.clock.advance(60)
        assert (await harness.until(engine, second)).outcome is Outcome.COMPLETED
    assert acme.ran == [("one", timedelta()), ("other", timedelta()), ("two", timedelta(minutes=1))]


async def test_a_credential_may_say_the_rate(tmp_path: Path) -> None:
    harness, acme = flows(tmp_path, lambda plan: plan.rate)
    async with harness.engine() as engine:
        await engine.credentials.put("a", "acme", {"rate": "1/h"}, by=SYSTEM)
        await engine.credentials.put("b", "acme", {}, by=SYSTEM)
        ids = await started(harness, engine, "one", "other", "other")
        for execution_id in ids:
            await harness.until(engine, execution_id)
        (late,) = await started(harness, engine, "two")
        waiting = await harness.until(engine, late, State.WAITING)
        assert waiting.ready_at == harness.clock.now() + timedelta(hours=1)
    assert len(acme.ran) == 3


@pytest.mark.parametrize("rate", [lambda plan: plan.nothing, lambda _: "often"])
async def test_a_rate_that_is_none_bounds_nothing(tmp_path: Path, rate: Any) -> None:
    harness, acme = flows(tmp_path, rate)
    async with harness.engine() as engine:
        await engine.credentials.put("a", "acme", {}, by=SYSTEM)
        for execution_id in await started(harness, engine, "one", "two"):
            assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert len(acme.ran) == 2


def rate_that_shows_a_secret(plan: Plan) -> str:
    raise RuntimeError(f"no plan {plan.secret.get_secret_value()}")


async def test_a_defect_of_a_rate_is_logged_with_its_plugin_and_without_secrets(tmp_path: Path) -> None:
    harness, acme = flows(tmp_path, rate_that_shows_a_secret)
    with capture_logs() as logs:
        async with harness.engine() as engine:
            await engine.credentials.put("a", "acme", {"secret": "hunter2-hunter2"}, by=SYSTEM)
            (execution_id,) = await started(harness, engine, "one")
            assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert len(acme.ran) == 1
    (defect,) = (line for line in logs if line["event"] == "connector defect")
    assert "Acme" in defect["error"]
    assert "hunter2" not in str(defect)


async def test_a_step_with_a_rate_of_its_own_waits_for_both(tmp_path: Path) -> None:
    harness, acme = flows(tmp_path, "1/m")
    step = {"id": "call", "use": "acme.call", "credential": "a", "rate": "1/h"}
    harness.flow("slow", [step])
    async with harness.engine() as engine:
        await engine.credentials.put("a", "acme", {}, by=SYSTEM)
        first, second = await started(harness, engine, "slow", "slow")
        await harness.until(engine, first)
        waiting = await harness.until(engine, second, State.WAITING)
        assert waiting.ready_at == harness.clock.now() + timedelta(hours=1)
        harness.clock.advance(3600)
        assert (await harness.until(engine, second)).outcome is Outcome.COMPLETED
    assert len(acme.ran) == 2


@pytest.mark.parametrize("rate", ["", "5", "0/s", "5/d", "5 /s"])
def test_what_is_no_rate_is_rejected(rate: str) -> None:
    with pytest.raises(PluginError, match="is not a rate; write 50/s"):
        Connector("acme", rate=rate)
