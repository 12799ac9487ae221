"""Hypercorn's HTTP/1, where a sender asks whether it may send its body (`Expect: 100-continue`).

Hypercorn says yes to each. Here the application does, by asking for the body: one that rejects the request without it
is spared the body, and its sender the sending.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h11
from hypercorn.events import Closed, Event
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope

from hookline.kernel.errors import Malformed, MethodUnknown, RequestRejected
from hookline.service.problems import rejection
from hookline.service.server.request_head import LENGTH, METHODS, ORIGIN_FORM


class Http1(H11Protocol):
    """One connection of HTTP/1."""

    @classmethod
    def after(cls, first: H11Protocol) -> "Http1":
        """In place of Hypercorn's own, of which nothing was read yet."""
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
        """Let the sender send its body, unless it has been answered."""
        if self.connection.our_state is h11.SEND_RESPONSE:
            headers = self.config.response_headers("h11")
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=headers))


class _Asked:
    """An application whose sender waits until it is asked for the body."""

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


class Http2(H2Protocol):
    """One connection of HTTP/2."""

    @classmethod
    def after(cls, first: H11Protocol) -> "Http2":
        """The protocol of a connection that was taken for HTTP/1, of which nothing was read yet."""
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

    async def handle(self, event: Event) -> None:
        """What comes from the connection."""
        if isinstance(event, Closed):
            # The sender will not make room for what is left, and each answer would wait for it.
            for buffer in tuple(self.stream_buffers.values()):
                await buffer.close()
        await super().handle(event)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        try:
            for event in events:
                if not self._dealt_with(event):
                    await super()._handle_events([event])
                if isinstance(event, h2.events.StreamReset):
                    # What it leaves goes when the sending task runs; a thousand of them would be too many.
                    await asyncio.sleep(0)
            await self._flush()
        except h2.exceptions.ProtocolError:
            await self._flush()
            await self.send(Closed())

    def _dealt_with(self, event: h2.events.Event) -> bool:
        match event:
            case h2.events.RequestReceived():
                error = _fault(event)
                if error is not None:
                    self._reject(event, error)
                return error is not None
            case h2.events.DataReceived() if event.stream_id not in self.streams:
                # The stream has been answered. Its sender needn't go on; others need the room that this took.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if event.stream_id not in self.stream_buffers:
                    self._stop_sender(event.stream_id)
                return True
            case h2.events.PriorityUpdated():
                # RFC 9113 has done away with them, and their tree can be broken from outside.
                return True
        return False

    def _reject(self, request: h2.events.RequestReceived, error: RequestRejected) -> None:
        reply = rejection(error)
        headers = [(b":status", b"%d" % reply.status), *reply.headers, (b"content-length", b"%d" % len(reply.body))]
        self.connection.send_headers(request.stream_id, headers)
        self.connection.send_data(request.stream_id, reply.body, end_stream=True)
        if request.stream_ended is None:
            self._stop_sender(request.stream_id)

    def _stop_sender(self, stream_id: int) -> None:
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)


def _fault(request: h2.events.RequestReceived) -> RequestRejected | None:
    """Why a request isn't taken, where it isn't."""
    headers = dict(request.headers)
    if headers.get(b":method") not in METHODS:
        return MethodUnknown()
    if ORIGIN_FORM.fullmatch(headers.get(b":path", b"")) is None:
        return Malformed("what is asked for is not a path without a fragment")
    lengths = [value for name, value in request.headers if name == b"content-length"]
    if len(lengths) > 1 or (lengths and LENGTH.fullmatch(lengths[0]) is None):
        return Malformed("Content-Length is not one number; send it once, in digits")
    if request.stream_ended is not None and lengths and lengths[0].strip(b"0"):
        # h2 counts the bytes of a body where one comes.
        return Malformed("Content-Length is given, and no body")
    return None
