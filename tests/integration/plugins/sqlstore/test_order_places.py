"""A queue of an order key is a row exactly as long as an execution is in it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hookline.kernel.errors import IllegalStateChange
from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept, Accepted, Cancel, Duplicate, End, Start
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql, sqlite


@pytest.fixture(params=["file_url", pytest.param("tables", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def backend(url: str, clock: ManualClock) -> AsyncIterator[Backend]:
    backend = (sqlite if url.startswith("sqlite") else postgresql)(url, clock=clock)
    await backend.open()
    yield backend
    await backend.close()


async def _queues(backend: Backend) -> int:
    """The number of queues."""
    found = await backend.store._database.read(  # type: ignore[attr-defined]  # the table is nobody's business but its own
        lambda connection: connection.exec_driver_sql("SELECT count(*) FROM lines").scalar()
    )
    return int(found)


@pytest.mark.rule(28)
async def test_a_queue_is_there_as_long_as_an_execution_is_in_it(backend: Backend, clock: ManualClock) -> None:
    store, envelopes, now = backend.store, Envelopes(clock), clock.now()
    first, second = envelopes.make(order_key="a", key="m1"), envelopes.make(order_key="a")
    assert await store.commit([Accept(first)]) == [Accepted(first.execution_id)]
    assert await _queues(backend) == 1
    # A duplicate joins no queue, whether the queue is there or not.
    for key in ("a", "b"):
        (answer,) = await store.commit([Accept(envelopes.make(order_key=key, key="m1"))])
        assert isinstance(answer, Duplicate)
        assert await _queues(backend) == 1
    # Several share a transaction, one of which is undone.
    unknown = End("01a20e14-1c21-708f-b502-459830859189", State.SUCCEEDED, Outcome.COMPLETED, now)
    told = await asyncio.gather(
        store.commit([Accept(second)]),
        store.commit([Accept(envelopes.make(order_key="c")), unknown]),
        store.commit([Accept(envelopes.make(order_key="d"))]),
        return_exceptions=True,
    )
    assert isinstance(told[1], Exception)
    assert await _queues(backend) == 2
    await store.commit([Start(first.execution_id, "v1", now)])
    ended = End(first.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)
    await asyncio.gather(store.commit([ended]), store.commit([Accept(envelopes.make(order_key="a", key="m1"))]))
    assert await _queues(backend) == 2
    await store.commit([Cancel(second.execution_id, now)])
    assert await _queues(backend) == 1, "nothing is left in it"
    with pytest.raises(IllegalStateChange):
        await store.commit([Cancel(second.execution_id, now)])
    assert await _queues(backend) == 1
