"""The door: what it counts of what is being stored, whatever becomes of that or of the sender."""

import asyncio
import dataclasses
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.intake.backlog import Backlog
from hookline.intake.intake import Intake
from hookline.kernel.errors import ServiceUnavailable, StoreError, TooManyRequests
from hookline.kernel.json import encode
from hookline.model.message import Arrival, Envelope, Message
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.storage.queue import Stored
from hookline.telemetry.metrics import Metrics
from hookline.testing.clock import ManualClock
from hookline.testing.eventually import assert_eventually
from hookline.testing.hook_over_memory import webhook_flow

FLOW = webhook_flow("f")
Outcome = Literal["stored", "duplicate", "store fails", "defect"]


class Slow:
    """A queue whose commits take place when the test says so, whether or not somebody waits for them."""

    def __init__(self) -> None:
        self.under_way: dict[str, asyncio.Future[Accepted | Duplicate]] = {}
        self.stored = 0
        self.patient: list[bool] = []
        self.last: Envelope | None = None

    async def put(self, envelope: Envelope, *, patient: bool = False) -> Accepted | Duplicate:
        self.patient.append(patient)
        self.last = envelope
        result: asyncio.Future[Accepted | Duplicate] = asyncio.get_running_loop().create_future()
        self.under_way[envelope.execution_id] = result
        return await result

    def begin(self, envelope: Envelope, stored: Stored, *, patient: bool = False) -> None:
        def tell(done: "asyncio.Future[Accepted | Duplicate]") -> None:
            stored(done.exception() or done.result())

        result = self.under_way[envelope.execution_id] = asyncio.get_running_loop().create_future()
        result.add_done_callback(tell)

    def end(self, execution_id: str, outcome: Outcome) -> None:
        result = self.under_way[execution_id]
        if outcome == "stored":
            self.stored += 1
        if result.done():  # the task that waited for it is gone; what was committed is committed
            return
        if outcome == "stored":
            result.set_result(Accepted(execution_id))
        elif outcome == "duplicate":
            result.set_result(Duplicate("first"))
        else:
            result.set_exception(StoreError() if outcome == "store fails" else KeyError())


def intake(queue: Any, *, max_backlog: int = 1000, store: Any = None, clock: ManualClock | None = None) -> Intake:
    clock = clock or ManualClock()
    made = Intake(
        store=store,
        queue=queue,
        clock=clock,
        metrics=Metrics(),
        current=lambda _: FLOW,
        backlog=Backlog(clock, max_backlog, max_backlog_total=1000),
    )
    made.open = True
    return made


def envelope(name: str) -> Envelope:
    now = ManualClock().now()
    return Envelope(name, "f", Message({}), Arrival("webhook"), now)


def sending(door: Intake, name: str) -> "asyncio.Task[Accepted | Duplicate]":
    return asyncio.ensure_future(door.accept(FLOW, envelope(name)))


async def steps() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stored", "duplicate", "store fails", "defect"]),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_the_backlog_is_what_is_stored_also_if_tasks_are_cancelled_or_fail(
    sent: list[tuple[Outcome, int, bool]],
) -> None:
    async def check() -> None:
        queue = Slow()
        door = intake(queue)
        tasks = [sending(door, str(place)) for place in range(len(sent))]
        await steps()
        for place, (_, cancellations, before) in enumerate(sent):
            for _ in range(cancellations if before else 0):
                tasks[place].cancel()
                await steps()
        for place, (outcome, _, _) in reversed(list(enumerate(sent))):
            queue.end(str(place), outcome)
        for place, (_, cancellations, before) in enumerate(sent):
            for _ in range(0 if before else cancellations):
                tasks[place].cancel()
        await steps()
        assert all(task.done() for task in tasks)
        assert [task.cancelled() for task in tasks] == [cancellations > 0 for _, cancellations, _ in sent]
        assert door.backlog("f") == queue.stored
        for task in tasks:
            if not task.cancelled():
                task.exception()

    asyncio.run(check())


