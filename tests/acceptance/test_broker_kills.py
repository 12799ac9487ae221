"""Killed while it receives from real brokers, and started again: each message starts one execution, none is lost."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.testing.connector_harness import Harness
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually
from tests.services import need_server

#: Real servers and a real clock: each case takes some seconds.
pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

SIGKILL = -9
MESSAGES = 160
#: Killed by itself at the commit of messages, on either side of it; and in between at any moment.
FAULTS = ("accept.before_commit:2", None, "accept.after_commit:1")
RABBIT = "amqp://guest:guest@127.0.0.1:5672/"


def flow(trigger: dict[str, Any], credential: str) -> dict[str, Any]:
    return {
        "id": "take",
        "trigger": {"use": trigger["use"], "with": {"prefetch": 20, **trigger["with"]}, "credential": credential},
        "steps": [{"id": "kept", "use": "map", "with": {"body": "$.body"}}],
    }


class Sending:
    """Sends numbered messages, each with an id of its own, and every tenth twice."""

    def __init__(self) -> None:
        self.sent = 0

    def numbers(self, count: int) -> Iterator[int]:
        for n in range(self.sent, self.sent + count):
            yield n
            if n % 10 == 0:
                yield n
        self.sent += count


def kill_again_and_again(server: ServerProcess, send: Any) -> list[int]:
    """Kill it while messages come; gives what the executions hold in the end."""
    moments = random.Random(seed := random.randrange(1 << 32))
    print(f"seed {seed}")
    sending = Sending()
    share = MESSAGES // (len(FAULTS) + 1)
    for fault in FAULTS:
        server.set("HOOKLINE_FAULT", fault or "")
        send(sending.numbers(share))
        server.launch()
        if fault is None:
            time.sleep(moments.uniform(1.0, 2.5))
            server.kill()
        else:
            assert server.died() == SIGKILL, server.log()[-4000:]
    server.set("HOOKLINE_FAULT", "")
    send(sending.numbers(MESSAGES - sending.sent))
    server.start()
    eventually("all have come", lambda: len(server.executions(flow_id="take")) >= MESSAGES and server.drained(), 60)
    # What comes again late would be here by now.
    time.sleep(1)
    found = server.executions(flow_id="take")
    assert {one["state"] for one in found} == {"succeeded"}
    with_steps = [server.get(f"/api/v1/executions/{one['id']}")[1] for one in found]
    return [one["steps"][0]["output"]["body"]["n"] for one in with_steps]


def check(found: list[int]) -> None:
    counts = Counter(found)
    assert [n for n in range(MESSAGES) if n not in counts] == [], "none is lost"
    assert [n for n, count in counts.items() if count > 1] == [], "none runs twice"


@pytest.mark.promise(1)
def test_kills_while_rabbitmq_delivers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    need_server("RabbitMQ", 5672)
    queue = f"hookline-test-{uuid4().hex}"
    server = ForkedServer(tmp_path)
    server.set("HOOKLINE_EGRESS_ALLOW", "127.0.0.1")
    server.run("credentials", "set", "rabbit", "--type", "amqp", f"url={RABBIT}")
    server.flow(flow({"use": "amqp.messages", "with": {"queue": queue}}, "rabbit"))

    async def declare() -> None:
        async with await aio_pika.connect(RABBIT) as connection, connection.channel() as channel:
            await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})

    async def publish(numbers: Iterator[int]) -> None:
        async with await aio_pika.connect(RABBIT) as connection, connection.channel() as channel:
            for n in numbers:
                message = aio_pika.Message(json.dumps({"n": n}).encode(), message_id=f"m{n}", delivery_mode=2)
                await channel.default_exchange.publish(message, queue)

    async def left() -> int:
        async with await aio_pika.connect(RABBIT) as connection, connection.channel() as channel:
            found = (await channel.declare_queue(queue, passive=True)).declaration_result.message_count
            await channel.queue_delete(queue)
            return int(found or 0)

    asyncio.run(declare())
    try:
        check(kill_again_and_again(server, lambda numbers: asyncio.run(publish(numbers))))
        assert server.stop() == 0
    finally:
        server.kill()
        assert asyncio.run(left()) == 0, "all are acknowledged"


@pytest.mark.promise(1)
def test_kills_while_mosquitto_delivers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    need_server("Mosquitto", 1883)
    topic, client_id = f"hookline-test/{uuid4().hex}", f"hookline-test-{uuid4().hex}"
    server = ForkedServer(tmp_path)
    server.set("HOOKLINE_EGRESS_ALLOW", "127.0.0.1")
    login = {"host": "127.0.0.1", "client_id": client_id}
    server.run("credentials", "set", "broker", "--type", "mqtt", *(f"{key}={value}" for key, value in login.items()))
    server.flow(flow({"use": "mqtt.messages", "with": {"topics": [f"{topic}/#"]}}, "broker"))

    async def listen(clean: bool) -> None:
        """Begin the session that the flow goes on with, or drop it."""
        harness = Harness(load_plugins())
        known_as = {"client_id": f"{client_id}-take", "topics": [f"{topic}/#"], "qos": 0 if clean else 1}
        await harness.run_consumer("mqtt.messages", 0, credential=login, **known_as)
        await harness.close()

    async def publish(numbers: Iterator[int]) -> None:
        harness = Harness(load_plugins())
        for n in numbers:
            given = {"topic": f"{topic}/a", "json": {"n": n}, "message_id": f"m{n}"}
            await harness.run_action("mqtt.publish", credential=login, with_=given)
        await harness.close()

    asyncio.run(listen(clean=False))
    try:
        check(kill_again_and_again(server, lambda numbers: asyncio.run(publish(numbers))))
        assert server.stop() == 0
    finally:
        server.kill()
        asyncio.run(listen(clean=True))
