"""The authorization of a credential from the command line, with a listener for the redirect (RFC 8252)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from hookline.cli.client import connect
from hookline.credentials.oauth_authorization import CALLBACK
from hookline.kernel.errors import AuthorizationUnknown, ConfigError, HooklineError
from hookline.server_settings import Settings
from hookline.service.html_page import text_page
from hookline.service.server.listening import listen

_POLL: Final = 0.3
"""Seconds between two requests for the state of an authorization whose redirect the server receives."""
_EXPIRY_POLL: Final = 5.0
"""Seconds between two requests for the state of one whose redirect comes here: it may have expired."""
_PAGE_GRACE: Final = 2.0
"""Seconds for the browser to read its page."""

Begun = Callable[[Mapping[str, Any]], None]


async def authorize(settings: Settings, name: str, redirect_uri: str | None, begun: Begun) -> Mapping[str, Any]:
    """Authorize a credential and return its last state; `begun` is called with the address to open.

    The redirect goes to the running server, unless a `redirect_uri` is given; otherwise to a listener of this process.
    Raises ApiError if the credential can't be authorized, and ConfigError if the listener can't listen.
    """
    path = ("credentials", name, "authorize")
    async with connect(settings) as client:
        if client.server is not None and redirect_uri is None:
            made: Mapping[str, Any] = await client.post(*path, body={})
            begun(made)
            while made["state"] == "waiting":
                await asyncio.sleep(_POLL)
                made = await client.get(*path, made["id"])
            return made
        async with _listening(redirect_uri or f"http://127.0.0.1{CALLBACK}") as listener:
            made = await client.post(*path, body={"redirect_uri": listener.redirect_uri})
            listener.finish = lambda query: client.post(*path, made["id"], body={"redirected": query})
            begun(made)
            # It expires by the clock of the server.
            while made["state"] == "waiting":
                if (await asyncio.wait((listener.done,), timeout=_EXPIRY_POLL))[0]:
                    return listener.done.result()
                made = await client.get(*path, made["id"])
            return made


class _Listener:
    """Receives one redirect. Other requests are rejected."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri
        self.finish: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None
        self.done: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def handle(self, request: web.Request) -> web.Response:
        """Return the page for a request."""
        if request.method != "GET" or request.path != (urlsplit(self.redirect_uri).path or "/"):
            return _shown(404, "Nothing is here", "")
        if self.finish is None:
            return _shown(503, "Not ready yet", "Load this page again.")
        try:
            made = await self.finish(request.query_string)
        except HooklineError as error:
            if getattr(error, "error_code", error.code) != AuthorizationUnknown.code and not self.done.done():
                self.done.set_exception(error)
            return _shown(400, "Not authorized", error.message)
        if not self.done.done():
            self.done.set_result(made)
        if made["state"] == "done":
            return _shown(200, "Authorized", f"{made['message']}. You can close this window.")
        return _shown(400, "Not authorized", made["message"] or "")


@contextlib.asynccontextmanager
async def _listening(redirect_uri: str) -> AsyncIterator[_Listener]:
    """Listen at an address of this machine; at a free port if it names none."""
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname, parts.port or 0
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http" or host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(
            f"--redirect-uri {redirect_uri}: no command can listen there; give an address of this machine, such as "
            f"http://127.0.0.1:8765{CALLBACK}, or start a server, which has its own"
        )
    application = web.Application()
    listener = _Listener(redirect_uri)
    application.router.add_route("*", "/{path:.*}", listener.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_PAGE_GRACE)
    await runner.setup()
    try:
        sock = listen("127.0.0.1" if host == "localhost" else host, port)
        await web.SockSite(runner, sock).start()
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if host == "::1" else host
        listener.redirect_uri = parts._replace(netloc=f"{shown}:{bound}").geturl()
        yield listener
    finally:
        await runner.cleanup()


def _shown(status: int, title: str, text: str) -> web.Response:
    reply = text_page(status, title, text)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return web.Response(body=reply.body, status=reply.status, headers=headers)
