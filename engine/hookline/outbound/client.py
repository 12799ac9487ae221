"""The HTTP client of an engine, with a pool, time limits and the guard of addresses.

The connections are aiohttp's: it makes, keeps and counts them, and it parses and decompresses the responses. There is
no `ClientSession` above them, which costs as much again: its redirects, cookies, proxies and time limits aren't used.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import ContextVar
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Final, Unpack

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage, StreamWriter

from hookline import __version__
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StepError
from hookline.model.message import Attachment
from hookline.outbound.connection_errors import broken, error_excerpt, timed_out
from hookline.outbound.egress import Egress, host_rejected
from hookline.outbound.outgoing_request import Outgoing, address, outgoing
from hookline.sdk.http_client import RequestOptions, Requests, Response, StreamedResponse
from hookline.sdk.response_errors import RateLimits, status_error
from hookline.storage.blobs import Blobs

#: The headers of a request that doesn't have them itself. aiohttp knows what it can decompress.
_DEFAULTS: Final = {
    name.lower(): f"{name}: {value}"
    for name, value in (("User-Agent", f"hookline/{__version__}"), *aiohttp.ClientRequest.DEFAULT_HEADERS.items())
}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: The methods of which a second request changes nothing more (RFC 9110).
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_ERROR_BYTES: Final = 8192
#: A body of at most this size is sent in one piece with the head.
_JOINED: Final = 65536


class _Target:
    """The host and port of a request, for the guard, which otherwise sees only addresses."""

    __slots__ = ("allowed", "host", "port", "rejected")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.rejected: list[str] = []
        self.allowed = False


#: aiohttp connects in tasks that the request's task creates, so these see its value.
_target: ContextVar[_Target] = ContextVar("hookline_http_target")


class PooledClient(Requests):
    """An `HttpClient` with one pool of connections, which is created at the first request.

    `timeout` and `connect_timeout` are in seconds. `max_bytes` limits responses that are read into memory, and
    `connections` the number of open connections.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        egress: Egress | None = None,
        blobs: Blobs | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        max_bytes: int = 10_000_000,
        connections: int = 512,
    ) -> None:
        self._clock = clock
        self._egress = egress or Egress()
        self._blobs = blobs
        self._timeout = timeout
        #: An exchange has a time limit for the whole, with all redirects.
        self._limits = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
        self._max_bytes = max_bytes
        self._connections = connections
        self._connector: aiohttp.TCPConnector | None = None
        #: Makes the request with which a connector opens a connection to an origin. It has no proxy: those of the
        #: environment are ignored, because the guard can't check where a proxy connects.
        self._opening = lru_cache(maxsize=1024)(partial(aiohttp.ClientRequest, "GET"))
        self._closed = False

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """See `HttpClient`."""
        async with self.stream(method, url, **options) as response:
            return await response.read()

    async def close(self) -> None:
        """Close the pool. Running requests fail, and later ones are rejected."""
        self._closed = True
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    def stream(
        self,
        method: str,
        url: str,
        *,
        timeout: float | None = None,
        redirects: int = 5,
        max_bytes: int | None = None,
        raise_for_status: bool = True,
        rate_limits: RateLimits | None = None,
        **said: Any,
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`."""
        seconds = self._timeout if timeout is None else timeout
        limit = self._max_bytes if max_bytes is None else max_bytes
        return _Exchange(self, outgoing(method, url, **said), seconds, redirects, limit, raise_for_status, rate_limits)

    async def _once(self, sent: Outgoing, limit: int) -> "_Received":
        """Send one request and return its response. Its body, which is still to be read, may have `limit` bytes."""
        connector = self._connector or self._open()
        target = _Target(sent.url.raw_host or "", sent.url.port or 0)
        # It is not reset: the next request of this task sets its own target.
        _target.set(target)
        may_repeat = sent.method in _REPEATABLE
        try:
            while True:
                connection = await connector.connect(self._opening(sent.url.origin()), [], self._limits)
                try:
                    return await self._talk(connection, sent, limit)
                except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                    # The server may have closed a kept connection meanwhile.
                    if not may_repeat:
                        raise
                    may_repeat = False
        except aiohttp.InvalidURL as error:
            raise StepError(f"the URL can't be used: its host is not valid ({target.host})", code="http.url") from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            if target.rejected and not target.allowed:
                raise host_rejected(target.host, target.port, target.rejected) from error
            raise broken(error, sent) from error

    async def _talk(self, connection: Connection, sent: Outgoing, limit: int) -> "_Received":
        """Send a request over a connection, and wait for the head of its response."""
        protocol, transport, body = connection.protocol, connection.transport, sent.body
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        upload: asyncio.Task[None] | None = None
        try:
            protocol.set_response_params(skip_payload=sent.method == "HEAD", read_until_eof=True)
            head = sent.head(_DEFAULTS)
            if isinstance(body, Attachment):
                upload = self._start_upload(body, protocol)
                transport.write(head)
            elif body is None or len(body) <= _JOINED:
                transport.write(head + (body or b""))
            else:
                transport.write(head)
                transport.write(body)
            while True:
                message, content = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    return _Received(connection, sent, message, content, limit, upload)
        except BaseException:
            connection.close()
            await _stop(upload)
            raise

    def _start_upload(self, file: Attachment, protocol: ResponseHandler) -> "asyncio.Task[None]":
        if self._blobs is None:
            raise StepError("there is no blob store to send files from", code="http.file")
        return asyncio.create_task(_upload(self._blobs, file, protocol))

    def _open(self) -> aiohttp.TCPConnector:
        if self._closed:
            raise StepError("the engine is stopping", code="engine.stopping", retryable=True)
        self._connector = aiohttp.TCPConnector(limit=self._connections, socket_factory=self._socket)
        return self._connector

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Create the socket for an address. Raises OSError if the address is not allowed."""
        family, kind, protocol, _, where = info
        address = str(where[0])
        target = _target.get()
        if not self._egress.allows(address, target.host, target.port):
            target.rejected.append(address)
            raise OSError(f"{address} is an inside address")
        target.allowed = True
        return socket.socket(family, kind, protocol)

    async def _failure(self, response: "_Received", limits: RateLimits | None) -> StepError:
        """Return the error for a response with an error status, with the beginning of its body."""
        sent, status, data = response.sent, response.status, b""
        # The status decides the error, even if the body can't be read.
        with suppress(aiohttp.ClientError, OSError):
            # The body of an error gets less time than a response.
            async with asyncio.timeout(5.0):
                data = await response.beginning()
        text = f"{sent.method} {address(sent)} answered {status} {response.reason}".rstrip()
        shown = error_excerpt(Response(status, response.headers, data).text, sent)
        message = f"{text}: {shown}" if shown else text
        return status_error(status, message, response.headers, self._clock.now(), limits)


class _Exchange:
    """A request, with its redirects and its time limit, and the reading of its response inside `async with`."""

    __slots__ = (
        "_cancelling",
        "_client",
        "_deadline",
        "_expired",
        "_limit",
        "_raise_for_status",
        "_rate_limits",
        "_redirects",
        "_response",
        "_seconds",
        "_sent",
        "_task",
    )

    def __init__(
        self,
        client: PooledClient,
        sent: Outgoing,
        seconds: float,
        redirects: int,
        limit: int,
        raise_for_status: bool,
        rate_limits: RateLimits | None,
    ) -> None:
        """`limit` is the largest response that is read into memory, in bytes."""
        self._client = client
        self._sent = sent
        self._seconds = seconds
        self._redirects = redirects
        self._limit = limit
        self._raise_for_status = raise_for_status
        self._rate_limits = rate_limits
        self._response: _Received | None = None
        self._task: asyncio.Task[Any] | None = None
        self._expired = False

    async def __aenter__(self) -> "_Received":
        # This is what `asyncio.timeout` does, which takes twice as long for it.
        loop = asyncio.get_running_loop()
        self._task = task = asyncio.current_task(loop)
        self._cancelling = 0 if task is None else task.cancelling()
        self._deadline = loop.call_later(self._seconds, self._expire)
        try:
            return await self._accepted()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._response is not None:
                await self._response.release()
        finally:
            self._deadline.cancel()
            # If something else has cancelled the task as well, the cancellation goes on.
            late = self._expired and self._task is not None and self._task.uncancel() <= self._cancelling
            if late and kind is asyncio.CancelledError:
                raise timed_out(self._sent, self._seconds) from None

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    async def _accepted(self) -> "_Received":
        response = await self._send()
        if self._raise_for_status and response.status >= 400:
            raise await self._client._failure(response, self._rate_limits)
        return response

    async def _send(self) -> "_Received":
        """Send the request and follow its redirects."""
        left = self._redirects
        while True:
            self._response = response = await self._client._once(self._sent, self._limit)
            location = response.location if response.status in _REDIRECTS else None
            if location is None or self._redirects == 0:
                return response
            # The body of a redirect is not needed. Unless it is complete already, this also closes the connection.
            await response.release()
            if left == 0:
                raise StepError(
                    f"{address(self._sent)} redirects more than {self._redirects} times", code="http.redirect"
                )
            left -= 1
            self._sent = self._sent.redirected(response.status, location)


class _Received:
    """A response whose head has arrived, and the connection on which its body arrives."""

    __slots__ = ("_connection", "_content", "_limit", "_message", "_upload", "headers", "sent", "status")

    def __init__(
        self,
        connection: Connection,
        sent: Outgoing,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
        limit: int,
        upload: "asyncio.Task[None] | None",
    ) -> None:
        self._connection = connection
        self._message = message
        self._content = content
        self._upload = upload
        self._limit = limit
        self.sent = sent
        self.status = message.code
        self.headers: Mapping[str, str] = _headers(message.headers.items())

    @property
    def reason(self) -> str:
        return self._message.reason or ""

    @property
    def location(self) -> str | None:
        return self._message.headers.get("Location")

    async def release(self) -> None:
        """Give the connection back. It is closed unless the request was sent and the response was read, to the end."""
        if self._upload is not None and not self._upload.done():
            self._connection.close()
            await _stop(self._upload)
        self._connection.release()

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self._next():
            yield chunk

    async def read(self) -> Response:
        chunks: list[bytes] = []
        size = 0
        while chunk := await self._next():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._limit:
                self._connection.close()
                raise StepError(
                    f"the response of {address(self.sent)} is larger than {self._limit} bytes", code="http.too_large"
                )
        return Response(self.status, self.headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))

    async def _next(self) -> bytes:
        """Return what has arrived of the body, or nothing at its end."""
        content = self._content
        if content.at_eof():
            await self.release()
            return b""
        try:
            return await content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise broken(error, self.sent) from error

    async def beginning(self) -> bytes:
        """Return the first bytes of the body."""
        data = b""
        while len(data) < _ERROR_BYTES and (chunk := await self._content.read(_ERROR_BYTES - len(data))):
            data += chunk
        return data


async def _upload(blobs: Blobs, file: Attachment, protocol: ResponseHandler) -> None:
    """Send the bytes of an attachment, which are read from the blob store each time."""
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    # More bytes would be taken for the next request.
    writer.length = file.size
    chunks = blobs.open(file.id)
    try:
        async for chunk in chunks:
            await writer.write(chunk)
    except (aiohttp.ClientConnectionError, ConnectionError):
        # The connection itself reports the error to the task that waits for the response.
        pass
    except Exception as error:  # noqa: BLE001 - raised where the response is waited for
        protocol.set_exception(error)
    finally:
        # The sending may end before the file does.
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def _stop(upload: "asyncio.Task[None] | None") -> None:
    """Cancel the sending of a file, and wait for its end."""
    if upload is not None:
        upload.cancel()
        await asyncio.wait({upload})


def _headers(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case; the values of repeated ones are joined."""
    values: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in items:
        lower = name.lower()
        if lower in values:
            repeated.setdefault(lower, [values[lower]]).append(value)
        else:
            values[lower] = value
    for lower, several in repeated.items():
        values[lower] = ", ".join(several)
    return values
