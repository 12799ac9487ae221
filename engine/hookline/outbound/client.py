"""The HTTP client of an engine, on aiohttp, with a pool, time limits and the guard of addresses."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Unpack

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from hookline import __version__
from hookline.bodies.text import known_charset
from hookline.kernel.errors import StepError, StoreError, Unavailable
from hookline.kernel.time import Clock
from hookline.model.message import Attachment
from hookline.outbound.connection_errors import system_reason
from hookline.outbound.egress import Egress, rejected
from hookline.outbound.request import Outgoing, address, origin, outgoing
from hookline.sdk.http import RateLimits, RequestOptions, Requests, Response, StreamedResponse, status_error
from hookline.secrets.masking import HiddenValues
from hookline.storage.blobs import Blobs

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_EXCERPT: Final = 500
"""The number of characters of a response's body in an error message."""
_ERROR_BYTES: Final = 8192


@dataclass(frozen=True, slots=True)
class _RequestPlan:
    """A request, with the options of its caller."""

    sent: Outgoing
    seconds: float
    redirects: int
    limit: int
    """The largest response, in bytes."""
    raise_for_status: bool
    rate_limits: RateLimits | None


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
        self._connect_timeout = connect_timeout
        self._max_bytes = max_bytes
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """See `HttpClient`."""
        plan = self._plan(method, url, **options)
        sent = plan.sent
        try:
            async with asyncio.timeout(plan.seconds):
                response, sent = await self._send(sent, plan.redirects)
                try:
                    return await (await self._accepted(response, sent, plan)).read()
                finally:
                    response.release()
        except TimeoutError:
            raise _timed_out(sent, plan.seconds) from None

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> AsyncIterator[StreamedResponse]:
        """See `HttpClient`."""
        plan = self._plan(method, url, **options)
        sent, deadline = plan.sent, asyncio.timeout(plan.seconds)
        try:
            async with deadline:
                response, sent = await self._send(sent, plan.redirects)
                try:
                    yield await self._accepted(response, sent, plan)
                finally:
                    response.release()
        except TimeoutError:
            # A TimeoutError of the caller, inside the block, passes.
            if not deadline.expired():
                raise
            raise _timed_out(sent, plan.seconds) from None

    async def close(self) -> None:
        """Close the pool. Running requests fail, and later ones are rejected."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _plan(
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
    ) -> "_RequestPlan":
        seconds = self._timeout if timeout is None else timeout
        limit = self._max_bytes if max_bytes is None else max_bytes
        return _RequestPlan(outgoing(method, url, **said), seconds, redirects, limit, raise_for_status, rate_limits)

    async def _accepted(self, response: aiohttp.ClientResponse, sent: Outgoing, plan: "_RequestPlan") -> "_Streamed":
        """Return the response for reading. Raises StepError for an error status, unless `raise_for_status` is False."""
        if plan.raise_for_status and response.status >= 400:
            raise await self._failure(response, sent, plan.rate_limits)
        return _Streamed(response, sent, plan.limit)

    async def _send(self, sent: Outgoing, redirects: int) -> tuple[aiohttp.ClientResponse, Outgoing]:
        """Send a request and follow its redirects. Return the last response and its request."""
        left = redirects
        while True:
            response = await self._once(sent)
            location = response.headers.get("Location") if response.status in _REDIRECTS else None
            if location is None or redirects == 0:
                return response, sent
            # The body of a redirect is not needed. Unless it is complete already, this also closes the connection.
            response.release()
            if left == 0:
                raise StepError(f"{address(sent)} redirects more than {redirects} times", code="http.redirect")
            left -= 1
            sent = sent.redirected(response.status, location)

    async def _once(self, sent: Outgoing) -> aiohttp.ClientResponse:
        session = self._session or self._open()
        url = sent.url
        target = _Target(url.raw_host or "", url.port or 0)
        # It is not reset: the next request of this task sets its own target.
        _target.set(target)
        data: Any = sent.body
        if isinstance(data, Attachment):
            data = self._upload(data)
        try:
            return await session.request(sent.method, url, headers=sent.headers, data=data, allow_redirects=False)
        except aiohttp.InvalidURL as error:
            raise StepError(f"the URL can't be used: its host is not valid ({target.host})", code="http.url") from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError):
                raise
            if isinstance(data, _Upload) and data.failure is not None:
                # The connection was closed because the file can't be read.
                raise data.failure from error
            if target.rejected and not target.allowed:
                raise rejected(target.host, target.port, target.rejected) from error
            raise _broken(error, sent) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise StepError("the engine is stopping", code="engine.stopping", retryable=True)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, socket_factory=self._socket),
            # A flow must not get the cookies of another flow.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"hookline/{__version__}"},
            # `request` and `stream` have a time limit for the whole, with all redirects.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            # Proxies of the environment and .netrc are ignored: the guard can't check where a proxy connects.
            trust_env=False,
        )
        return self._session

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

    def _upload(self, file: Attachment) -> "_Upload":
        if self._blobs is None:
            raise StepError("there is no blob store to send files from", code="http.file")
        return _Upload(self._blobs, file)

    async def _failure(self, response: aiohttp.ClientResponse, sent: Outgoing, limits: RateLimits | None) -> StepError:
        """Return the error for a response with an error status, with the beginning of its body."""
        excerpt = ""
        # The status decides the error, even if the body can't be read.
        with suppress(aiohttp.ClientError, OSError):
            # The body of an error gets less time than a response.
            async with asyncio.timeout(5.0):
                excerpt = _excerpt(await _beginning(response), response, sent)
        status = response.status
        text = f"{sent.method} {address(sent)} answered {status} {response.reason or ''}".rstrip()
        message = f"{text}: {excerpt}" if excerpt else text
        return status_error(status, message, _headers(response), self._clock.now(), limits)


class _Streamed:
    """A streamed response."""

    __slots__ = ("_limit", "_response", "_sent", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, sent: Outgoing, limit: int) -> None:
        self._response = response
        self._sent = sent
        self._limit = limit
        self.status = response.status
        self.headers: Mapping[str, str] = _headers(response)

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _broken(error, self._sent) from error

    async def read(self) -> Response:
        content = self._response.content
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await content.readany():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._limit:
                    self._response.close()
                    raise StepError(
                        f"the response of {address(self._sent)} is larger than {self._limit} bytes",
                        code="http.too_large",
                    )
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _broken(error, self._sent) from error
        return Response(self.status, self.headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))


class _Upload(aiohttp.Payload):
    """The bytes of an attachment, which are read from the blob store each time they are sent."""

    def __init__(self, blobs: Blobs, file: Attachment) -> None:
        super().__init__(file, content_type=file.type)
        self._blobs = blobs
        self._file = file
        self._size = file.size
        self.failure: StoreError | None = None
        """The error of reading the bytes."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("an upload is streamed")

    async def write(self, writer: AbstractStreamWriter) -> None:
        try:
            async for chunk in self._blobs.open(self._file.id):
                await writer.write(chunk)
        except StoreError as error:
            self.failure = error
            raise

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in response.headers.items():
        values.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Return the first bytes of a body."""
    data = b""
    while len(data) < _ERROR_BYTES and (chunk := await response.content.read(_ERROR_BYTES - len(data))):
        data += chunk
    return data


def _excerpt(data: bytes, response: aiohttp.ClientResponse, sent: Outgoing) -> str:
    text = data.decode(known_charset(response.charset or "") or "utf-8", "replace")
    # Secrets are masked before the text is cut, because a part of a secret would not be recognised.
    text = " ".join(HiddenValues(sent.secrets).mask_text(text).split())
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _timed_out(sent: Outgoing, seconds: float) -> StepError:
    return Unavailable(
        f"{sent.method} {address(sent)} took longer than {seconds:g} s",
        code="http.timeout",
        retryable=True,
        outcome_unknown=True,
    )


def _broken(error: Exception, sent: Outgoing) -> StepError:
    """Return the error for a connection that couldn't be made or was lost."""
    where = origin(sent.url)
    if isinstance(error, aiohttp.ServerTimeoutError):
        return Unavailable(f"{where} did not accept a connection in time", code="http.timeout", retryable=True)
    if isinstance(error, aiohttp.ClientSSLError):
        reason = system_reason(error.os_error)
        return Unavailable(f"no trusted connection to {where}: {reason}", code="http.tls", retryable=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(
            f"can't connect to {where}: {system_reason(error.os_error)}", code="http.connect", retryable=True
        )
    return Unavailable(
        f"{address(sent)} closed the connection",
        code="http.disconnected",
        retryable=True,
        outcome_unknown=True,
    )
