"""Connections for publishing, kept as long as the engine runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection

from hookline.api import Resources, Unavailable
from hookline_amqp.connection import close, connect, host_and_port
from hookline_amqp.connector import AmqpLogin
from hookline_amqp.failures import told

CHANNELS: Final = 32
"""The number of exchanges for which a channel is kept; further ones get a channel for each message."""
LOGINS: Final = 16
"""The number of credentials for which a connection is kept."""
LARGE: Final = 1_000_000
"""The size of a message in bytes above which it gets its own channel: if a message is too large, the broker closes the
channel, with all other messages on it.
"""
_OPEN: Final = 10.0


class Publisher:
    """One connection, with a channel for each exchange: an error, such as a missing exchange, closes its channel."""

    def __init__(self, login: AmqpLogin) -> None:
        self._login = login
        self._connection: AbstractConnection | None = None
        self._channels: dict[str, AbstractChannel] = {}
        self._opening = asyncio.Lock()
        self._under_way: set[tuple[str, str]] = set()

    @property
    def idle(self) -> bool:
        """True while nothing is being published."""
        return not self._under_way and not self._opening.locked()

    @asynccontextmanager
    async def channel(
        self, resources: Resources, exchange: str, message_id: str, size: int
    ) -> AsyncIterator[AbstractChannel]:
        """Return a channel for one message. Raises StepError."""
        # An open connection may have been opened with another credential of the same user.
        resources.check_host(*host_and_port(self._login))
        mark = (exchange, message_id)
        # If two messages had the same id, the library couldn't tell which one was returned.
        alone = size >= LARGE or mark in self._under_way
        self._under_way.add(mark)
        try:
            channel = None if alone else await self._shared(resources, exchange)
            if channel is not None:
                yield channel
                return
            async with self._opening:
                own = await self._new_channel(resources)
            try:
                yield own
            finally:
                if not own.is_closed:
                    await own.close()
        finally:
            self._under_way.discard(mark)

    async def close(self) -> None:
        """Close the connection; the next message opens it again."""
        connection, self._connection = self._connection, None
        self._channels.clear()
        if connection is not None:
            await close(connection)

    async def _shared(self, resources: Resources, exchange: str) -> AbstractChannel | None:
        channel = self._channels.get(exchange)
        if channel is not None and not channel.is_closed:
            return channel
        async with self._opening:
            channel = self._channels.get(exchange)
            if channel is not None and not channel.is_closed:
                return channel
            self._channels = {name: each for name, each in self._channels.items() if not each.is_closed}
            if len(self._channels) >= CHANNELS:
                return None
            channel = self._channels[exchange] = await self._new_channel(resources)
            return channel

    async def _new_channel(self, resources: Resources) -> AbstractChannel:
        connection = await self._connection_now(resources)
        try:
            return await self._open(connection)
        except Unavailable:
            # It may be lost without a notice; nothing has been sent over it.
            await self.close()
            return await self._open(await self._connection_now(resources))

    async def _connection_now(self, resources: Resources) -> AbstractConnection:
        if self._connection is None or not self._connection.connected.is_set():
            await self.close()
            self._connection = await connect(resources, self._login, "hookline: amqp.publish")
        return self._connection

    async def _open(self, connection: AbstractConnection) -> AbstractChannel:
        with told(self._login.shown):
            channel = connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize(timeout=_OPEN)
            return channel


class Publishers:
    """The connections, one for each credential."""

    def __init__(self) -> None:
        self._made: dict[str, Publisher] = {}

    async def of(self, login: AmqpLogin) -> Publisher:
        """Return the connection for a credential; the most recently used ones are kept."""
        key = repr([secret and secret.get_secret_value() for secret in (login.url, login.password)] + [login])
        found = self._made.pop(key, None) or Publisher(login)
        # The most recently used ones come last.
        self._made[key] = found
        over = [name for name, each in self._made.items() if each.idle and name != key][
            : max(0, len(self._made) - LOGINS)
        ]
        for each in [self._made.pop(name) for name in over]:
            await each.close()
        return found

    async def close(self) -> None:
        """See `Resource`."""
        made, self._made = self._made, {}
        for each in made.values():
            await each.close()
