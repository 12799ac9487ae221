"""Servers for tests of the HTTP client, and what they answer."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookline.kernel.errors import StepError
from hookline.outbound.egress import Egress

NOW = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)
HERE = Egress(["127.0.0.1", "::1"])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[dict[str, Handler]], Awaitable[TestServer]]


class StoppedClock:
    """Always at the same time: for the dates in `Retry-After`."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the client doesn't wait by itself")


async def show(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode(),
        }
    )


def redirect(status: int, location: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": location})

    return handler


async def error_of(awaitable: Awaitable[object]) -> StepError:
    with pytest.raises(StepError) as caught:
        await awaitable
    return caught.value
