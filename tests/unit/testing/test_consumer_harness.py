"""The harness runs a trigger that listens to a broker, and the contract of connectors covers it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from hookline.api import BrokerMessage, Connector, ConsumeContext, Payload, StepError, VerifyContext
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import violations
from hookline.kernel.errors import ConfigError
from hookline.testing.connector_harness import ConsumedMessage, Harness, plugin_of
from hookline.testing.contracts.connector import ConnectorContract

SECRET = "hunter2-hunter2"


class BusKey(BaseModel):
    """How to reach the bus."""

    token: SecretStr = Field(description="The token.")


TOLD: list[str] = []


def made(*, does: Any = None) -> Connector:
    bus = Connector(
        "bus",
        title="Bus",
        credential=BusKey,
        description="A bus.",
        errors={"bus.gone": "It isn't there."},
        example={
            "id": "f",
            "trigger": {"use": "bus.messages", "credential": "key"},
            "steps": [{"use": "log", "with": {"message": "{{ body }}"}}],
        },
    )

    @bus.verify
    async def who(ctx: VerifyContext[BusKey]) -> None:
        """Ask who it is."""

    @bus.consume
    async def messages(ctx: ConsumeContext[BusKey]) -> AsyncIterator[BrokerMessage]:
        """Starts an execution for each message."""

        async def accepted() -> None:
            TOLD.append("accepted")

        async def rejected(why: str) -> None:
            TOLD.append(f"rejected: {why}")

        ctx.listening()
        if does is not None:
            await does(ctx)
        yield BrokerMessage(Payload(b'{"a": 1}', "application/json"), id="1", headers={"X-A": "b"}, accepted=accepted)
        yield BrokerMessage((2,), accepted=accepted, rejected=rejected)
        await asyncio.Event().wait()

    return bus


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    TOLD.clear()
    running = Harness(load_plugins(extra_plugins=[plugin_of(made())]))
    yield running
    await running.close()


async def test_a_trigger_runs_in_three_lines(harness: Harness) -> None:
    came = await harness.run_consumer("bus.messages", 2, credential={"token": SECRET})
    assert came == [ConsumedMessage({"a": 1}, "1", {"x-a": "b"}), ConsumedMessage([2])]
    assert TOLD == ["accepted", "accepted"]


async def test_what_a_flow_rejects_is_told(harness: Harness) -> None:
    await harness.run_consumer("bus.messages", 2, credential={"token": SECRET}, reject="it is too old")
    assert TOLD == ["accepted", "rejected: it is too old"]


async def test_with_none_it_ends_once_it_listens_and_never_waits_for_ever(harness: Harness) -> None:
    assert await harness.run_consumer("bus.messages", 0, credential={"token": SECRET}) == []
    with pytest.raises(TimeoutError, match="fewer than 3 messages in 0"):
        await harness.run_consumer("bus.messages", 3, credential={"token": SECRET}, timeout=0.05)
    with pytest.raises(ConfigError, match=r"did you mean 'bus\.messages'"):
        await harness.run_consumer("bus.mesages", 1)


class TestBus(ConnectorContract):
    connector = made()
    credential = {"token": SECRET}  # noqa: RUF012 - a class's constant
    calls = {"bus.messages": {}}  # noqa: RUF012
    level = "gold"


def test_a_trigger_without_a_docstring_lacks_one() -> None:
    bus = Connector("bus")

    @bus.consume
    async def messages(queue: str) -> AsyncIterator[BrokerMessage]:
        yield BrokerMessage(queue)

    texts = [text for _, text in violations(bus)]
    assert any("bus.messages has no docstring" in text for text in texts)
    assert any("queue has no description" in text for text in texts)


def contract_of(does: Any) -> ConnectorContract:
    class Contract(ConnectorContract):
        connector = made(does=does)
        credential = {"token": SECRET}  # noqa: RUF012
        calls = {"bus.messages": {}}  # noqa: RUF012

    return Contract()


async def test_the_contract_finds_a_trigger_that_leaves_tasks_or_shows_secrets() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leaves(_ctx: Any) -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(60)))

    async def shows(ctx: ConsumeContext[BusKey]) -> None:
        raise StepError(f"{ctx.credential.token.get_secret_value()} is wrong", code="bus.gone")

    for does, test, message in (
        (leaves, "test_cancellation_passes_and_no_task_is_left_behind", "left tasks behind"),
        (shows, "_fails_well", "a secret is in what it gives or raises"),
    ):
        contract = contract_of(does)
        running = Harness(load_plugins(extra_plugins=[plugin_of(contract.connector)]))
        try:
            run = (await contract._runs(running))["bus.messages"]
            given = (running, "bus.messages", run) if test == "_fails_well" else (running,)
            with pytest.raises(AssertionError, match=message):
                await getattr(contract, test)(*given)
        finally:
            for task in tasks:
                task.cancel()
            await running.close()
