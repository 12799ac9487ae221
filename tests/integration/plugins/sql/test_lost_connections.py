"""A connection that is lost, wherever it is: the step can be retried."""

from collections.abc import AsyncIterator

import pytest
from tests.integration.plugins.brokers.proxy import Proxy
from tests.integration.plugins.sql.sql_room import Room, room_behind_proxy

from hookline.api import StepError

_PLACES = 60


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), "mariadb"])
async def through(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Room, Proxy]]:
    """A room whose connections pass a proxy, and a table with one row."""
    async with room_behind_proxy(request.param) as (room, proxy):
        await room("execute", sql="CREATE TABLE a (n INTEGER, t VARCHAR(20))", once=False)
        await room("insert", table="a", row={"n": 1, "t": "one"})
        await room.resources.close()
        yield room, proxy


@pytest.mark.rule(21)
@pytest.mark.parametrize("use", ["query", "stream", "insert", "execute"])
async def test_a_connection_that_ends_anywhere_makes_a_step_that_can_be_retried(
    through: tuple[Room, Proxy], use: str
) -> None:
    room, proxy = through
    proxy.answered = 0
    await _step(room.another(), use)
    size, lost = proxy.answered, 0
    for place in range(1, size, max(1, size // _PLACES)):
        proxy.answered, proxy.cuts_at = 0, place
        try:
            await _step(room.another(), use)
        except StepError as error:
            assert (error.error_code, error.retryable) == ("sql.unavailable", True), f"after {place} bytes: {error}"  # noqa: PT017 - a step whose last answer isn't needed succeeds
            lost += 1
    assert lost > _PLACES / 2
    proxy.cuts_at = None
    await _step(room.another(), use)


async def _step(room: Room, use: str) -> None:
    """Run a step of an engine, and stop the engine."""
    try:
        match use:
            case "query":
                await room("query", sql="SELECT n, t FROM a WHERE n = :n", params={"n": 1})
            case "stream":
                await room("query", sql="SELECT n, t FROM a WHERE n = :n", params={"n": 1}, stream=True)
            case "insert":
                await room("insert", table="a", row={"n": 2, "t": "two"})
            case _:
                await room("execute", sql="UPDATE a SET t = :t WHERE n = :n", params={"n": 1, "t": "eins"})
    finally:
        await room.resources.close()
