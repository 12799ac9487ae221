"""The parts of a context: the state of the flow, the plugin's resources, and the service of a credential."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from hookline.kernel.errors import StepError
from hookline.kernel.json import JsonValue, encode
from hookline.sdk.http_client import HttpClient, Requests, Response, StreamedResponse

MAX_KEY: Final = 200
"""The longest key, in characters."""
MAX_VALUE: Final = 256 * 1024
"""The largest value, in bytes of JSON."""


class FlowState(Protocol):
    """The state of a flow: values under keys, which outlive executions."""

    async def get(self, key: str) -> JsonValue:
        """Return the value under a key, or None.

        A value that this execution has set comes first, and then the value in the store. Raises StepError for an
        invalid key, and StoreError.
        """
        ...

    async def set(self, key: str, value: JsonValue) -> None:
        """Store a value under a key. None removes the key.

        The value is committed with the step's entry in the journal, exactly once: an attempt that fails changes
        nothing. Raises StepError if the key or the value is invalid or too large.
        """
        ...


def check_key(key: str) -> str:
    """Return the key if it is valid. Raises StepError."""
    if not 1 <= len(key) <= MAX_KEY:
        raise StepError(
            f"a key of the flow's state has 1 to {MAX_KEY} characters, and {key[:20]!r}… has {len(key):,}"
            if key
            else "a key of the flow's state can't be empty",
            code="state.key",
        )
    if not key.isprintable():
        raise StepError(f"a key of the flow's state is printable text, and {key!r} isn't", code="state.key")
    return key


def packed(key: str, value: JsonValue) -> bytes | None:
    """Return the JSON of a value, or None for None. Raises StepError if it is too large."""
    if value is None:
        return None
    made = encode(value)
    if len(made) > MAX_VALUE:
        raise StepError(
            f"the value under {key!r} has {len(made):,} bytes as JSON; a flow keeps at most {MAX_VALUE:,} under a key",
            code="state.too_large",
        )
    return made


class Resource(Protocol):
    """A resource that is open as long as the engine runs, such as a pool of connections."""

    async def close(self) -> None:
        """Release everything. Called once, when the engine stops, which waits five seconds for it."""
        ...


R = TypeVar("R", bound=Resource)


class Resources(Protocol):
    """The resources of an engine. Two engines in one process share none."""

    def get(self, make: Callable[[], R]) -> R:
        """Return the resource of `make`, such as a class. The first call with this `make` creates it.

        Raises StepError (`engine.stopping`, retryable) once the engine closes its resources.
        """
        ...

    def owns(self, identity: str) -> bool:
        """Return True for an identity of the engine's own database, which steps must not use: see `Backend`."""
        ...

    async def resolve(self, host: str, port: int, *, timeout: float = 30.0) -> Sequence[str]:
        """Return the addresses of a host, all of which may be reached, for libraries that connect by themselves.

        Give them an address if they take one, since the name may stand for another when they connect. Raises the same
        errors as `connect`; also if only some of the addresses are inside.
        """
        ...

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """Open a TCP connection, for protocols other than HTTP. Like `ctx.http`, it reaches no inside addresses.

        The socket is non-blocking, and the caller closes it. `timeout`: seconds, for all addresses of the host
        together. Raises StepError: `engine.egress` (an inside address), `engine.credential_host` (a host to which the
        context's credential may not be sent), and, retryable, `engine.connect`.
        """
        ...

    def check_host(self, host: str, port: int | None) -> None:
        """Raise StepError (`engine.credential_host`) if the context's credential may not be sent to a host.

        For libraries that connect by themselves. `ctx.http` and `connect` check it, too.
        """
        ...


_PORTS: Final = {"http": 80, "https": 443}


class ServiceCredential(BaseModel):
    """A credential with the URL of its service, and the headers of each request to it.

    A subclass has the fields of the credential, and may override `headers`. `ctx.service` uses both.
    """

    base_url: str

    def headers(self) -> Mapping[str, str]:
        """Return the headers that authenticate a request."""
        return {}


class Service(Requests):
    """An `HttpClient` for one service: it adds the headers of the credential, and sends to no other origin.

    URLs begin with the `base_url` of the credential, or are paths in it: `ctx.service.get_json("/orders")`.
    """

    __slots__ = ("_credential", "_http")

    def __init__(self, http: HttpClient, credential: object) -> None:
        """Raises TypeError if the credential is no `ServiceCredential`, which is a defect of the plugin."""
        if not isinstance(credential, ServiceCredential):
            raise TypeError("ctx.service takes a credential whose type is a ServiceCredential")
        self._http = http
        self._credential = credential

    def url(self, url: str) -> str:
        """Return the whole URL of a path. Raises StepError (`http.url`) for a URL of another origin."""
        base = self._credential.base_url
        if "://" not in url.partition("?")[0]:
            return f"{base.rstrip('/')}/{url.lstrip('/')}"
        if _origin(url) != _origin(base):
            raise StepError(
                f"ctx.service sends its credential only to {'://'.join(map(str, _origin(base)[:2]))}; use ctx.http for "
                "other services",
                code="http.url",
            )
        return url

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        return await self._http.request(method, self.url(url), **self._with_headers(options))

    def stream(self, method: str, url: str, **options: Any) -> AbstractAsyncContextManager[StreamedResponse]:
        """See `HttpClient`."""
        return self._http.stream(method, self.url(url), **self._with_headers(options))

    def _with_headers(self, options: dict[str, Any]) -> dict[str, Any]:
        given = dict(options.get("headers") or {})
        names = {name.lower() for name in given}
        own = {name: value for name, value in self._credential.headers().items() if name.lower() not in names}
        return {**options, "headers": {**own, **given}}


class ServiceUser:
    """The client of contexts for the service of their credential."""

    __slots__ = ()
    credential: Any
    http: HttpClient

    @property
    def service(self) -> HttpClient:
        """The service of the credential: requests begin at its `base_url` and have its headers.

        The type of the credential is a subclass of `ServiceCredential`.
        """
        return Service(self.http, self.credential)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        raise StepError("the URL can't be used", code="http.url") from None
