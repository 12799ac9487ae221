"""Hypercorn's protocols on sockets of ours, with a stop that keeps its deadline on every Python.

Hypercorn's own `serve` waits for the sockets of its server to close before its graceful timeout starts. From Python
3.12 on, that wait lasts until each connection has ended: one open request delays the stop without a bound, and
cancelling it leaves the connections running. So this module accepts and stops connections, and Hypercorn speaks HTTP.

Hypercorn also sends `100 Continue` to every sender that expects it. Here the application decides, by asking for the
body: if it rejects the request first, the sender doesn't send the body.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final

import h2.errors
import h2.events
import h2.exceptions
import h11
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, LifespanState, Scope
from hyperframe.frame import GoAwayFrame

from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import Malformed, MethodUnknown, RequestRejected, ServiceUnavailable
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.problem_documents import rejection_response
from hookline.service.sandbox_headers import SANDBOX
from hookline.service.server.connection_limit import Overflow
from hookline.service.server.connections import (
    PATIENCE,
    ConnectionSlot,
    ConnectionSlots,
    LastingTimer,
    TurnTransport,
    abort_unless_read,
)
from hookline.service.server.fair_acceptor import FairAcceptor, Share
from hookline.service.server.framing import LENGTH, METHODS, ORIGIN_FORM, Framing, Whole
from hookline.service.server.hook_application import Application
from hookline.service.server.hook_without_asgi import Direct, hook_request
from hookline.service.server.raw_responses import raw_response, response_bytes
from hookline.service.server.stopping import FIRST_REQUEST, STOPPED_STORING, Stopping


class Http1(H11Protocol):
    """One connection of HTTP/1."""

    @classmethod
    def after(cls, first: H11Protocol) -> "Http1":
        """Replace Hypercorn's protocol object, which has read nothing yet."""
        return cls(
            first.app,
            first.config,
            first.context,
            first.task_group,
            first.connection_state,
            first.ssl,
            first.client,
            first.server,
            first.send,
        )

    async def _create_stream(self, request: h11.Request) -> None:
        connection = self.connection
        if isinstance(connection, h11.Connection) and connection.they_are_waiting_for_100_continue:
            connection.client_is_waiting_for_100_continue = False
            app, self.app = self.app, _Asked(self.app, self)
            try:
                await super()._create_stream(request)
            finally:
                self.app = app
        else:
            await super()._create_stream(request)

    async def go_on(self) -> None:
        """Ask the sender for the body, unless the response has begun."""
        if self.connection.our_state is h11.SEND_RESPONSE:
            headers = self.config.response_headers("h11")
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=headers))


def _set_unless_done(future: "asyncio.Future[HookResponse]", reply: HookResponse) -> None:
    if not future.done():
        future.set_result(reply)


class _Asked:
    """An application that sends `100 Continue` when it asks for the body."""

    def __init__(self, app: AppWrapper, protocol: Http1) -> None:
        self._app = app
        self._protocol = protocol

    async def __call__(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Callable[..., Any],
        call_soon: Callable[..., Any],
    ) -> None:
        asked = False

        async def receive_asked() -> ASGIReceiveEvent:
            nonlocal asked
            if not asked:
                asked = True
                await self._protocol.go_on()
            return await receive()

        await self._app(scope, receive_asked, send, sync_spawn, call_soon)


class _Streams:
    """The places of the streams of one connection of HTTP/2."""

    def __init__(self, places: ConnectionSlots, peer: str | None) -> None:
        """`places`: those of all connections."""
        self._places = places
        self._peer = peer
        self._taken: set[ConnectionSlot] = set()

    def admit(self, app: AppWrapper) -> AppWrapper:
        """Take a place, and return the application as one that gives the place back at its end.

        Raises ServiceUnavailable.
        """
        place = self._places.enter(self._peer)
        self._taken.add(place)

        async def run(*args: Any, **named: Any) -> None:
            try:
                await app(*args, **named)
            finally:
                place.leave()
                self._taken.discard(place)

        return run

    def close(self) -> None:
        """Give all places back: an application that was cancelled before it began gives none back."""
        while self._taken:
            self._taken.pop().leave()


