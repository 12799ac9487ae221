"""Serving the application with Hypercorn or uvicorn, with the limits that a public server needs."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, TypeAlias, cast

from hookline.kernel.errors import ConfigError
from hookline.service.hooks.sender import Networks
from hookline.service.server.connection_limit import MAX_CONNECTIONS, Overflow
from hookline.service.server.connections import ConnectionSlots
from hookline.service.server.fair_acceptor import FairAcceptor, Share
from hookline.service.server.hook_application import Application, StoppingApplication
from hookline.service.server.hook_without_asgi import Direct
from hookline.service.server.listening import BACKLOG, listen
from hookline.service.server.stopping import Stopping

Server: TypeAlias = Literal["hypercorn", "uvicorn"]
Bound: TypeAlias = Callable[[str, int], None]

HEAD_TIMEOUT: Final = 10.0
SILENCE_TIMEOUT: Final = 120
"""Seconds without a byte from or to the other side, after which Hypercorn drops a connection: longer than any
`read_timeout` of the hook, which sends a response, and longer than the time in which a flow may reply."""
MAX_HEAD: Final = 64 * 1024
_MARGIN: Final = 5.0
_CHUNKS: Final = 4
"""The chunks of one body that wait for the application: of 64 KB, or of 16 KB with HTTP/2."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop's event loop if it is installed; for `asyncio.Runner`."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@dataclass(frozen=True, slots=True)
class Listener:
    """An address of a server, with an application and a number of connections of its own."""

    app: Application
    sock: socket.socket
    """A result of `listen`; it is closed with the server."""
    max_connections: int
    direct: Direct | None = None
    """The hook of the application, if small requests may go straight to it."""
    share: Share | None = None
    """The part of this process in the connections, if others accept them too."""


async def serve(
    app: Application,
    *,
    direct: Direct | None = None,
    shutdown: asyncio.Event,
    host: str = "127.0.0.1",
    port: int = 8080,
    server: Server = "hypercorn",
    sock: socket.socket | None = None,
    bound: Bound | None = None,
    stopping: Stopping | None = None,
    graceful_timeout: float = 10.0,
    head_timeout: float = HEAD_TIMEOUT,
    max_connections: int = MAX_CONNECTIONS,
    trusted_proxies: Networks = (),
    further: Sequence[Listener] = (),
    share: Share | None = None,
) -> None:
    """Serve until `shutdown` is set, and then until running requests have ended, or `graceful_timeout` seconds.

    `direct` is the hook, which then gets small requests without the application. `sock` is a result of `listen`, for a
    caller that needs to know the port first; it is closed here. `bound` is called with the address and the port once
    connections are queued. `stopping`: the phases of the stop, for a caller that follows them. `head_timeout`: seconds
    for a request's head, on a new connection and between requests. `max_connections`: further connections get a 503 and
    are closed, and so do those of an address that has half of them, unless it is one of `trusted_proxies`. All
    connections of HTTP/2 together have as many streams. `further` addresses go through the same phases at the same
    time. `share`: this process's, if others accept connections of `sock` too. Nothing is printed; the caller handles
    signals.
    """
    listening = sock if sock is not None else listen(host, port)
    stopping = stopping or Stopping(shutdown)
    listeners = (Listener(app, listening, max_connections, direct, share), *further)
    with contextlib.ExitStack() as sockets:
        for one in listeners:
            sockets.enter_context(contextlib.closing(one.sock))
        if bound is not None:
            bound(*listening.getsockname()[:2])
        run = _hypercorn if server == "hypercorn" else _uvicorn
        serving = []
        for one in listeners:
            places = partial(ConnectionSlots, most=one.max_connections, trusted=trusted_proxies)
            limits = _Limits(graceful_timeout, head_timeout, places)
            application = StoppingApplication(one.app, stopping)
            serving.append(asyncio.ensure_future(run(replace(one, app=application), stopping, limits)))
        phases = asyncio.ensure_future(stopping.run(*(one.sock for one in listeners)))
        closing = asyncio.ensure_future(stopping.closing.wait())
        tasks = (phases, closing, *serving)
        try:
            await asyncio.wait((closing, *serving), return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                # Both servers keep the deadline themselves, except uvicorn while it waits for its sockets to close.
                await asyncio.wait(serving, timeout=graceful_timeout + _MARGIN)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in serving:
            if not task.cancelled():
                task.result()


@dataclass(frozen=True, slots=True)
class _Limits:
    graceful_timeout: float
    head_timeout: float
    places: Callable[[str], ConnectionSlots]


async def _hypercorn(listener: Listener, stopping: Stopping, limits: _Limits) -> None:
    from hypercorn.config import Config

    from hookline.service.server import hypercorn_server

    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.backlog = BACKLOG
    config.keep_alive_timeout = limits.head_timeout
    config.keep_alive_max_requests = 1_000_000
    config.read_timeout = SILENCE_TIMEOUT
    config.h11_max_incomplete_size = MAX_HEAD
    config.graceful_timeout = limits.graceful_timeout
    config.max_app_queue_size = _CHUNKS
    await hypercorn_server.serve(
        listener.app,
        listener.direct,
        config,
        listener.sock,
        stopping,
        limits.places("connections"),
        limits.places("requests on connections of HTTP/2"),
        listener.share,
    )


async def _uvicorn(listener: Listener, stopping: Stopping, limits: _Limits) -> None:
    try:
        import uvicorn

        from hookline.service.server.uvicorn_protocol import FramedProtocol
    except ImportError as error:
        raise ConfigError("uvicorn is not installed; pip install 'hookline[fast]'") from error

    class Protocol(FramedProtocol):
        max_head = MAX_HEAD

    Protocol.head_timeout = limits.head_timeout
    places = Protocol.places = limits.places("connections")
    Protocol.stopping = stopping
    Protocol.direct = listener.direct
    overflow = Protocol.overflow = Overflow()

    class QuietServer(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            if listener.share is None:
                await super().startup(sockets)
                return
            await super().startup([])
            acceptor = FairAcceptor(listener.sock, self._protocol, listener.share)
            places.changed = acceptor.opened
            self.servers.append(acceptor)  # type: ignore[arg-type]  # uvicorn only closes it

        async def main_loop(self) -> None:
            # uvicorn's own loop asks ten times a second whether it should end.
            await stopping.closing.wait()

        async def keep_date(self) -> None:
            """Make the header `Date` every second, during the stop too."""
            # The requests in progress have this list, and send it with their responses.
            shared = self.server_state.default_headers
            while True:
                await self.on_tick(0)
                shared[:] = self.server_state.default_headers
                self.server_state.default_headers = shared
                await asyncio.sleep(1)

        def _protocol(self) -> Protocol:
            return Protocol(config, self.server_state, self.lifespan.state)

    config = uvicorn.Config(
        listener.app,
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # The hook decides which proxies are trusted; uvicorn would trust 127.0.0.1.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=max(1, int(limits.head_timeout)),
        timeout_graceful_shutdown=max(1, int(limits.graceful_timeout)),
    )
    config.load()
    running = QuietServer(config)
    dates = asyncio.ensure_future(running.keep_date())
    try:
        await running.serve(sockets=[listener.sock])
        for connection in tuple(running.server_state.connections):
            cast(Protocol, connection).give_up()
    finally:
        dates.cancel()
        overflow.close()
