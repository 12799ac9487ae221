"""The applications around the endpoints for requests from outside: plain ASGI, without a framework.

A response that is sent before the whole body has come needs care. If the server stops reading, a sender that is still
writing hangs; if it closes the connection at once, the response may be lost. So the rest of a small body is read first,
and the connection stays open. Otherwise the response is sent, further data is read and dropped for a bounded time, and
then the response ends and the connection closes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from hookline.service.hook_request_and_response import HookRequest, HookResponse, SenderGone
from hookline.service.sandbox_headers import POLICY_HEADER, SANDBOX
from hookline.service.server.stopping import STOPPED_STORING, STOPPING, Stopping

AsgiScope: TypeAlias = MutableMapping[str, Any]
AsgiEvent: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiEvent]]
Send: TypeAlias = Callable[[AsgiEvent], Awaitable[None]]
_Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
Application: TypeAlias = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

HOOK: Final = "/hook/"
RESUME: Final = "/resume/"
OAUTH: Final = "/oauth/"
PREFIXES: Final = (HOOK, RESUME, OAUTH)
DRAIN_BYTES: Final = 16_000_000
DRAIN_SECONDS: Final = 2.0
SMALL: Final = 256 * 1024
"""Bytes of a rejected request that are still read, within `DRAIN_SECONDS`, before the response."""
HOLD_SECONDS: Final = 0.25
"""Seconds for which a 429 response is held back: the sender sends nothing meanwhile, so a flood costs the other flows
little time of the event loop."""
_APART: Final = 0.02
"""Seconds between two such responses: senders that were rejected together don't come again together, and the rate at
which they come again is bounded."""
_LONGEST_HOLD: Final = 2.0
"""Seconds after which such a response is sent in any case: senders give up on a response that doesn't come."""
_MOST_HELD: Final = 250
"""The number of responses that are held back at once: their connections count towards the limit for all."""
_TOO_MANY: Final = 429
_TOO_SLOW: Final = 408


class _Body:
    """The chunks of a request."""

    __slots__ = ("_receive", "complete")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = False
        """True once all of it has come."""

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        while not self.complete:
            event = await self._receive()
            if event["type"] != "http.request":
                raise SenderGone
            self.complete = not event.get("more_body", False)
            chunk: bytes = event.get("body", b"")
            if chunk:
                return chunk
        raise StopAsyncIteration


class Endpoint(Protocol):
    """The handler of the requests to one prefix."""

    async def handle(self, request: HookRequest) -> HookResponse:
        """Return the response. Raises SenderGone."""
        ...


class OpenCaptures(Protocol):
    """The captures of requests."""

    @property
    def open(self) -> Collection[str]:
        """The flows whose requests are captured."""
        ...


class Capturing(Endpoint, Protocol):
    """The handler of `/hook/…` that captures requests."""

    @property
    def captures(self) -> OpenCaptures:
        """The captures that it serves."""
        ...


