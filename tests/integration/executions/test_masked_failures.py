"""What a plugin says as it fails: nothing secret of its credential is in it, in the log or in the execution."""

import asyncio
from typing import Any

import pytest
import structlog
from tests.integration.engine_harness import Harness, ProbeKey

from hookline.api import Context, PollContext, PollResult, StepError
from hookline.model.access import SYSTEM

SECRET = "the-key-of-the-probe"


def trouble(kind: str) -> Exception:
    said = f"401 for https://erp.example/?key={SECRET}"
    return StepError(said, code="probe.rejected") if kind == "error" else RuntimeError(said)


@pytest.mark.parametrize("kind", ["error", "defect"])
async def test_a_step_that_fails_shows_no_secret(harness: Harness, kind: str) -> None:
    @harness.probe.connector.action
    async def ask(ctx: Context[ProbeKey]) -> None:
        """Ask."""
        ctx.log.warning(f"asking with {SECRET}")
        raise trouble(kind)

    harness.flow("f", [{"id": "ask", "use": "probe.ask", "credential": "key", "retry": {"attempts": 1}}])
    with structlog.testing.capture_logs() as logs:
        async with harness.engine() as engine:
            await engine.credentials.put("key", "probe", {"token": SECRET}, by=SYSTEM)
            execution = await harness.until(engine, await harness.send(engine, "f", 1))
    assert execution.error is not None
    assert "401 for https://erp.example/?key=" in execution.error.message
    assert SECRET not in execution.error.message
    assert any("asking with" in line["event"] for line in logs)
    assert SECRET not in repr([line for line in logs if "exc_info" not in line])


@pytest.mark.parametrize("kind", ["error", "defect"])
async def test_a_poll_that_fails_shows_no_secret(harness: Harness, kind: str) -> None:
    @harness.probe.connector.poll(every="1m")
    async def news(ctx: PollContext[ProbeKey], cursor: Any) -> PollResult:
        """Look."""
        raise trouble(kind)

    harness.flow("f", [], trigger={"use": "probe.news", "credential": "key"})
    async with harness.engine() as engine:
        await engine.credentials.put("key", "probe", {"token": SECRET}, by=SYSTEM)
        async with asyncio.timeout(30):
            while "401" not in (said := (await harness.looked(engine, "f")).error or ""):
                engine.sources.try_again()
                await asyncio.sleep(0)
    assert "401 for https://erp.example/?key=" in said
    assert SECRET not in said