class Http2(H2Protocol):
    """One connection of HTTP/2."""

    places: _Streams
    _has_rejected = False

    @classmethod
    def after(cls, first: H11Protocol, places: _Streams) -> "Http2":
        """Replace the protocol of a connection that was taken for HTTP/1 and has read nothing yet."""
        made = cls(
            first.app,
            first.config,
            first.context,
            first.task_group,
            first.connection_state,
            first.ssl,
            first.client,
            first.server,
            first.send,
        )
        made.places = places
        return made

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        app = self.app
        try:
            # A stream that was reset still takes its place, until the application has noticed.
            self.app = self.places.admit(app)
        except ServiceUnavailable as error:
            self._reject(request, error)
            self._has_rejected = True
            return
        try:
            await super()._create_stream(request)
        finally:
            self.app = app

    async def handle(self, event: Event) -> None:
        """Handle an event of the connection."""
        if isinstance(event, Closed):
            # The sender won't make room for the rest, and each response would wait for it.
            for buffer in tuple(self.stream_buffers.values()):
                await buffer.close()
        await super().handle(event)
        if self._has_rejected:
            self._has_rejected = False
            if not self.streams:
                # No stream ends here, and only its end would tell that the connection is idle.
                await self.send(Updated(idle=True))

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        try:
            for event in events:
                if not self._dealt_with(event):
                    await super()._handle_events([event])
                if isinstance(event, h2.events.StreamReset):
                    # The rest of the stream is removed when the sending task runs; a thousand of them would be too
                    # many.
                    await asyncio.sleep(0)
            await self._flush()
        except h2.exceptions.ProtocolError:
            await self._flush()
            await self.send(Closed())

    def _dealt_with(self, event: h2.events.Event) -> bool:
        match event:
            case h2.events.RequestReceived():
                error = _fault(event)
                if error is None and self.context.terminated.is_set():
                    error = ServiceUnavailable("the server is stopping", retry_after=5)
                if error is not None:
                    self._reject(event, error)
                return error is not None
            case h2.events.DataReceived() if event.stream_id not in self.streams:
                # The stream has its response. Its sender needn't continue, and other streams need the window that this
                # used.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id not in self.stream_buffers:
                    self._stop_sender(event.stream_id)
                return True
            case h2.events.PriorityUpdated():
                # RFC 9113 has deprecated priorities, and their tree can be broken from outside.
                return True
        return False

    def _reject(self, request: h2.events.RequestReceived, error: RequestRejected) -> None:
        reply = rejection_response(error)
        length = (b"content-length", b"%d" % len(reply.body))
        headers = [(b":status", b"%d" % reply.status), *reply.headers, *SANDBOX, length]
        self.connection.send_headers(request.stream_id, headers)
        self.connection.send_data(request.stream_id, reply.body, end_stream=True)
        if request.stream_ended is None:
            self._stop_sender(request.stream_id)

    def _stop_sender(self, stream_id: int) -> None:
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)


def _fault(request: h2.events.RequestReceived) -> RequestRejected | None:
    """The reason why a request is rejected, or None."""
    headers = dict(request.headers)
    if headers.get(b":method") not in METHODS:
        return MethodUnknown()
    if ORIGIN_FORM.fullmatch(headers.get(b":path", b"")) is None:
        return Malformed("the request target is not a path, or has a fragment")
    lengths = [value for name, value in request.headers if name == b"content-length"]
    if len(lengths) > 1 or (lengths and LENGTH.fullmatch(lengths[0]) is None):
        return Malformed("Content-Length is not one number; send it once, in digits")
    if request.stream_ended is not None and lengths and lengths[0].strip(b"0"):
        # h2 only counts the bytes of a body if there is one.
        return Malformed("Content-Length is given, but there is no body")
    return None


#: "Open no further streams", without naming the last one: each that is on its way gets its response (RFC 9113, 6.8).
_GO_AWAY: Final = GoAwayFrame(0, last_stream_id=2**31 - 1).serialize()
_LAST_WORDS: Final = 1.0
"""Seconds in which a cancelled request may still send a response, and a rejected sender may still write."""
_READ: Final = 2**16
"""Bytes that are read at once."""


