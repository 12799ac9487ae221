"""Connections for publishing, kept as long as the engine runs."""

import asyncio
from typing import Final
from uuid import uuid4

from hookline.api import Resources
from hookline_mqtt.connection import Connection
from hookline_mqtt.connector import MqttLogin

LOGINS: Final = 16
"""The number of credentials for which a connection is kept."""


class Publisher:
    """One connection, which is opened again after it is lost."""

    def __init__(self, login: MqttLogin) -> None:
        self._login = login
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self.used = 0
        """The number of its current users."""

    async def connection(self, resources: Resources) -> Connection:
        """Return the connection. Raises StepError."""
        # An open one may have been opened with another credential of the same user.
        resources.check_host(self._login.host, self._login.port_there)
        async with self._opening:
            if self._connection is None or self._connection.lost.done():
                await self.close()
                made = Connection(resources, self._login, f"{self._login.client_id}-{uuid4().hex[:12]}")
                try:
                    await made.connect()
                except BaseException:
                    await made.close()
                    raise
                self._connection = made
            return self._connection

    async def close(self) -> None:
        """Close the connection; the next message opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class Publishers:
    """The connections, one for each credential."""

    def __init__(self) -> None:
        self._made: dict[str, Publisher] = {}

    async def of(self, login: MqttLogin) -> Publisher:
        """Return the connection for a credential; the most recently used ones are kept."""
        key = repr([login.password and login.password.get_secret_value(), login])
        found = self._made.pop(key, None) or Publisher(login)
        # The most recently used ones come last.
        self._made[key] = found
        idle = [name for name, each in self._made.items() if not each.used and name != key]
        for each in [self._made.pop(name) for name in idle[: max(0, len(self._made) - LOGINS)]]:
            await each.close()
        return found

    async def close(self) -> None:
        """See `Resource`."""
        made, self._made = self._made, {}
        for each in made.values():
            await each.close()
