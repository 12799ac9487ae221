"""The admin API of a running server, over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from hookline.cli.client.admin_client import API, Client
from hookline.cli.client.remote_choice import is_loopback
from hookline.kernel.errors import StoreError
from hookline.kernel.json import decode

if TYPE_CHECKING:
    import aiohttp

_JSON: Final = {"Content-Type": "application/json"}
_RECONNECT: Final = 1.0
"""Seconds until a broken stream of events is opened again."""
_ATTEMPTS: Final = 30
_SILENCE: Final = 60.0
"""Seconds of silence after which a stream is taken for dead; the server sends something every 15."""
_LONGEST: Final = 300.0
"""Seconds within which a response must be complete."""
_CONNECT: Final = 20.0
"""Seconds within which a server must accept a connection."""


@contextlib.asynccontextmanager
async def http_client(url: str, token: str, *, proxies: bool = False) -> AsyncIterator[Client]:
    """Connect to the server at `url`. `proxies`: through the proxy that the environment names, if it names one."""
    import aiohttp

    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=_LONGEST, sock_connect=_CONNECT)
    proxy = proxy_for(url) if proxies else None
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, proxy=proxy) as session:
        yield Client(Http(session, url))


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for a server; None if it names none."""
    # aiohttp's `trust_env` reads ~/.netrc as well, and fails if that has a password for the server.
    parts = urlsplit(url)
    # A proxy would read a token that is sent over plain http to this machine.
    if parts.hostname is None or is_loopback(parts.hostname) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)


class Http:
    """A running server."""

    def __init__(self, session: "aiohttp.ClientSession", url: str) -> None:
        """`session` sends the token."""
        self._session = session
        self.url: str | None = url

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        import aiohttp
        from yarl import URL

        from hookline.outbound.connection_errors import reason_of

        url = URL(f"{self.url}{path}", encoded=True)
        try:
            # A redirect could lead the token, or a change, to somewhere else.
            async with self._session.request(
                method, url, params=query, data=body, headers=_JSON | dict(headers), allow_redirects=False
            ) as response:
                if 300 <= response.status < 400:
                    there = response.headers.get("Location", "another URL")
                    raise StoreError(f"the server at {self.url} redirects to {there}: name the URL of its admin API")
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StoreError(f"the server at {self.url} doesn't answer: {reason_of(error)}") from error

    async def events(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]:
        import aiohttp

        from hookline.outbound.connection_errors import reason_of

        last: str | None = None
        failures = 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE)
        url = f"{self.url}{API}/events"
        while True:
            headers = {} if last is None else {"Last-Event-ID": last}
            try:
                async with self._session.get(
                    url, params=query, headers=headers, timeout=timeout, allow_redirects=False
                ) as response:
                    if response.status != 200:
                        raise StoreError(f"the server answered {response.status} at {url}")
                    failures = 0
                    async for event in _events(response.content):
                        last = event["id"] or last
                        yield {"event": event["event"], "data": decode(event["data"].encode(), exact=True)}
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures += 1
                if last is None or failures > _ATTEMPTS:
                    raise StoreError(f"the server at {self.url} doesn't answer: {reason_of(error)}") from error
            await asyncio.sleep(_RECONNECT)


async def _events(content: "aiohttp.StreamReader") -> AsyncIterator[dict[str, str]]:
    """Server-sent events."""
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
