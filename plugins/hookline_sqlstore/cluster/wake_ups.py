"""Wake-ups between nodes: they are sent after a commit and outside of it, since a NOTIFY makes all commits serial.

They are hints, merged and limited in number. If one is lost, the next look of a node finds the same, a second later.

Other hints are sent in the same way, on a separate channel, to which earlier versions don't listen.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from sqlalchemy import Connection, text

from hookline.api import StoreError
from hookline_sqlstore.cluster.interfaces import TablesAccess

_PAUSE: Final = 0.05
"""Seconds between two wake-ups of a node."""
_AGAIN: Final = 5.0
"""Seconds until a session that listens is opened again."""
_ALIVE: Final = 30.0
"""Seconds between two checks of a session that listens."""
_LONGEST: Final = 7000
"""Bytes of a wake-up; PostgreSQL takes 8000."""
_ALL: Final = "*"
_OF_HINTS: Final = "_hints"
"""The end of the name of their channel."""
_HINTS: Final = 1000
"""The most hints that wait to be sent; further ones are dropped."""

_log: Final = logging.getLogger("hookline.store")

Connect = Callable[[], Awaitable[Any]]
"""Opens a connection of asyncpg."""


class WakeUps:
    """Sends the wake-ups of this node, and hears those of others."""

    def __init__(
        self,
        database: TablesAccess,
        heard: Callable[[Iterable[str], bool], None],
        hint: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """`heard` is called with the flows that have executions for any node, and with true if there is more to see;
        `hint` with each hint of another node."""
        self._database = database
        self._heard = heard
        self._hint = hint
        self._hints: deque[str] = deque()
        self._channel = ""
        self._me = ""
        self._flows: set[str] = set()
        self._more = False
        self._told = asyncio.Event()

    def tell(self, flow_ids: Iterable[str], *, more: bool = False) -> None:
        """Tell the other nodes of flows with executions that any node may claim; `more`: let them look at once."""
        self._flows.update(flow_ids)
        self._more = self._more or more
        self._told.set()

    def send_hint(self, hint: bytes) -> bool:
        """Send a hint to the other nodes soon; return false if it is dropped. It must not have line breaks."""
        if len(hint) > _LONGEST // 2 or len(self._hints) >= _HINTS:
            return False
        self._hints.append(hint.decode())
        self._told.set()
        return True

    async def tell_at_once(self) -> None:
        """Let the other nodes look at once. Raises StoreError."""
        await self._database.read(lambda connection: _notify(connection, self._channel, f"{self._me}\n{_ALL}"))

    async def run(self, connect: Connect, me: str) -> None:
        """Send and hear until cancelled. `me`: a text that no other node has."""
        self._me = me
        while not self._channel:
            try:
                self._channel = await self._database.read(_channel)
            except StoreError:
                await asyncio.sleep(_AGAIN)  # what is told meanwhile is sent then
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._listen(connect))

    async def _send(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            if self._flows or self._more:
                await self._notify(self._channel, self._wake_up())
                await asyncio.sleep(_PAUSE)
            if self._hints:
                await self._notify(self._channel + _OF_HINTS, self._next_hints())
                await asyncio.sleep(_PAUSE)
            if self._hints:
                self._told.set()

    def _wake_up(self) -> str:
        flows, more = sorted(self._flows), self._more
        self._flows.clear()
        self._more = False
        said = "\n".join((self._me, _ALL if more else "", *flows))
        return said if len(said.encode()) <= _LONGEST else "\n".join((self._me, _ALL))

    def _next_hints(self) -> str:
        """The hints that fit into one message."""
        lines, size = [self._me], 0
        while self._hints and size + len(self._hints[0].encode()) < _LONGEST:
            line = self._hints.popleft()
            lines.append(line)
            size += len(line.encode()) + 1
        return "\n".join(lines)

    async def _notify(self, channel: str, said: str) -> None:
        with contextlib.suppress(StoreError):
            await self._database.read(lambda connection: _notify(connection, channel, said))

    async def _listen(self, connect: Connect) -> None:
        failing = False
        while True:
            try:
                connection = await connect()
                try:
                    await connection.add_listener(self._channel, self._hear)
                    await connection.add_listener(self._channel + _OF_HINTS, self._hear_hints)
                    failing = False
                    while not connection.is_closed():
                        await asyncio.sleep(_ALIVE)
                        await connection.fetchval("SELECT 1", timeout=_AGAIN)
                finally:
                    connection.terminate()
            except Exception as error:  # noqa: BLE001 - whatever it is, nodes find the same by looking
                if not failing:
                    _log.warning("wake-ups of other nodes can't be heard; what they cause takes a second: %s", error)
                failing = True
            await asyncio.sleep(_AGAIN)

    def _hear(self, _connection: Any, _pid: int, _channel: str, said: str) -> None:
        sender, more, *flows = said.split("\n")
        if sender != self._me:
            self._heard(flows, more == _ALL)

    def _hear_hints(self, _connection: Any, _pid: int, _channel: str, said: str) -> None:
        sender, *hints = said.split("\n")
        if sender != self._me:
            for hint in hints:
                self._hint(hint.encode())


def _channel(connection: Connection) -> str:
    schema: str = connection.scalar(text("SELECT current_schema()")) or ""
    return "hookline_" + hashlib.sha256(schema.encode()).hexdigest()[:16]


def _notify(connection: Connection, channel: str, said: str) -> None:
    connection.execute(text("SELECT pg_notify(:channel, :said)"), {"channel": channel, "said": said})
    connection.commit()