async def serve(
    app: Application,
    direct: Direct | None,
    config: Config,
    sock: socket.socket,
    stopping: Stopping,
    places: ConnectionSlots,
    streams: ConnectionSlots,
    share: Share | None = None,
) -> None:
    """Serve on a listening socket through the phases of a stop, and close the socket.

    `direct` is the hook, for requests that need no application. `places` are those of all connections, and `streams`
    those of the streams over all connections of HTTP/2. `share` is this process's, if others accept connections of the
    socket too. Running requests then have the configuration's
    `graceful_timeout` to end; idle connections are closed at once. If this is cancelled, the connections are aborted.
    """
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # our scopes are plain mappings
    with contextlib.closing(sock):
        async with _lifespan(wrapped, config) as state:
            connections = _Connections(wrapped, direct, config, state, stopping, places, streams)
            try:
                await connections.accept(sock, share)
            finally:
                await connections.cut()


class _IdleTime:
    """The time in which a connection is idle, in place of Hypercorn's, which begins and cancels a task each time."""

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self._timer = LastingTimer(connection.loop, connection.config.keep_alive_timeout, connection.close_idle)

    async def restart(self, _group: TaskGroup, _action: Callable[[], Awaitable[None]]) -> None:
        """The connection is idle from now on."""
        self._timer.begin()
        if self._connection.context.terminated.is_set():
            self._connection.stop()

    async def stop(self) -> None:
        """The connection isn't idle any more."""
        self._timer.end()

    def cut(self) -> None:
        """Close the connection now if it is idle."""
        if self._timer.running:
            self._timer.end()
            self._connection.close_idle()

    def cancel(self) -> None:
        """The connection has ended."""
        self._timer.cancel()


