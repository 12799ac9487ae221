"""Two connections to PostgreSQL write at once, as two processes would: each execution is in one batch all the same."""

import asyncio
import os
import uuid
from collections import Counter

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tests.integration.plugins.sqlstore.test_backend import POSTGRES

from hookline.model.batch import BatchItem
from hookline.model.execution import StepState
from hookline.storage.changes import Accept, BatchJoined, BatchLed, Change, JoinBatch, Start
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.databases.schema import upgrade
from hookline_sqlstore.writing.apply import apply
from hookline_sqlstore.writing.batches import items_of
from hookline_sqlstore.writing.lease import Lease
from hookline_sqlstore.writing.operations import prepare_commit
from hookline_sqlstore.writing.statement import PostgresDialect

COUNT = 150
SIZE = 2


async def _write(engine: AsyncEngine, changes: list[list[Change]], clock: ManualClock) -> list[BatchLed | BatchJoined]:
    """Commit them one after the other, and give what came of the last of each."""
    found: list[BatchLed | BatchJoined] = []
    async with engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        lease = Lease(NodeDescription())
        await lease.register((await connection.get_raw_connection()).driver_connection)
        for each in changes:
            made = prepare_commit(each)
            assert await connection.run_sync(apply, PostgresDialect(lease), [made]) == [None]
            result = made.results[-1]
            assert isinstance(result, BatchLed | BatchJoined)
            found.append(result)
            await asyncio.sleep(0)
    return found


@pytest.mark.postgres
async def test_whoever_comes_at_once_by_two_connections_is_in_one_batch() -> None:
    name = f"hookline_{uuid.uuid4().hex[:12]}"
    try:
        admin = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    url = POSTGRES.replace("postgresql://", "postgresql+asyncpg://", 1)
    settings = {"server_settings": {"search_path": name}}
    engine = create_async_engine(url, connect_args=settings, pool_size=4)
    clock = ManualClock()
    envelopes = Envelopes(clock)
    try:
        await admin.execute(f'CREATE SCHEMA "{name}"')
        async with engine.connect() as connection:
            await connection.run_sync(upgrade)
        comes: list[list[Change]] = []
        for _ in range(COUNT):
            envelope = envelopes.make()
            id_, now = envelope.execution_id, clock.now()
            entry = envelopes.record(1, "lines", use="batch", state=StepState.WAITING, output=None)
            join = JoinBatch(entry, "orders", "v1", "k", SIZE, BatchItem(id_, b"1"), now)
            comes.append([Accept(envelope), Start(id_, "v1", now), join])
        halves = await asyncio.gather(*(_write(engine, comes[start::3], clock) for start in range(3)))
        results = [one for half in halves for one in half]
        leaders = Counter(one.leader_id for one in results if isinstance(one, BatchJoined))
        assert sum(isinstance(one, BatchLed) for one in results) == COUNT // SIZE
        assert set(leaders.values()) == {SIZE - 1}
        async with engine.connect() as connection:
            kept = [await connection.run_sync(items_of, leader, "lines") for leader in leaders]
        members = [one.execution_id for gathered in kept for one in gathered]
        assert sorted(members) == sorted(each[0].envelope.execution_id for each in comes if isinstance(each[0], Accept))
    finally:
        await engine.dispose()
        await admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        await admin.close()
