"""uvicorn's HTTP protocol with strict framing, one request at a time, and the limits that uvicorn lacks.

The limits are on the time and the bytes of a request's head, and on the number of connections: uvicorn's own limit
rejects requests, and leaves the connections open.
"""

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hookline.kernel.errors import RequestRejected, ServiceUnavailable
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.server.connection_limit import Overflow
from hookline.service.server.connections import (
    PATIENCE,
    ConnectionSlot,
    ConnectionSlots,
    LastingTimer,
    TurnTransport,
    abort_unless_read,
)
from hookline.service.server.framing import Framing, Whole
from hookline.service.server.hook_without_asgi import Direct, hook_request
from hookline.service.server.raw_responses import raw_response, response_bytes
from hookline.service.server.stopping import FIRST_REQUEST, STOPPED_STORING, Stopping

_LINGER: Final = 1.0
"""Seconds until a rejected connection is closed: if it were closed at once, the reset of further data could overtake
the response."""


class FramedProtocol(HttpToolsProtocol):
    """Closes a connection if the head of its next request doesn't end in time, or is malformed."""

    head_timeout: ClassVar[float]
    """Seconds; set by a subclass."""

    max_head: ClassVar[int]
    """Bytes."""

    places: ClassVar[ConnectionSlots]
    """Those of all connections."""

    overflow: ClassVar[Overflow]
    stopping: ClassVar[Stopping]
    direct: ClassVar[Direct | None]
    """The hook, for requests that need no application."""

    _framing: Framing
    _place: ConnectionSlot
    _turned_away = False
    _rejected = False
    _spoke = False
    """True once a request has come."""
    _direct_under_way = False
    """True while the hook itself handles a request."""
    _last = False
    """True if the connection closes after the response to that."""
    _half_closed = False
    """True if the other side sends nothing more, and still reads."""
    _waiting = b""
    """The bytes of the next request while one is in progress."""

    _idle: LastingTimer
    _timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None
    patience: ClassVar[float] = PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Handle a new connection: its first request is due."""
        self.stopping.last_arrival = self.loop.time()
        peer = transport.get_extra_info("peername")
        try:
            self._place = self.places.enter(peer[0] if isinstance(peer, tuple) else None)
        except ServiceUnavailable as error:
            self._turned_away = True
            self.overflow.turn_away(transport, error)
            return
        self._framing = Framing(self.max_head)
        self._idle = LastingTimer(self.loop, self.timeout_keep_alive, self.timeout_keep_alive_handler)
        super().connection_made(TurnTransport(transport, self.loop))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        if self._turned_away:
            return
        self._place.leave()
        self._idle.cancel()
        self._stop_reader_timer()
        self._stop_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Handle a response that the client doesn't read as fast as it comes."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """Handle the end of that."""
        super().resume_writing()
        self._stop_reader_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if the client hasn't read the end of its last response."""
        super().timeout_keep_alive_handler()
        if self._reader_timer is None:
            self._await_reader()

    def data_received(self, data: bytes) -> None:
        """Handle bytes from the socket."""
        if self._turned_away or self._rejected:
            return
        if self._waiting:
            self._waiting += data
            self.flow.pause_reading()
        else:
            self._read(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's own lets the connection close
        """Handle the end of the other side's data, and return true if the connection stays open for a response."""
        self._half_closed = True
        if self._turned_away or self._rejected:
            return False
        if self._is_over():
            # What was written in this turn is sent before.
            self.transport.close()
        return True

    def _is_over(self) -> bool:
        """Return true if no response is due for what has come."""
        return not self._waiting and (self._framing.under_way or self._is_answered())

    def on_headers_complete(self) -> None:
        """Handle a complete head."""
        self._stop_timer()
        self._spoke = True
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Handle the end of a response: the next request may come."""
        # As uvicorn's own, with another timer. There is no queue of requests to look at: one is read at a time.
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._idle.begin()
        if self._waiting:
            self.loop.call_soon(self._go_on)
        elif self._half_closed:
            self.transport.close()

    def shutdown(self) -> None:
        """Close an idle connection, and the others after their response; the first request of a new one may come."""
        if self._direct_under_way:
            self._last = True
        elif self._spoke:
            super().shutdown()
        else:
            self.loop.call_later(FIRST_REQUEST, super().shutdown)

    def give_up(self) -> None:
        """Answer a request that isn't stored yet: the server stops and waits no longer."""
        if self._direct_under_way:
            self._answer(STOPPED_STORING)

    def _unset_keepalive_if_required(self) -> None:
        self._idle.end()

    def _read(self, data: bytes) -> None:
        while data:
            if not self._framing.under_way and not self._is_answered():
                self._waiting = data
                self.flow.pause_reading()
                return
            try:
                passed = self._framing.feed(data)
            except RequestRejected as error:
                self._reject(error)
                return
            whole = self._framing.whole
            if passed and (whole is None or not self._handled_directly(whole)):
                super().data_received(passed)
            if self.transport.is_closing():
                return
            if self._framing.under_way and self._is_answered():
                # uvicorn has stopped its own timer, and nothing else limits the wait for the rest.
                self._await_head()
            data = self._framing.rest

    def _is_answered(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self._direct_under_way

    def _handled_directly(self, whole: Whole) -> bool:
        """Give a request to the hook itself, unless the application has to handle it."""
        if self.direct is None or self.flow.write_paused or self.stopping.begun.is_set():
            return False
        request = hook_request(whole, None if self.client is None else self.client[0])
        if request is None or not self.direct.begin(request, whole.body, self._answer):
            return False
        self.stopping.last_arrival = self.loop.time()
        self._direct_under_way = self._spoke = True
        self._stop_timer()
        self._idle.end()
        return True

    def _answer(self, reply: HookResponse) -> None:
        self._direct_under_way = False
        if self.transport.is_closing():
            return
        last = self._last or self.stopping.begun.is_set()
        self.transport.write(response_bytes(reply, self.server_state.default_headers, close=last))
        if last:
            self.transport.close()
        self.on_response_complete()

    def _go_on(self) -> None:
        data, self._waiting = self._waiting, b""
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._read(data)
            if self._half_closed and not self._rejected and self._is_over():
                self.transport.close()

    def _reject(self, error: RequestRejected) -> None:
        """Send the error if no response has begun, and let it arrive before the connection closes."""
        self._rejected = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        under_way = self.cycle if self._framing.under_way else None
        if under_way is None or not under_way.response_started:
            self.transport.write(raw_response(error))
        if under_way is not None and not under_way.response_complete:
            # The application may wait for the rest of the rejected request.
            under_way.disconnected = True
            under_way.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(_LINGER, self.transport.close)

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await_reader(self) -> None:
        self._stop_reader_timer()
        self._reader_timer = abort_unless_read(self.transport, self.transport.get_write_buffer_size(), self.patience)

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
