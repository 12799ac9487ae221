"""Executions in order, over the engine: one of a key at a time, waits included."""

import asyncio
from typing import Any

import pytest
from tests.integration.engine_harness import Hang, Harness, fails

from hookline.engine import Engine
from hookline.kernel.errors import SchemaViolation, TooManyRequests
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome, State

KEY = "$.body.customer"


def act(**settings: Any) -> dict[str, Any]:
    return {"id": "act", "use": "probe.act", "with": {"value": "$.body"}, **settings}


async def send(harness: Harness, engine: Engine, *numbers: int, customer: str = "acme") -> list[str]:
    return [await harness.send(engine, "f", {"customer": customer, "n": number}) for number in numbers]


def done(harness: Harness) -> list[int]:
    return [value["n"] for _, _, _, value in harness.probe.calls]


async def state(engine: Engine, execution_id: str) -> State:
    execution = await engine.store.execution(execution_id)
    assert execution is not None
    return execution.state


@pytest.mark.rule(28)
async def test_executions_of_a_key_run_one_at_a_time_in_order_and_keys_side_by_side(harness: Harness) -> None:
    harness.flow("f", [act()], order_by=KEY)
    running: dict[str, int] = {}
    all_three = asyncio.Barrier(3)

    async def work(value: Any) -> Any:
        customer = value["customer"]
        assert customer not in running
        running[customer] = value["n"]
        if value["n"] == 5:
            await all_three.wait()
        del running[customer]
        return value

    harness.probe.does["act"] = work
    customers = ("a", "b", "c")
    async with harness.engine() as engine:
        sent = [
            execution_id
            for number in range(12)
            for customer in customers
            for execution_id in await send(harness, engine, number, customer=customer)
        ]
        for execution_id in sent:
            assert (await harness.until(engine, execution_id)).state is State.SUCCEEDED
    for customer in customers:
        mine = [value["n"] for _, _, _, value in harness.probe.calls if value["customer"] == customer]
        assert mine == list(range(12))


@pytest.mark.rule(28)
async def test_a_key_is_held_through_a_wait_and_a_restart(harness: Harness) -> None:
    harness.flow("f", [act(retry={"attempts": 3, "wait": "10s"})], order_by=KEY)
    harness.probe.does["act"] = fails(1)
    async with harness.engine() as engine:
        first, second = await send(harness, engine, 1, 2)
        await harness.until(engine, first, State.WAITING)
        (other,) = await send(harness, engine, 3, customer="other")
        await harness.until(engine, other)
        assert await state(engine, second) is State.QUEUED
    async with harness.engine() as engine:
        (third,) = await send(harness, engine, 4)
        assert done(harness) == [1, 3]
        harness.clock.advance(10)
        for execution_id in (first, second, third):
            await harness.until(engine, execution_id)
    assert done(harness) == [1, 3, 1, 2, 4]


@pytest.mark.rule(28)
async def test_what_waits_for_its_turn_takes_no_place_of_the_flows_concurrency(harness: Harness) -> None:
    harness.flow("f", [act()], order_by=KEY, concurrency=2)
    hold = asyncio.Event()

    async def work(value: Any) -> Any:
        if value["n"] == 0:
            await hold.wait()
        return value

    harness.probe.does["act"] = work
    async with harness.engine() as engine:
        held = await send(harness, engine, *range(100))
        others = [(await send(harness, engine, number, customer=f"c{number}"))[0] for number in range(200, 220)]
        for execution_id in others:
            await harness.until(engine, execution_id)
        assert await state(engine, held[1]) is State.QUEUED
        hold.set()
        await harness.until(engine, held[-1])
    assert [number for number in done(harness) if number < 100] == list(range(100))


@pytest.mark.rule(28)
async def test_a_failure_that_holds_its_key_lets_the_next_run_after_a_retry_or_a_release(harness: Harness) -> None:
    harness.flow("f", [act()], order_by=KEY, order_on_failure="hold")
    harness.probe.does["act"] = fails(2, retryable=False)
    async with harness.engine() as engine:
        first, second, third = await send(harness, engine, 1, 2, 3)
        assert (await harness.until(engine, first)).state is State.FAILED
        (other,) = await send(harness, engine, 9, customer="other")
        assert (await harness.until(engine, other)).state is State.FAILED
        assert await state(engine, second) is State.QUEUED
        await engine.operations.retry(first, by=SYSTEM)
        await harness.until(engine, first, State.SUCCEEDED)
        await harness.until(engine, third, State.SUCCEEDED)
        (behind,) = await send(harness, engine, 10, customer="other")
        await engine.operations.release(other, by=SYSTEM)
        await harness.until(engine, behind, State.SUCCEEDED)
    assert done(harness) == [1, 9, 1, 2, 3, 10]


