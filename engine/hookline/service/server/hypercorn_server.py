"""Hypercorn's connections on a socket of ours, with a stop that keeps its time on every Python.

Hypercorn's own `serve` waits for the sockets of its server to close before its graceful timeout starts. From Python
3.12 on, that wait lasts until each connection has ended: one open request holds the stop up without a bound, and to
cancel it leaves the connections running. So what accepts and stops is here, and what speaks HTTP is Hypercorn's.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, LifespanState

from hookline.kernel.errors import RequestRejected
from hookline.service.server.asgi import Application
from hookline.service.server.framing import Framing
from hookline.service.server.hypercorn_protocols import Http1, Http2
from hookline.service.server.overflow import Overflow, raw_answer

_LAST_WORDS: Final = 1.0
"""Seconds in which a request that was cut off may still send an answer, and a sender that was rejected still writes."""
_READ: Final = 2**16
"""Bytes that are read at once."""


async def serve(
    app: Application, config: Config, sock: socket.socket, shutdown: asyncio.Event, max_connections: int
) -> None:
    """Serve on a listening socket, which is closed here, until `shutdown` is set.

    Requests that run then have the configuration's `graceful_timeout` to end; idle connections are closed at once. When
    this is cancelled, connections are cut.
    """
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # our scopes are plain mappings
    with contextlib.closing(sock):
        async with _lifespan(wrapped, config) as state:
            connections = _Connections(wrapped, config, state, max_connections)
            try:
                await connections.accept(sock, shutdown)
            finally:
                await connections.cut()


class _Connection(TCPServer):
    """One connection, which reads one request at a time, and none that isn't plain.

    It is over once the other side has closed it. Hypercorn's own stays until `keep_alive_timeout` has passed, and would
    count as open all the while.
    """

    framing: Framing
    answered: asyncio.Event
    """No request is under way, or the connection has ended."""
    _ended = False

    async def run(self) -> None:
        self.framing = Framing(self.config.h11_max_incomplete_size, http2=True)
        self.answered = asyncio.Event()
        self.answered.set()
        await super().run()

    async def protocol_send(self, event: Event) -> None:
        """What Hypercorn's protocol wants."""
        if isinstance(event, RawData) and (self._ended or self.writer.is_closing()):
            return
        if isinstance(event, Updated) and not event.idle:
            self.answered.clear()
        else:
            self._ended = self._ended or isinstance(event, Closed)
            if self._ended or isinstance(event, Updated):
                self.answered.set()
        await super().protocol_send(event)

    async def _read_data(self) -> None:
        if isinstance(self.protocol.protocol, H11Protocol):
            self.protocol.protocol = Http1.after(self.protocol.protocol)
        while not self._ended and not self.reader.at_eof():
            try:
                data = await asyncio.wait_for(self.reader.read(_READ), self.config.read_timeout)
            except (OSError, TimeoutError):
                break
            try:
                await self._pass_on(data)
            except RequestRejected as error:
                await self._reject(error)
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _pass_on(self, data: bytes) -> None:
        """Give the protocol what it may read; nothing at all tells it the end."""
        if not data:
            await self.protocol.handle(RawData(data))
        while data:
            if not self.framing.under_way and not self.framing.http2:
                await self.answered.wait()
            if self._ended:
                return
            passed = self.framing.feed(data)
            data = self.framing.rest
            if self.framing.http2 and isinstance(self.protocol.protocol, H11Protocol):
                self.protocol.protocol = Http2.after(self.protocol.protocol)
                await self.protocol.initiate()
            if passed:
                await self.protocol.handle(RawData(passed))

    async def _reject(self, error: RequestRejected) -> None:
        """Answer what can still be answered, and let the answer arrive before the connection closes."""
        protocol = self.protocol.protocol
        unanswered = isinstance(protocol, H11Protocol) and protocol.connection.our_state in (
            h11.IDLE,
            h11.SEND_RESPONSE,
        )
        if unanswered:
            await self.protocol_send(RawData(raw_answer(error)))
        self._ended = True
        # The application may wait for the rest of what was rejected.
        await self.protocol.handle(Closed())
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(_LAST_WORDS):
                while await self.reader.read(_READ):
                    pass

    async def _close(self) -> None:
        # uvloop may find out only now that the other side has gone.
        with contextlib.suppress(OSError):
            await super()._close()

    async def _idle_timeout(self) -> None:
        # The answer to a request that was under way then comes after the end.
        if not self.reader.at_eof():
            await super()._idle_timeout()


class _Connections:
    """The connections of one server, each a task."""

    def __init__(self, app: AppWrapper, config: Config, state: LifespanState, most: int) -> None:
        self._app = app
        self._config = config
        self._state = state
        self._context = WorkerContext(None)
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._most = most
        self._overflow = Overflow()

    async def accept(self, sock: socket.socket, shutdown: asyncio.Event) -> None:
        """Take connections until `shutdown` is set, and then wait for their requests to end, as long as they may."""
        server = await asyncio.start_server(self._connected, sock=sock, backlog=self._config.backlog)
        try:
            await shutdown.wait()
        finally:
            server.close()
            # Idle connections close on this, and the others after the answer that is under way.
            await self._context.terminated.set()
        await self._wait(self._config.graceful_timeout)
        for task in self._open:
            task.cancel()
        await self._wait(_LAST_WORDS)

    async def cut(self) -> None:
        """End what is left, whether or not the other side reads."""
        self._overflow.close()
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()
        await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=seconds)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._context.terminated.is_set():
            # It was accepted in the moment of the stop.
            writer.transport.abort()
            return
        if len(self._open) >= self._most:
            self._overflow.turn_away(writer.transport, writer)
            return
        task = asyncio.create_task(self._speak(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            await _Connection(self._app, loop, self._config, self._context, self._state, reader, writer)
        except Exception:  # noqa: BLE001 - a defect of one connection is logged, and the others go on
            await self._config.log.exception("a connection ended with an error")
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def _lifespan(app: AppWrapper, config: Config) -> AsyncIterator[LifespanState]:
    """The application's own start and end, where it has them."""
    state: LifespanState = {}
    lifespan = Lifespan(app, config, asyncio.get_running_loop(), state)
    running = asyncio.create_task(lifespan.handle_lifespan())
    try:
        await lifespan.wait_for_startup()
        if running.done():
            running.result()
        yield state
        await lifespan.wait_for_shutdown()
    finally:
        running.cancel()
        await asyncio.wait((running,))
