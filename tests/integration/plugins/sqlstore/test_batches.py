"""Two connections to PostgreSQL write at once, as two processes would: each execution is in one batch all the same."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hookline.model.batch import BatchItem
from hookline.model.execution import StepState
from hookline.storage.change_declarations import Accept, BatchJoined, BatchLed, Change, JoinBatch, Start
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.dialect import PostgresDialect
from hookline_sqlstore.node_lease import Lease
from hookline_sqlstore.writing.batch_joining import items_of
from hookline_sqlstore.writing.commit_application import apply
from hookline_sqlstore.writing.prepared_commit import prepare_commit

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
async def test_executions_that_join_at_once_by_several_connections_are_in_one_batch(tables: str) -> None:
    address = make_url(tables)
    settings = {"server_settings": {"search_path": address.query["schema"]}}
    engine = create_async_engine(
        address.set(drivername="postgresql+asyncpg", query={}), connect_args=settings, pool_size=4
    )
    clock = ManualClock()
    envelopes = Envelopes(clock)
    try:
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
