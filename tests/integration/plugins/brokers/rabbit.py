"""The RabbitMQ of this machine, and queues in it that are gone after a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika

HOST = "127.0.0.1"
URL = f"amqp://guest:guest@{HOST}:5672/"
LOGIN = {"host": HOST}


class Rabbit:
    """A connection of a test's own, and what it has made."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self.connection = connection
        self.channel = channel
        self._queues: list[str] = []
        self._exchanges: list[str] = []

    def name(self) -> str:
        """The name of a queue that is deleted afterwards, also if another declares it."""
        self._queues.append(f"hookline-test-{uuid4().hex}")
        return self._queues[-1]

    async def queue(self, **options: Any) -> str:
        """A new queue."""
        name = self.name()
        await self.channel.declare_queue(name, durable=True, **options)
        return name

    def exchange_name(self) -> str:
        """The name of an exchange that is deleted afterwards."""
        self._exchanges.append(f"hookline-test-{uuid4().hex}")
        return self._exchanges[-1]

    async def exchange(self, kind: str = "topic") -> Any:
        """A new exchange."""
        return await self.channel.declare_exchange(self.exchange_name(), kind, durable=True)

    async def send(self, queue: str, body: bytes, **properties: Any) -> None:
        """Put a message into a queue."""
        await self.channel.default_exchange.publish(aio_pika.Message(body, **properties), queue)

    async def get(self, queue: str) -> Any:
        """The next message of a queue; None where there is none."""
        found = await (await self.channel.get_queue(queue, ensure=False)).get(fail=False)
        if found is not None:
            await found.ack()
        return found

    async def count(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return int(declared.declaration_result.message_count)

    async def clean(self) -> None:
        """Delete what was made."""
        async with self.connection.channel() as channel:
            for name in self._queues:
                await channel.queue_delete(name)
            for name in self._exchanges:
                await channel.exchange_delete(name)


@asynccontextmanager
async def rabbit_here() -> AsyncIterator[Rabbit]:
    """A connection to it."""
    connection = await aio_pika.connect(URL)
    async with connection, connection.channel() as channel:
        made = Rabbit(connection, channel)
        try:
            yield made
        finally:
            await made.clean()
