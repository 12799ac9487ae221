"""The engine's own parts as plugins are lent them: to use, and not to close."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from hookline.kernel.json import JsonValue
from hookline.sdk.context import Resource, Resources
from hookline.sdk.http import HttpClient, Response, StreamedResponse
from hookline.storage.blobs import Blobs, BlobWriter

R = TypeVar("R", bound=Resource)


class CloseNotAllowed(RuntimeError):
    """What a plugin raises that would close what all plugins share."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is the engine's, which closes it when it stops; others use it, too")


class HttpClientFacade:
    """An `HttpClient` that stays open."""

    __slots__ = ("_client",)

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        return await self._client.request(method, url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`."""
        return self._client.stream(method, url, **options)

    async def get_json(self, url: str, **options: Any) -> Any:
        """See `HttpClient`."""
        return await self._client.get_json(url, **options)

    async def post_json(self, url: str, json: JsonValue, **options: Any) -> Any:
        """See `HttpClient`."""
        return await self._client.post_json(url, json, **options)

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.http")


class BlobsFacade:
    """`Blobs` that stay open."""

    __slots__ = ("_blobs",)

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def ping(self) -> None:
        """See `Blobs`."""
        await self._blobs.ping()

    async def create(self) -> BlobWriter:
        """See `Blobs`."""
        return await self._blobs.create()

    def open(self, blob_id: str, chunk_size: int = 65536) -> AsyncIterator[bytes]:
        """See `Blobs`."""
        return self._blobs.open(blob_id, chunk_size)

    async def delete(self, blob_id: str) -> None:
        """See `Blobs`."""
        await self._blobs.delete(blob_id)

    def older_than(self, at: datetime) -> AsyncIterator[str]:
        """See `Blobs`."""
        return self._blobs.older_than(at)

    async def room(self) -> int:
        """See `Blobs`."""
        return await self._blobs.room()

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.blobs")


class ResourcesFacade:
    """`Resources` that stay open."""

    __slots__ = ("_resources",)

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def get(self, make: Callable[[], R]) -> R:
        """See `Resources`."""
        return self._resources.get(make)

    def owns_database(self, url: str) -> bool:
        """See `Resources`."""
        return self._resources.owns_database(url)

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        return await self._resources.connect(host, port, timeout=timeout)

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.resources")