@given(st.lists(st.sampled_from(["stored", "duplicate", "store fails", "defect"]), max_size=8))
def test_the_backlog_is_what_is_stored_also_of_messages_for_which_no_task_waits(outcomes: list[Outcome]) -> None:
    async def check() -> None:
        queue = Slow()
        door = intake(queue)
        told: list[object] = []
        for place in range(len(outcomes)):
            door.begin(FLOW, envelope(str(place)), told.append)
        assert door.backlog("f") == len(outcomes)
        for place, outcome in enumerate(outcomes):
            queue.end(str(place), outcome)
        await steps()
        assert door.backlog("f") == queue.stored
        kinds = {"stored": Accepted, "duplicate": Duplicate, "store fails": ServiceUnavailable, "defect": KeyError}
        assert [type(one) for one in told] == [kinds[outcome] for outcome in outcomes]

    asyncio.run(check())


async def test_a_message_whose_storing_cant_begin_counts_nothing() -> None:
    class Closed:
        def begin(self, *_: object, **__: object) -> None:
            raise StoreError("the queue is closed")

    door = intake(Closed())
    with pytest.raises(StoreError):
        door.begin(FLOW, envelope("a"), lambda result: pytest.fail(f"told {result}"))
    assert door.backlog("f") == 0


async def test_a_full_backlog_has_no_room_for_messages_for_which_no_task_waits() -> None:
    queue = Slow()
    door = intake(queue, max_backlog=1)
    assert door.direct_flow("f") is FLOW
    door.begin(FLOW, envelope("a"), lambda _: None)
    assert door.direct_flow("f") is None


async def test_who_is_cancelled_before_its_message_reached_the_queue_counts_nothing() -> None:
    queue = Slow()
    door = intake(queue)
    task = sending(door, "a")
    task.cancel()
    await steps()
    assert task.cancelled()
    assert (door.backlog("f"), queue.under_way) == (0, {})


async def test_messages_that_come_at_once_are_counted_before_they_are_stored() -> None:
    queue = Slow()
    door = intake(queue, max_backlog=3)
    sent = [sending(door, str(place)) for place in range(10)]
    await steps()
    for execution_id in queue.under_way:
        queue.end(execution_id, "stored")
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(result) for result in results] == [Accepted] * 3 + [TooManyRequests] * 7


async def test_a_defect_of_the_queue_neither_counts_nor_uses_the_rate_up() -> None:
    queue = Slow()
    door = intake(queue, max_backlog=1)
    for error, outcome in ((ServiceUnavailable, "store fails"), (KeyError, "defect")):
        task = sending(door, "a")
        await steps()
        queue.end("a", outcome)  # type: ignore[arg-type] # one of the outcomes
        with pytest.raises(error):
            await task
    last = sending(door, "a")
    await steps()
    queue.end("a", "stored")
    assert await last == Accepted("a")
    with pytest.raises(TooManyRequests):
        await door.accept(FLOW, envelope("b"))


async def test_a_message_of_a_flow_that_is_over_its_rate_may_wait_for_somebody_elses_commit() -> None:
    queue, clock = Slow(), ManualClock()
    door = intake(queue, clock=clock)
    limited = dataclasses.replace(FLOW, settings=dataclasses.replace(FLOW.settings, rate="1/s"))
    first = asyncio.ensure_future(door.accept(limited, envelope("a")))
    await steps()
    with pytest.raises(TooManyRequests):
        await door.accept(limited, envelope("b"))
    clock.advance(0.5)
    with pytest.raises(TooManyRequests):
        await door.accept(limited, envelope("b"))
    clock.advance(0.5)
    second = asyncio.ensure_future(door.accept(limited, envelope("c")))
    await steps()
    assert queue.patient == [False, True]
    queue.end("a", "stored")
    queue.end("c", "stored")
    assert await asyncio.gather(first, second) == [Accepted("a"), Accepted("c")]


@pytest.mark.rule(16)
async def test_a_large_message_comes_to_the_queue_with_its_json() -> None:
    queue = Slow()
    door = intake(queue)
    body = ["x"] * 20_000
    made = msgspec.structs.replace(envelope("a"), message=Message(body))
    task = asyncio.ensure_future(door.accept(FLOW, made))
    await assert_eventually(lambda: bool(queue.under_way))
    assert queue.last is not None
    assert queue.last.body_json == encode(body)
    queue.end("a", "stored")
    assert await task == Accepted("a")
