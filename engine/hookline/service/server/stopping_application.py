"""The application that rejects requests while the server stops."""

import asyncio

from hookline.service.sandbox_headers import SANDBOX
from hookline.service.server.hook_application import Application, AsgiEvent, AsgiScope, Receive, Send, send_response
from hookline.service.server.stopping import STOPPING, Stopping


class StoppingApplication:
    """An application whose answers end their connections once the server stops, and which then rejects requests."""

    def __init__(self, app: Application, stopping: Stopping) -> None:
        self._app = app
        self._stopping = stopping
        self._time = asyncio.get_running_loop().time

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request, or the lifespan."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._stopping.last_arrival = self._time()
        # The connections of HTTP/2 are told by GOAWAY.
        answer = self._closing(send) if scope["http_version"].startswith("1") else send
        if not self._stopping.rejecting:
            await self._app(scope, receive, answer)
            return
        await send_response(STOPPING, SANDBOX, answer, close=False)

    def _closing(self, send: Send) -> Send:
        async def send_closing(event: AsgiEvent) -> None:
            if event["type"] == "http.response.start" and self._stopping.begun.is_set():
                others = [header for header in event["headers"] if header[0].lower() != b"connection"]
                event = {**event, "headers": [*others, (b"connection", b"close")]}
            await send(event)

        return send_closing