class _Connection(TCPServer):
    """One connection, which reads one well-framed request at a time.

    It ends when the other side closes it. Hypercorn's own stays until `keep_alive_timeout` has passed, and would count
    as open until then.
    """

    framing: Framing
    patience = PATIENCE
    answered: asyncio.Event
    """Set while no request is in progress, and after the end of the connection."""
    _ended = False
    _silent = False
    """True once the other side has been silent for too long."""
    _spoke = False
    """True once a request has come."""

    def __init__(
        self,
        direct: Direct | None,
        stopping: Stopping,
        streams: _Streams,
        transport: TurnTransport,
        peer: str | None,
        app: AppWrapper,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        *args: Any,
    ) -> None:
        """`direct`: the hook, for requests that need no application. `transport`: that of the writer. `peer`: the
        address of the other side."""
        super().__init__(app, loop, config, *args)
        self.direct = direct
        self.stopping = stopping
        self.streams = streams
        self._transport = transport
        self._peer = peer
        self.idle_task: _IdleTime = _IdleTime(self)  # type: ignore[assignment]  # the same methods
        assert config.read_timeout is not None  # noqa: S101 - `serving` sets it
        self._silence = LastingTimer(loop, config.read_timeout, self._hear_no_more)

    def go_away(self) -> None:
        """Tell the other side to use another connection for its next requests, if it speaks HTTP/2."""
        spoken = getattr(self, "protocol", None)  # set once the connection's task has begun
        if spoken is not None and isinstance(spoken.protocol, Http2) and not self.writer.is_closing():
            self.writer.write(_GO_AWAY)

    async def run(self) -> None:
        self.framing = Framing(self.config.h11_max_incomplete_size, http2=True)
        self.answered = asyncio.Event()
        self.answered.set()
        await super().run()

    async def protocol_send(self, event: Event) -> None:
        """Handle an event of Hypercorn's protocol."""
        if isinstance(event, RawData):
            await self._write(event.data)
            return
        if isinstance(event, Updated) and not event.idle:
            self._spoke = True
            self.answered.clear()
        else:
            self._ended = self._ended or isinstance(event, Closed)
            self.answered.set()
        await super().protocol_send(event)

    async def _write(self, data: bytes) -> None:
        if not data or self._ended or self.writer.is_closing():
            return
        try:
            self.writer.write(data)
            if unsent := self._transport.unsent:
                timer = abort_unless_read(self._transport, unsent, self.patience)
                try:
                    async with self.send_lock:
                        await self.writer.drain()
                finally:
                    timer.cancel()
            if self._silence.running:
                # A client that only reads, such as that of a stream of events, isn't gone.
                self._silence.begin()
        except (ConnectionError, RuntimeError):
            await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        if isinstance(self.protocol.protocol, H11Protocol):
            self.protocol.protocol = Http1.after(self.protocol.protocol)
        while not self._ended and not self.reader.at_eof():
            self._silence.begin()
            try:
                data = await self.reader.read(_READ)
            except OSError:
                break
            self._silence.end()
            if self._silent:
                break
            if not data:
                await self._answer_half_closed()
            try:
                await self._pass_on(data)
            except RequestRejected as error:
                await self._reject(error)
        self._silence.cancel()
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _answer_half_closed(self) -> None:
        """Wait for the response to a request whose sender sends nothing more, unless the connection ends before."""
        if self.framing.under_way or self.framing.http2:
            return
        self._silence.begin()
        closed = asyncio.shield(self.writer.wait_closed())  # whose future all who wait share
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(one) for one in (self.answered.wait(), closed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _hear_no_more(self) -> None:
        self._silent = True
        if self.reader.at_eof():
            # It may be gone: nothing was written to it that could tell.
            self._transport.abort()
        self.reader.feed_eof()

    async def _pass_on(self, data: bytes) -> None:
        """Pass bytes to the protocol; no bytes mean the end."""
        if not data:
            await self.protocol.handle(RawData(data))
        while data:
            if not self.framing.under_way and not self.framing.http2:
                await self.answered.wait()
            if self._ended or self.writer.is_closing():
                return
            passed = self.framing.feed(data)
            data = self.framing.rest
            if self.framing.http2 and isinstance(self.protocol.protocol, H11Protocol):
                self.protocol.protocol = Http2.after(self.protocol.protocol, self.streams)
                await self.protocol.initiate()
                if self.stopping.begun.is_set():
                    self.go_away()
            whole = self.framing.whole
            is_http1 = isinstance(self.protocol.protocol, Http1)
            if whole is not None and is_http1 and await self._answer_directly(whole):
                continue
            if passed:
                await self.protocol.handle(RawData(passed))

    async def _answer_directly(self, whole: Whole) -> bool:
        """Let the hook handle a whole request, and return False if it has to come through the application.

        h11 doesn't get such a request: the framing has checked it already, and more strictly. So for h11 no request has
        come, and it can read the next one.
        """
        asked = hook_request(whole, self._peer)
        if asked is None or self.direct is None or self.stopping.begun.is_set():
            return False
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[HookResponse] = loop.create_future()
        if not self.direct.begin(asked, whole.body, partial(_set_unless_done, stored)):
            return False
        self.stopping.last_arrival = loop.time()
        await self.protocol_send(Updated(idle=False))
        try:
            reply = await stored
        except asyncio.CancelledError:
            # The server stops and waits no longer.
            await self._respond(STOPPED_STORING if stored.cancelled() else stored.result())
            raise
        await self._respond(reply)
        return True

    async def _respond(self, reply: HookResponse) -> None:
        """Send a whole response. Then the connection is idle, or closes if the server is stopping."""
        last = self.stopping.begun.is_set()
        await self.protocol_send(RawData(response_bytes(reply, self.config.response_headers("h11"), close=last)))
        await self.protocol_send(Closed() if last else Updated(idle=True))

    async def _reject(self, error: RequestRejected) -> None:
        """Send the error if no response has begun, and let it arrive before the connection closes."""
        protocol = self.protocol.protocol
        unanswered = isinstance(protocol, H11Protocol) and protocol.connection.our_state in (
            h11.IDLE,
            h11.SEND_RESPONSE,
        )
        if unanswered:
            await self.protocol_send(RawData(raw_response(error)))
        self._ended = True
        # The application may wait for the rest of the rejected request.
        await self.protocol.handle(Closed())
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(_LAST_WORDS):
                while await self.reader.read(_READ):
                    pass

    async def _close(self) -> None:
        self._silence.cancel()
        self.idle_task.cancel()
        # uvloop may notice only now that the other side has gone.
        timer = abort_unless_read(self._transport, self._transport.unsent, self.patience)
        try:
            with contextlib.suppress(OSError):
                await super()._close()
        finally:
            timer.cancel()

    def close_idle(self) -> None:
        """Close the connection, which is idle."""
        # The response to a request in progress comes after the end.
        if not self._ended and not self.reader.at_eof():
            self._task_group.spawn(self._initiate_server_close)

    async def _initiate_server_close(self) -> None:
        # A request may have come since the connection was found idle. It closes after that one's response.
        if self.answered.is_set() and not self.framing.under_way:
            await super()._initiate_server_close()

    def stop(self) -> None:
        """Close the connection if it is idle; the first request of a new one may come."""
        if self._spoke:
            self.idle_task.cut()
        else:
            self.loop.call_later(FIRST_REQUEST, self.idle_task.cut)


class _Connections:
    """The connections of one server, each a task."""

    def __init__(
        self,
        app: AppWrapper,
        direct: Direct | None,
        config: Config,
        state: LifespanState,
        stopping: Stopping,
        places: ConnectionSlots,
        streams: ConnectionSlots,
    ) -> None:
        self._app = app
        self._direct = direct
        self._config = config
        self._state = state
        self._context = WorkerContext(None)
        self._stopping = stopping
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self._places = places
        self._streams = streams
        self._overflow = Overflow()

    async def accept(self, sock: socket.socket, share: Share | None) -> None:
        """Accept connections until the stop closes the socket, and then wait for their requests to end, as long as
        they may."""
        server: asyncio.Server | FairAcceptor
        if share is None:
            server = await asyncio.start_server(self._connected, sock=sock, backlog=self._config.backlog)
        else:
            server = FairAcceptor(sock, self._protocol, share)
            self._places.changed = server.opened
        try:
            await self._stopping.begun.wait()
            for connection in tuple(self._open.values()):
                connection.go_away()
            await self._stopping.closing.wait()
        finally:
            server.close()
            # Idle connections close now, and the others after the current response.
            await self._context.terminated.set()
            for connection in tuple(self._open.values()):
                connection.stop()
        await self._wait(self._config.graceful_timeout)
        for task in self._open:
            task.cancel()
        await self._wait(_LAST_WORDS)

    async def cut(self) -> None:
        """Abort the remaining connections, whether or not the other side reads."""
        self._overflow.close()
        for task, connection in self._open.items():
            connection.writer.transport.abort()
            task.cancel()
        await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=seconds)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader()
        return asyncio.StreamReaderProtocol(reader, self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        self._stopping.last_arrival = loop.time()
        name = writer.get_extra_info("peername")
        peer = name[0] if isinstance(name, tuple) else None
        try:
            place = self._places.enter(peer)
        except ServiceUnavailable as error:
            self._overflow.turn_away(writer.transport, error, writer)
            return
        streams = _Streams(self._streams, peer)
        transport = TurnTransport(writer.transport, loop, keep=writer)
        writer = asyncio.StreamWriter(transport, transport.get_protocol(), reader, loop)
        connection = _Connection(
            self._direct,
            self._stopping,
            streams,
            transport,
            peer,
            self._app,
            loop,
            self._config,
            self._context,
            self._state,
            reader,
            writer,
        )
        task = asyncio.create_task(self._speak(connection))
        self._open[task] = connection
        task.add_done_callback(self._open.pop)
        task.add_done_callback(lambda _: place.leave())

    async def _speak(self, connection: _Connection) -> None:
        try:
            await connection
        except Exception:  # noqa: BLE001 - a defect of one connection is logged, and the others go on
            await self._config.log.exception("a connection ended with an error")
        finally:
            connection.streams.close()
            connection.writer.close()


@contextlib.asynccontextmanager
async def _lifespan(app: AppWrapper, config: Config) -> AsyncIterator[LifespanState]:
    """Run the application's own startup and shutdown, if it has them."""
    state: LifespanState = {}
    lifespan = Lifespan(app, config, asyncio.get_running_loop(), state)
    running = asyncio.create_task(lifespan.handle_lifespan())
    try:
        # Hypercorn waits with `asyncio.wait_for`, which may lose a cancellation before Python 3.12.
        await shielded(lifespan.wait_for_startup())
        if running.done():
            running.result()
        yield state
        await shielded(lifespan.wait_for_shutdown())
    finally:
        running.cancel()
        await asyncio.wait((running,))
