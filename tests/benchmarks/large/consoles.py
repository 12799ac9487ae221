"""What open consoles cost a server: the processor time that it takes more than without them."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import aiohttp
import psutil
from tests.acceptance.server_process import TOKEN, ServerProcess

#: As `web/src` has them: how often a page is loaded again at most, however much happens.
REFRESH_S: Final = 10.0
_SETTLE_S: Final = 2.0
_API: Final = "/api/v1"
_OVERVIEW: Final = (f"{_API}/attention", f"{_API}/stats?step=1h&since={{since}}")
_LIST: Final = (f"{_API}/executions?limit=100",)


@dataclass(frozen=True)
class Cost:
    """What a server does in some time."""

    core: float
    """The part of a processor."""
    events: int
    """The number of events that all consoles got."""
    requests: int
    """The number of requests that they sent because of these."""


class Consoles:
    """Open consoles: each follows the events, and loads what its page shows again when something has happened."""

    def __init__(self, server: ServerProcess, count: int) -> None:
        """Half of them show the overview, and half the list of executions."""
        self._server = server
        self._count = count
        self.events = 0
        self.requests = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """All of them follow the events inside."""
        connector = aiohttp.TCPConnector(limit=0)
        # The cookie of a host without a name isn't kept otherwise.
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self._server.url, connector=connector, cookie_jar=jar) as session:
            async with session.post(f"{_API}/session", json={"token": TOKEN}) as answer:
                assert answer.status == 200
            ready = asyncio.Barrier(self._count + 1)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(session, number, ready)) for number in range(self._count)]
                await ready.wait()
                yield
                for task in tasks:
                    task.cancel()

    async def _one(self, session: aiohttp.ClientSession, number: int, ready: asyncio.Barrier) -> None:
        paths = _OVERVIEW if number % 2 else _LIST
        headers = {"Accept": "text/event-stream"}
        refreshing: asyncio.Task[None] | None = None
        async with session.get(f"{_API}/events", headers=headers, timeout=aiohttp.ClientTimeout(None)) as stream:
            assert stream.status == 200
            await ready.wait()
            try:
                async for line in stream.content:
                    if not line.startswith(b"event: "):
                        continue
                    self.events += 1
                    if refreshing is None or refreshing.done():
                        refreshing = asyncio.create_task(self._refresh(session, paths))
            finally:
                if refreshing is not None:
                    refreshing.cancel()

    async def _refresh(self, session: aiohttp.ClientSession, paths: tuple[str, ...]) -> None:
        # Consoles aren't opened all at the same time.
        await asyncio.sleep(REFRESH_S * random.uniform(0.8, 1.2))
        since = quote((datetime.now(UTC) - timedelta(days=1)).isoformat())
        for path in paths:
            self.requests += 1
            async with session.get(path.format(since=since)) as answer:
                assert answer.status == 200
                await answer.read()


async def cost(server: ServerProcess, flow_id: str, rate: float, seconds: float, consoles: int) -> Cost:
    """What a server does while so many messages a second arrive, and so many consoles are open."""
    if consoles == 0:
        return Cost(await _core(server, flow_id, rate, seconds), 0, 0)
    opened = Consoles(server, consoles)
    async with opened.open():
        core = await _core(server, flow_id, rate, seconds)
    return Cost(core, opened.events, opened.requests)


async def _core(server: ServerProcess, flow_id: str, rate: float, seconds: float) -> float:
    """The part of a processor that the server takes."""
    process = psutil.Process(server.pid)
    async with aiohttp.ClientSession(server.url) as session:
        end = time.monotonic() + _SETTLE_S
        await _send(session, flow_id, rate, end)
        before, began = process.cpu_times(), time.monotonic()
        await _send(session, flow_id, rate, began + seconds)
        after, took = process.cpu_times(), time.monotonic() - began
    return (after.user + after.system - before.user - before.system) / took


async def _send(session: aiohttp.ClientSession, flow_id: str, rate: float, end: float) -> None:
    body = json.dumps({"order": 1}).encode()
    headers = {"Content-Type": "application/json"}
    while (left := end - time.monotonic()) > 0:
        if rate == 0:
            await asyncio.sleep(left)
            continue
        async with session.post(f"/hook/{flow_id}", data=body, headers=headers) as answer:
            assert answer.status == 202
        await asyncio.sleep(1 / rate)
