"""Those who listen hear of what becomes durable, as far as they keep up."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, fails

from hookline.engine import Engine
from hookline.kernel.clocks import SystemClock
from hookline.model.access import SYSTEM
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.telemetry.live_events import KEPT, LINGER, Event, EventListener, Events
from hookline.testing.clock import ManualClock


@pytest.fixture
def events() -> Iterator[Events]:
    made = Events(ManualClock())
    yield made
    made.close()


async def told(listener: EventListener, count: int) -> list[Event]:
    """The next events. An event is told after its commit, so a test may see the commit first."""
    heard: list[Event] = []
    async with asyncio.timeout(30):
        while len(heard) < count:
            await listener.wait(SystemClock(), 30)
            heard += listener.take()
    return heard


def kinds(listener: EventListener) -> list[str]:
    return [event.kind for event in listener.take()]


async def test_an_executions_life_is_told_in_order(harness: Harness) -> None:
    harness.flow("f", [act("a", retry={"attempts": 2, "wait": "1m"})])
    harness.probe.does["a"] = fails(2)
    async with harness.engine() as engine:
        with engine.events.listen(("f",)) as listener, engine.events.listen(("other",)) as deaf:
            id_ = await harness.send(engine, "f", 1)
            await harness.advance_until(engine, id_)
            await engine.operations.retry(id_, by=SYSTEM)
            await harness.advance_until(engine, id_)
            heard = await told(listener, 9)
            assert deaf.take() == []
        assert listener.take() == []
    assert {event.data["execution_id"] for event in heard} == {id_}
    assert [event.kind for event in heard] == [
        "execution.queued",
        "execution.started",
        "step.finished",
        "execution.waiting",
        "step.finished",
        "execution.ended",
        "execution.waiting",
        "step.finished",
        "execution.ended",
    ]
    first, ended = heard[2].data["step"], heard[5].data
    assert (first["state"], first["attempt"], first["error"]["code"]) == ("waiting", 1, "probe.away")
    assert (ended["state"], ended["outcome"], ended["error"]["code"]) == ("failed", "failed", "probe.away")
    assert heard[8].data["state"] == "succeeded"


async def test_what_is_cancelled_before_it_ran_is_told_too(harness: Harness) -> None:
    harness.flow("f", [act("a")], state="paused")
    async with harness.engine() as engine:
        with engine.events.listen() as listener:
            id_ = await harness.send(engine, "f", 1)
            await engine.operations.cancel(id_, by=SYSTEM)
            assert kinds(listener) == ["execution.queued", "execution.ended"]


async def test_while_nobody_listens_nothing_is_kept(events: Events) -> None:
    events.accepted("f", "1")
    with events.listen() as listener:
        assert events.listening
        assert listener.take() == []


async def test_a_slow_listener_is_told_how_much_it_missed(events: Events) -> None:
    with events.listen() as listener:
        for number in range(KEPT + 7):
            events.accepted("f", str(number))
        missed, *rest = listener.take()
    assert (missed.kind, missed.data) == ("gap", {"count": 7})
    assert [event.data["execution_id"] for event in rest] == [str(number) for number in range(7, KEPT + 7)]


async def test_a_listener_that_comes_back_gets_what_came_meanwhile(events: Events) -> None:
    with events.listen() as listener:
        events.accepted("f", "1")
        (last,) = listener.take()
    events.accepted("f", "2")
    events.accepted("g", "3")
    with events.listen("f", after=last.id) as listener:
        events.accepted("f", "4")
        assert [event.data["execution_id"] for event in listener.take()] == ["2", "4"]


@pytest.mark.parametrize("after", ["nonsense", "0-1", "0-x", "", "-5"])
async def test_one_that_comes_back_to_another_server_is_told_that_it_missed_some(events: Events, after: str) -> None:
    with events.listen(after=after) as listener:
        events.accepted("f", "1")
        assert kinds(listener) == ["gap", "execution.queued"]


async def test_one_that_stayed_away_for_more_than_is_kept_is_told_how_much_it_missed(events: Events) -> None:
    with events.listen() as listener:
        events.accepted("f", "0")
        (last,) = listener.take()
    for number in range(1, KEPT + 4):
        events.accepted("f", str(number))
    with events.listen(after=last.id) as listener:
        missed, *rest = listener.take()
    assert (missed.kind, missed.data["count"]) == ("gap", 3)
    assert len(rest) == KEPT


async def test_the_stream_is_one_of_server_sent_events(harness: Harness) -> None:
    harness.flow("f", [act("a")])
    async with harness.engine() as engine:
        connection = _ask(engine, "/api/v1/events?flow_id=f")
        async with connection:
            assert (await connection.receive()).startswith(b": ")
            id_ = await harness.send(engine, "f", 1)
            first = await connection.receive()
            engine.events.close()
            await harness.until(engine, id_)
    # What happens soon after it may come with it.
    lines = first.decode().partition("\n\n")[0].split("\n")
    assert lines[0].startswith("id: ")
    assert lines[1] == "event: execution.queued"
    assert f'"execution_id":"{id_}"' in lines[2]
    assert not lines[3:]
    assert LINGER > 0


def _ask(engine: Engine, path: str) -> Any:
    client = create_pages(blueprints(engine, "token")).test_client()
    return client.request(path, headers={"Authorization": "Bearer token"})
