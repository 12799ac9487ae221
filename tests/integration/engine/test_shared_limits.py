"""Two engines on one PostgreSQL accept and run together what the limits of a flow allow, and no more."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.engine.two_engines import two_engines
from tests.integration.engine_harness import KEYS, Harness

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.intake.limits import RateLimit
from hookline.kernel.errors import TooManyRequests
from hookline.model.access import SYSTEM
from hookline.model.execution import StepRecord, StepState
from hookline.model.message import Message

pytestmark = pytest.mark.postgres

_RATE = "20/s"


@pytest.fixture
async def engines(tmp_path: Path, tables: str) -> AsyncIterator[list[Engine]]:
    harness = Harness(tmp_path)
    harness.flow("orders", [], rate=_RATE)
    harness.flow("stopped", [], state="paused", max_queued=10)
    harness.flow("spaced", [{"id": "set", "use": "state.set", "with": {"key": "k", "value": 1}, "rate": "4/s"}])
    async with two_engines(tmp_path, tables) as engines:
        yield engines


class Sender:
    """Sends to nodes, and holds all of them to one limit."""

    def __init__(self) -> None:
        self._whole = RateLimit(_RATE)

    async def send(self, engine: Engine) -> bool:
        """Return true if the message is accepted."""
        flow = engine.intake.flow("orders")
        limit = engine.intake.limits.of(flow.id, flow.settings.rate or "")
        assert limit is not None
        now = time.monotonic()
        if limit.wait(now) > 0:
            engine.intake.limits.missed(limit)
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
    for engine in itertools.cycle(engines):
        if rejected == 10:
            break
        try:
            flow, message = engine.intake.flow("orders"), Message({}, {})
            await engine.intake.start(flow, message, execution_id=engine.ids.new(), by=SYSTEM)
            accepted += 1
        except TooManyRequests:
            rejected += 1
    assert accepted <= 20 + 20 * (time.monotonic() - began) + 1


async def _start(engine: Engine, flow_id: str) -> str:
    execution_id = engine.ids.new()
    await engine.intake.start(engine.intake.flow(flow_id), Message({}, {}), execution_id=execution_id, by=SYSTEM)
    return execution_id


@pytest.mark.cluster_rule("C7")
async def test_a_queue_is_filled_to_its_limit_by_both_nodes_and_no_further(engines: list[Engine]) -> None:
    accepted, until = 0, time.monotonic() + 20
    while accepted < 10:
        assert time.monotonic() < until, "parts don't move"
        for engine in engines:
            try:
                await _start(engine, "stopped")
                accepted += 1
            except TooManyRequests:
                await asyncio.sleep(0.1)
    for engine in engines:
        with pytest.raises(TooManyRequests):
            await _start(engine, "stopped")
    assert (await engines[0].store.backlog())["stopped"][0] == 10


@pytest.mark.cluster_rule("C7")
async def test_a_node_that_has_started_rejects_nothing_below_the_limit(engines: list[Engine]) -> None:
    # The first node had all ten parts until the other one started.
    for engine in reversed(engines):
        await _start(engine, "stopped")


@pytest.mark.cluster_rule("C7")
async def test_a_command_takes_no_parts_until_it_starts_a_flow(
    engines: list[Engine], tmp_path: Path, tables: str
) -> None:
    options = EngineOptions(
        db=tables,
        blobs=f"file://{tmp_path}/blobs",
        flows=tmp_path / "flows",
        secret_keys=KEYS,
        node_name="command",
        watch=False,
        triggers=False,
    )
    command = Engine(load_plugins(), options)
    await command.connect()
    try:
        rows = await command.membership.limit_parts()
        assert not any(row.mine for row in rows)
        # The other nodes have all of them, and give some.
        await _start(command, "orders")
        rows = await command.membership.limit_parts()
        assert sum(row.count for row in rows if row.mine and row.name == "orders") > 0
    finally:
        await command.stop()
    rows = await engines[0].membership.limit_parts()
    assert len({row.lease for row in rows if row.lease}) == 2


@pytest.mark.cluster_rule("C7")
async def test_the_runs_of_a_step_keep_to_its_rate_over_both_nodes(engines: list[Engine]) -> None:
    began = time.monotonic()
    started = [await _start(engine, "spaced") for _ in range(8) for engine in engines]
    ran = list[float]()
    async with asyncio.timeout(40):
        for execution_id in started:
            while not (entries := await _succeeded(engines[0], execution_id)):  # noqa: ASYNC110 - two engines run it
                await asyncio.sleep(0.1)
            ran += [entry.started_at.timestamp() for entry in entries]
    assert time.monotonic() - began > 2
    ran.sort()
    # Four at once, and then one each quarter of a second.
    whole = RateLimit("4/s")
    for at in ran:
        assert whole.wait(at) < 0.05, "the rate is exceeded"
        whole.use(at)


async def _succeeded(engine: Engine, execution_id: str) -> list[StepRecord]:
    return [entry for entry in await engine.store.journal(execution_id) if entry.state is StepState.SUCCEEDED]
