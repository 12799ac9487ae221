"""Two engines on one PostgreSQL accept together what a flow's rate allows, and no more."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.engine.two_engines import two_engines
from tests.integration.engine_harness import Harness

from hookline.engine import Engine
from hookline.intake.limits import RateLimit
from hookline.kernel.errors import TooManyRequests
from hookline.model.access import SYSTEM
from hookline.model.message import Message

pytestmark = pytest.mark.postgres

_RATE = "20/s"


@pytest.fixture
async def engines(tmp_path: Path, tables: str) -> AsyncIterator[list[Engine]]:
    harness = Harness(tmp_path)
    harness.flow("orders", [], rate=_RATE)
    async with two_engines(tmp_path, tables) as engines:
        yield engines


class Sender:
    """Sends to nodes, and holds all of them to one limit."""

    def __init__(self) -> None:
        self._whole = RateLimit(_RATE)

    async def send(self, engine: Engine) -> bool:
        """Return true if the message is accepted."""
        flow = engine.intake.flow("orders")
        limit = engine.intake.rates.of(flow.id, flow.settings.rate or "")
        assert limit is not None
        now = time.monotonic()
        if limit.wait(now) > 0:
            engine.intake.rates.missed(limit)
            return False
        limit.use(now)
        limit.stored()
        assert self._whole.wait(now) < 0.05, "the rate is exceeded"
        self._whole.use(now)
        return True

    async def send_for(self, seconds: float, engine: Engine, per_second: float) -> list[bool]:
        until, sent = time.monotonic() + seconds, []
        while time.monotonic() < until:
            sent.append(await self.send(engine))
            await asyncio.sleep(1 / per_second)
        return sent


@pytest.mark.long
@pytest.mark.cluster_rule("C7")
async def test_a_rate_moves_to_the_node_that_the_messages_come_to(engines: list[Engine]) -> None:
    sender = Sender()
    for engine in engines:
        await sender.send_for(2.0, engine, 18)
        assert all(await sender.send_for(1.0, engine, 18))


@pytest.mark.cluster_rule("C7")
async def test_a_message_above_the_rate_is_rejected_by_each_node(engines: list[Engine]) -> None:
    accepted = rejected = 0
    began = time.monotonic()
    for place in range(60):
        engine = engines[place % 2]
        try:
            flow, message = engine.intake.flow("orders"), Message({}, {})
            await engine.intake.start(flow, message, execution_id=engine.ids.new(), by=SYSTEM)
            accepted += 1
        except TooManyRequests:
            rejected += 1
    assert rejected
    assert accepted <= 20 + 20 * (time.monotonic() - began) + 1
