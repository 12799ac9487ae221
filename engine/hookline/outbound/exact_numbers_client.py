"""The HTTP client of flows with exact numbers: fractions in JSON responses are Decimals."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from hookline.sdk.http_client import HttpClient, Requests, Response, StreamedResponse


class ExactClient(Requests):
    """An `HttpClient` that wraps another one. Requests are exact with any client."""

    __slots__ = ("_client",)

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        return _exact(await self._client.request(method, url, **options))

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`."""
        return _ExactExchange(self._client.stream(method, url, **options))


class _ExactExchange:
    """The exchange of a client, whose response is read exactly."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: AbstractAsyncContextManager[StreamedResponse]) -> None:
        self._exchange = exchange

    async def __aenter__(self) -> StreamedResponse:
        return _ExactStream(await self._exchange.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._exchange.__aexit__(kind, error, trace)


class _ExactStream:
    """A streamed response whose JSON has Decimals."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: StreamedResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> AsyncIterator[bytes]:
        return self._response.chunks()

    async def read(self) -> Response:
        return _exact(await self._response.read())


def _exact(response: Response) -> Response:
    return Response(response.status, response.headers, response.content, exact=True)
