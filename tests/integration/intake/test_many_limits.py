"""A node with many flows takes and gives the parts of their limits in few commits."""

import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url
from tests.unit.intake.sharing_nodes import flow_of

from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.clocks import SystemClock
from hookline.storage.cluster import NodeDescription
from hookline_sqlstore.postgres_backend import PostgresBackend

pytestmark = pytest.mark.postgres

_FLOWS = 10_000


@pytest.fixture
async def backend(tables: str) -> AsyncIterator[PostgresBackend]:
    backend = PostgresBackend(make_url(tables), clock=SystemClock())
    await backend.open(NodeDescription("one"))
    yield backend
    await backend.close()


@pytest.mark.long
@pytest.mark.cluster_rule("C7")
async def test_a_node_with_10_000_flows_takes_and_gives_its_parts_in_seconds(backend: PostgresBackend) -> None:
    flows = [flow_of("10/s", f"flow-{number}") for number in range(_FLOWS)]
    limits = SharedLimits(SystemClock(), backend.membership, lambda: flows)
    # Processor time of this process, since a busy machine says nothing about the number of commits.
    began = time.process_time()
    await limits.refresh()
    assert all(limits.of(flow.id, "10/s").parts == 10 for flow in flows)
    assert not limits.asking
    await limits.leave()
    assert time.process_time() - began < 10
    assert not [row for row in await backend.membership.limit_parts() if row.lease]
