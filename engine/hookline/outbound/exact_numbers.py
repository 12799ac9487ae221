"""The HTTP client of flows with exact numbers: fractions in JSON responses are Decimals."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from hookline.sdk.http import HttpClient, Requests, Response, StreamedResponse


class ExactClient(Requests):
    """An `HttpClient` that wraps another one. Requests are exact with any client."""

    __slots__ = ("_client",)

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        return replace(await self._client.request(method, url, **options), exact=True)

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[StreamedResponse]:
        """See `HttpClient`."""
        async with self._client.stream(method, url, **options) as response:
            yield _ExactStream(response)


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
        return replace(await self._response.read(), exact=True)