class HookApplication:
    """The ASGI application for `/hook/…`, `/resume/…` and `/oauth/…`."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        *,
        capturing: Capturing | None = None,
        drain_bytes: int = DRAIN_BYTES,
        drain_seconds: float = DRAIN_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        """`endpoints`: by the prefix of their paths, one of `PREFIXES`. `capturing`: that of `/hook/…` while there are
        captures."""
        self._endpoints = endpoints
        self._capturing = capturing
        self._drain_bytes = drain_bytes
        self._drain_seconds = drain_seconds
        self._hold_seconds = hold_seconds
        self._held = 0
        self._next = 0.0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            # A websocket that is closed before it is accepted is rejected with 403.
            await send({"type": "websocket.close"})
            return
        body = _Body(receive)
        client = scope.get("client")
        path: str = scope["path"]
        prefix = HOOK if path.startswith(HOOK) else RESUME if path.startswith(RESUME) else OAUTH
        request = HookRequest(
            method=scope["method"],
            path=path[len(prefix) :],
            raw_path=scope.get("raw_path") or path.encode(),
            query=scope["query_string"],
            headers=scope["headers"],
            body=body,
            client=client[0] if client else None,
            http_version=scope["http_version"],
        )
        try:
            endpoint = self._endpoints[prefix]
            if self._capturing is not None and self._capturing.captures.open and prefix is HOOK:
                endpoint = self._capturing
            reply = await endpoint.handle(request)
            if reply.status == _TOO_MANY:
                await self._hold_back()
            if not body.complete and reply.status != _TOO_SLOW and _is_small(request):
                await self._take_rest(body)
        except SenderGone:
            return
        except asyncio.CancelledError:
            # The server stops and waits no longer. uvicorn would respond with 500, which senders take as final.
            # Only a whole request can be stored.
            reply = STOPPED_STORING if body.complete else STOPPING
            await _send_whole(reply, SANDBOX, send, close=request.http_version.startswith("1"))
            raise
        policy = SANDBOX if prefix is HOOK or not _has_policy(reply) else ()
        if body.complete or not _announces_body(request):
            await _send_whole(reply, policy, send, close=False)
        else:
            await self._answer_early(reply, policy, request, body, send)

    async def _hold_back(self) -> None:
        if self._held >= _MOST_HELD:
            return
        self._held += 1
        now = asyncio.get_running_loop().time()
        turn = min(max(now + self._hold_seconds, self._next), now + max(self._hold_seconds, _LONGEST_HOLD))
        self._next = turn + _APART
        try:
            await asyncio.sleep(turn - now)
        finally:
            self._held -= 1

    async def _take_rest(self, body: _Body) -> None:
        left = SMALL
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                async for chunk in body:
                    left -= len(chunk)
                    if left < 0:
                        return

    async def _answer_early(
        self, reply: HookResponse, policy: _Headers, request: HookRequest, body: _Body, send: Send
    ) -> None:
        # HTTP/2 has no Connection header; its streams end without their connection.
        await send(_start(reply, policy, close=request.http_version.startswith("1")))
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        # Receiving goes on until the response has ended: Hypercorn can't end it while its queue of chunks is full.
        async with asyncio.TaskGroup() as tasks:
            enough = asyncio.Event()
            drain = tasks.create_task(self._drain(body, enough))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._drain_seconds):
                    await enough.wait()
            await send({"type": "http.response.body", "body": b""})
            drain.cancel()

    async def _drain(self, body: _Body, enough: asyncio.Event) -> None:
        left = self._drain_bytes
        try:
            async for chunk in body:
                left -= len(chunk)
                if left < 0:
                    enough.set()
        except SenderGone:
            pass
        finally:
            enough.set()


def _announces_body(request: HookRequest) -> bool:
    if not request.http_version.startswith("1"):
        return True
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in request.headers
    )


def _is_small(request: HookRequest) -> bool:
    """True if the body may be small and is sent unasked. A sender that expects `100 Continue` sends nothing when it is
    rejected."""
    declared = [value for name, value in request.headers if name == b"content-length"]
    if any(not value.isdigit() or int(value) > SMALL for value in declared):
        return False
    return not any(name == b"expect" for name, _ in request.headers)


async def _send_whole(reply: HookResponse, policy: _Headers, send: Send, *, close: bool) -> None:
    await send(_start(reply, policy, close=close))
    if reply.chunks is not None:
        async for chunk in reply.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def _has_policy(reply: HookResponse) -> bool:
    return any(name == POLICY_HEADER for name, _ in reply.headers)


def _start(reply: HookResponse, policy: _Headers, *, close: bool) -> AsgiEvent:
    headers = [*reply.headers, *policy]
    if reply.status != 204:  # which has no body, and may not say so (RFC 9110, 8.6)
        size = reply.file.size if reply.file is not None else len(reply.body)
        headers.append((b"content-length", b"%d" % size))
    if close and (b"connection", b"close") not in reply.headers:
        headers.append((b"connection", b"close"))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


class PrefixRouter:
    """Routes requests from outside to the endpoints, and all others to the application behind them."""

    def __init__(self, hook: Application, rest: Application) -> None:
        self._hook = hook
        self._rest = rest

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Handle one connection's request, or the lifespan."""
        if scope["type"] != "lifespan" and scope["path"].startswith(PREFIXES):
            await self._hook(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


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
        await _send_whole(STOPPING, SANDBOX, answer, close=False)

    def _closing(self, send: Send) -> Send:
        async def send_closing(event: AsgiEvent) -> None:
            if event["type"] == "http.response.start" and self._stopping.begun.is_set():
                others = [header for header in event["headers"] if header[0].lower() != b"connection"]
                event = {**event, "headers": [*others, (b"connection", b"close")]}
            await send(event)

        return send_closing
