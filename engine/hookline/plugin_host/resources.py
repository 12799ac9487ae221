"""The resources that plugins keep open between steps, such as connections. Each engine has its own."""

import asyncio
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar, cast

from hookline.kernel.errors import StepError
from hookline.outbound.egress import Egress, connect, resolve
from hookline.sdk.context_parts import Resource

R = TypeVar("R", bound=Resource)

CLOSING: Final = 5.0
"""Seconds in which a resource has to close."""


class EngineResources:
    """The resources of one engine. See `Resources`."""

    def __init__(self, egress: Egress | None = None, own: Collection[str] = ()) -> None:
        """`egress`: the addresses that are allowed. `own`: the identities of the engine's database."""
        self.own = own
        """The identities of the engine's database, which are known once it is open."""
        self._egress = egress or Egress()
        self._made: dict[Callable[[], Any], Resource] = {}
        self._closed = False

    def get(self, make: Callable[[], R]) -> R:
        """See `Resources`."""
        made = self._made.get(make)
        if made is None:
            if self._closed:
                raise StepError("the engine is stopping", code="engine.stopping", retryable=True)
            made = self._made[make] = make()
        return cast(R, made)

    def owns(self, identity: str) -> bool:
        """See `Resources`."""
        return identity in self.own

    def check_host(self, host: str, port: int | None) -> None:
        """See `Resources`. Without a credential, there is nothing to check."""

    async def connect(self, host: str, port: int, *, timeout: float = 30.0) -> socket.socket:
        """See `Resources`."""
        return await connect(self._egress, host, port, timeout)

    async def resolve(self, host: str, port: int, *, timeout: float = 30.0) -> Sequence[str]:
        """See `Resources`."""
        return await resolve(self._egress, host, port, timeout)

    async def close(self) -> None:
        """Close all resources concurrently. Raises an ExceptionGroup of all errors at the end, among them a
        TimeoutError for each resource that takes too long, which is left as it is."""
        self._closed = True
        made, self._made = list(self._made.values()), {}
        results = await asyncio.gather(*map(_close, made), return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            raise ExceptionGroup("resources of plugins failed to close", failures)


async def _close(resource: Resource) -> None:
    closing = asyncio.ensure_future(resource.close())
    try:
        done, _ = await asyncio.wait((closing,), timeout=CLOSING)
    except asyncio.CancelledError:
        closing.cancel()
        raise
    if not done:
        # It may ignore that, so nobody waits for it; its error is of no interest any more.
        closing.cancel()
        closing.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise TimeoutError(f"{type(resource).__module__}.{type(resource).__qualname__} hasn't closed in {CLOSING:g} s")
    closing.result()
