"""Hypercorn's HTTP/1, where a sender asks whether it may send its body (`Expect: 100-continue`).

Hypercorn says yes to each. Here the application does, by asking for the body: one that refuses the request without it
is spared the body, and its sender the sending.
"""

from collections.abc import Callable
from typing import Any

import h11
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, Scope


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