@pytest.mark.rule(28)
async def test_a_key_that_is_held_leaves_room_for_others(harness: Harness) -> None:
    rejected: list[tuple[str, float | None]] = []
    harness.flow("f", [act()], order_by=KEY, order_on_failure="hold", max_queued=40)
    harness.probe.does["act"] = fails(1, retryable=False)
    async with harness.engine() as engine:

        async def fill(customer: str) -> int:
            """How many of a customer's messages are taken, a second apart, until one is rejected."""
            for sent in range(100):
                try:
                    await send(harness, engine, sent, customer=customer)
                except TooManyRequests as error:
                    rejected.append((error.message.partition(" has ")[2], error.retry_after))
                    return sent
                harness.clock.advance(1)
            raise AssertionError("it never fills")

        (first,) = await send(harness, engine, 0, customer="held")
        await harness.until(engine, first, State.FAILED)
        assert await fill("held") == 20, "the failed one and 19 more are as many as there is room for"
        (other,) = await send(harness, engine, 1, customer="other")
        await harness.until(engine, other, State.SUCCEEDED)

    # However many hold it up, some room is left; and it is known after a restart.
    harness.flow("f", [act()], order_by=KEY, max_queued=40, state="paused")
    async with harness.engine() as engine:
        assert await fill("held") == 0
        assert await fill("second") == 10
        assert await fill("third") == 5
        assert engine.intake.backlog("f") < 40
        await send(harness, engine, 1, customer="last")
    assert set(rejected) == {("as many messages of this order key queued as it has room left", 30)}


@pytest.mark.rule(28)
async def test_many_at_once_of_a_key_leave_room_too(harness: Harness) -> None:
    harness.flow("f", [act()], order_by=KEY, max_queued=40, state="paused")
    async with harness.engine() as engine:
        sent = await asyncio.gather(*(send(harness, engine, number) for number in range(100)), return_exceptions=True)
        accepted = [one for one in sent if isinstance(one, list)]
        assert all(isinstance(one, list | TooManyRequests) for one in sent)
        assert 15 <= len(accepted) <= 20
        await send(harness, engine, 1, customer="other")


async def test_a_message_without_an_order_key_is_rejected(harness: Harness) -> None:
    harness.flow("f", [act()], order_by=KEY)
    async with harness.engine() as engine:
        with pytest.raises(SchemaViolation) as rejected:
            await harness.send(engine, "f", {"n": 1})
        assert rejected.value.problems[0].code == "order_by"
        assert engine.intake.backlog("f") == 0


@pytest.mark.rule(32)
async def test_the_time_limit_of_a_retried_execution_begins_when_its_turn_has_come(harness: Harness) -> None:
    harness.probe.does["act"] = fails(2, retryable=False)
    harness.flow("f", [act()], order_by=KEY, timeout="1m")
    async with harness.engine() as engine:
        first, second = await send(harness, engine, 1, 2)
        for one in (first, second):
            await harness.until(engine, one, State.FAILED)
        hang = Hang()
        harness.probe.does["act"] = hang
        await engine.operations.retry(first, by=SYSTEM)
        await hang.reached.wait()
        await engine.operations.retry(second, by=SYSTEM)
        harness.probe.does.clear()
        harness.clock.advance(61)
        await harness.until(engine, first, State.FAILED)
        assert (await harness.until(engine, second, State.SUCCEEDED)).attempt == 2
    assert done(harness) == [1, 2, 1, 2]


@pytest.mark.rule(32)
async def test_each_retry_has_the_whole_time_limit_and_no_longer_one(harness: Harness) -> None:
    hang = Hang()
    harness.probe.does["act"] = hang
    harness.flow("f", [act()], timeout="1m")
    async with harness.engine() as engine:
        (id_,) = await send(harness, engine, 1)
        for _ in range(3):
            await hang.reached.wait()
            hang.reached.clear()
            running = await engine.store.execution(id_)
            assert running is not None
            harness.clock.advance(61)
            assert (await harness.until(engine, id_, State.FAILED)).outcome is Outcome.TIMED_OUT
            harness.clock.advance(3600)
            await engine.operations.retry(id_, by=SYSTEM)
