"""Reading a server's stream of events, across breaks of the connection."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp

from hookline.kernel.errors import StoreError
from hookline.kernel.json import decode

_AGAIN: Final = 1.0
"""Seconds after which a connection that broke is made again."""
_TRIES: Final = 30
_SILENCE: Final = 60.0
"""Seconds of silence after which a connection is taken for dead: the server says something every 15."""


async def follow(
    session: aiohttp.ClientSession, url: str, query: Mapping[str, str]
) -> AsyncIterator[Mapping[str, Any]]:
    """Each event as `{"event", "data"}`. Goes on where it was when the connection breaks.

    Raises StoreError where the server doesn't answer, or stays away.
    """
    last: str | None = None
    failures = 0
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE)
    while True:
        headers = {} if last is None else {"Last-Event-ID": last}
        try:
            async with session.get(url, params=dict(query), headers=headers, timeout=timeout) as response:
                if response.status != 200:
                    raise StoreError(f"the server answered {response.status} at {url}")
                failures = 0
                async for event in _events(response.content):
                    last = event["id"] or last
                    yield {"event": event["event"], "data": decode(event["data"].encode(), exact=True)}
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failures += 1
            if last is None or failures > _TRIES:
                raise StoreError(f"the server at {url} doesn't answer: {error}") from error
        await asyncio.sleep(_AGAIN)


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, str]]:
    event = {"id": "", "event": "", "data": ""}
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if not line:
            if event["event"]:
                yield event
            event = {"id": "", "event": "", "data": ""}
            continue
        name, _, value = line.partition(": ")
        if name in event:
            event[name] = value
