"""The facades of the engine's parts that plugins get, which they can use but not close."""

import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from yarl import URL

from hookline.sdk.context_parts import Resource, Resources
from hookline.sdk.http_client import HttpClient, Requests, Response, StreamedResponse
from hookline.secrets.credential_reach import HostRule
from hookline.storage.blobs import Blobs, BlobWriter

R = TypeVar("R", bound=Resource)


class CloseNotAllowed(RuntimeError):
    """A plugin tried to close a part of the engine that all plugins share."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is shared by all plugins; the engine closes it when it stops")


class HttpClientFacade(Requests):
    """An `HttpClient` that can't be closed."""

    __slots__ = ("_client",)

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        return await self._client.request(method, url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`."""
        return self._client.stream(method, url, **options)

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.http")


class BoundClient(Requests):
    """The `HttpClient` of a context with a credential: it sends to no host to which the credential may not be sent.

    A redirect to another origin drops all headers that may be secret, so it may lead anywhere.
    """

    __slots__ = ("_client", "_rule")

    def __init__(self, client: HttpClient, rule: HostRule) -> None:
        self._client = client
        self._rule = rule

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`. Raises StepError (`http.credential_host`), too."""
        self._check(url, options)
        return await self._client.request(method, url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`. Raises StepError (`http.credential_host`), too."""
        self._check(url, options)
        return self._client.stream(method, url, **options)

    def _check(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            target = URL(url)
            host, port = target.raw_host, target.port
        except ValueError:
            return  # the client says what is wrong with it
        if not host:
            return
        self._rule.check(host, port, scheme=target.scheme, code="http.credential_host")
        for name, value in (options.get("headers") or {}).items():
            # A proxy or a provider that serves many hosts passes the request on by this header.
            if name.lower() == "host":
                self._check(f"{target.scheme}://{value}", {})


class BlobsFacade:
    """`Blobs` that can't be closed."""

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

    async def disk_usage(self) -> int:
        """See `Blobs`."""
        return await self._blobs.disk_usage()

    async def sizes(self, blob_ids: Collection[str]) -> Mapping[str, int]:
        """See `Blobs`."""
        return await self._blobs.sizes(blob_ids)

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.blobs")


class ResourcesFacade:
    """`Resources` that can't be closed."""

    __slots__ = ("_resources",)

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def get(self, make: Callable[[], R]) -> R:
        """See `Resources`."""
        return self._resources.get(make)

    def owns(self, identity: str) -> bool:
        """See `Resources`."""
        return self._resources.owns(identity)

    async def resolve(self, host: str, port: int, *, timeout: float = 30.0) -> Sequence[str]:
        """See `Resources`."""
        return await self._resources.resolve(host, port, timeout=timeout)

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        return await self._resources.connect(host, port, timeout=timeout)

    def check_host(self, host: str, port: int | None) -> None:
        """See `Resources`."""
        self._resources.check_host(host, port)

    async def close(self) -> NoReturn:
        """Raises CloseNotAllowed."""
        raise CloseNotAllowed("ctx.resources")


class BoundResources(ResourcesFacade):
    """The `Resources` of a context with a credential: they connect to no host to which it may not be sent."""

    __slots__ = ("_rule",)

    def __init__(self, resources: Resources, rule: HostRule) -> None:
        super().__init__(resources)
        self._rule = rule

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        self._rule.check(host, port)
        return await super().connect(host, port, timeout=timeout)

    async def resolve(self, host: str, port: int, *, timeout: float = 30.0) -> Sequence[str]:
        """See `Resources`."""
        self._rule.check(host, port)
        return await super().resolve(host, port, timeout=timeout)

    def check_host(self, host: str, port: int | None) -> None:
        """See `Resources`."""
        self._rule.check(host, port)
