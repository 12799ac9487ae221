"""Authorizing a credential from the command line: who begins it, and where the redirect is received (RFC 8252)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from hookline.cli.access import access
from hookline.cli.server_file import find
from hookline.config import Settings
from hookline.credentials.authorization import CALLBACK
from hookline.kernel.errors import AuthorizationUnknown, ConfigError, HooklineError
from hookline.service.oauth_callback import page

_LOOK: Final = 0.3
"""Seconds between two looks at an authorization whose redirect the server receives."""
_STILL: Final = 5.0
"""Seconds between two looks at one whose redirect comes here: whether it may still come."""
_ANSWERED: Final = 2.0
"""Seconds that the browser has to take its page."""

Begun = Callable[[Mapping[str, Any]], None]


async def authorize(settings: Settings, name: str, redirect_uri: str | None, begun: Begun) -> Mapping[str, Any]:
    """What became of it; `begun` is told where somebody has to authorize.

    The redirect comes to the server where one runs, unless a `redirect_uri` is given, and to a listener of this process
    otherwise. Raises CredentialError where the credential can't be authorized, and ConfigError where none can listen.
    """
    running = find(settings) is not None
    async with access(settings) as held:
        if running and redirect_uri is None:
            made = await held.begin_authorization(name, None)
            begun(made)
            while made["state"] == "waiting":
                await asyncio.sleep(_LOOK)
                made = await held.authorization(name, made["id"])
            return made
        async with _listening(redirect_uri or f"http://127.0.0.1{CALLBACK}") as listener:
            made = await held.begin_authorization(name, listener.redirect_uri)
            listener.finish = lambda query: held.finish_authorization(name, made["id"], query)
            begun(made)
            # When its time is over is the server's to say, by its own clock.
            while made["state"] == "waiting":
                if (await asyncio.wait((listener.done,), timeout=_STILL))[0]:
                    return listener.done.result()
                made = await held.authorization(name, made["id"])
            return made


class _Listener:
    """Receives one redirect. Others, whoever sends them, are told that nothing waits for them."""

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri
        self.finish: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None
        self.done: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def handle(self, request: web.Request) -> web.Response:
        """The answer to a request."""
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
    """A listener at an address of this machine; where it names no port, any that is free."""
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname, parts.port or 0
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http" or host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError(
            f"--redirect-uri {redirect_uri}: no command can listen there; give an address of this machine, as in "
            f"http://127.0.0.1:8765{CALLBACK}, or start a server, which has one of its own"
        )
    application = web.Application()
    listener = _Listener(redirect_uri)
    application.router.add_route("*", "/{path:.*}", listener.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_ANSWERED)
    await runner.setup()
    try:
        try:
            site = web.TCPSite(runner, "127.0.0.1" if host == "localhost" else host, port)
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"can't listen on {host} port {port}: {error.strerror or error}; choose another"
            ) from error
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if host == "::1" else host
        listener.redirect_uri = parts._replace(netloc=f"{shown}:{bound}").geturl()
        yield listener
    finally:
        await runner.cleanup()


def _shown(status: int, title: str, text: str) -> web.Response:
    reply = page(status, title, text)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return web.Response(body=reply.body, status=reply.status, headers=headers)
