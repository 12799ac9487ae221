"""The connection to the servers, which is made again by itself, and their errors as StoreError."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterator
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from hookline.api import StoreError
from hookline.api_storage import StoreAway
from hookline_nats.address import Address

ERRORS: Final = (nats.errors.Error, OSError, TimeoutError)
"""The errors of calls to a server that can't be reached, or that rejects them."""
_PATIENCE: Final = 10.0
"""Seconds in which a server has to be found at the start."""
_AGAIN: Final = 0.5
"""Seconds between two attempts to connect to the same server."""
_PING: Final = 4
"""Seconds between two signs of life of an idle connection; after two that a server misses, another one is asked."""

_LOGIN: Final = "authorization violation"
"""The error of a server that rejects the login."""
_NO_STREAM: Final = 10059
"""The code of the server if there is no stream of that name."""

_log: Final = logging.getLogger("hookline.queue")


async def connect(address: Address) -> Client:
    """Return a connection that is made again by itself, forever.

    Raises StoreAway if no server can be reached now, and StoreError if the login is wrong.
    """
    client = Client()
    failures = _Failures(address, client)
    try:
        async with asyncio.timeout(_PATIENCE):
            await client.connect(
                servers=list(address.servers),
                name="hookline",
                user=address.user,
                password=address.password,
                token=address.token,
                user_credentials=address.credentials,
                max_reconnect_attempts=-1,
                reconnect_time_wait=_AGAIN,  # type: ignore[arg-type]  # it only sleeps so long
                connect_timeout=2,
                ping_interval=_PING,
                max_outstanding_pings=2,
                error_cb=failures.failed,
                disconnected_cb=failures.disconnected,
                reconnected_cb=failures.reconnected,
            )
    except (*ERRORS, ValueError) as error:
        await client.close()
        why = failures.last or reason(error)
        failure = StoreError if isinstance(error, ValueError) or _LOGIN in why.lower() else StoreAway
        raise failure(f"{address.name} can't be opened: {why}") from error
    except BaseException:
        await client.close()
        raise
    failures.connected = True
    return client


class _Failures:
    """Logs the beginning and the end of a lost connection, and remembers the last failure."""

    def __init__(self, address: Address, client: Client) -> None:
        self._name = address.name
        self._client = client
        self.connected = False
        self.last = ""

    async def failed(self, error: Exception) -> None:
        self.last = reason(error)
        _log.debug("%s: %s", self._name, self.last)

    async def disconnected(self) -> None:
        if self.connected and not self._client.is_closed:
            _log.warning("the connection to %s is lost: %s", self._name, self.last or "it was closed")

    async def reconnected(self) -> None:
        _log.warning("the connection to %s is made again", self._name)


def reason(error: BaseException) -> str:
    """The reason of an error in a few words."""
    if isinstance(error, APIError) and error.description:
        return error.description
    return str(error).removeprefix("nats: ") or type(error).__name__


@contextlib.contextmanager
def failing(name: str, what: str, *, in_doubt: bool = False) -> Iterator[None]:
    """Raise the errors of calls as StoreError; `in_doubt`: a message may be stored by then."""
    try:
        yield
    except ERRORS as error:
        # A server that answers says what is wrong.
        failure = (
            StoreError if isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError) else StoreAway
        )
        raise failure(f"{name} can't be {what}: {reason(error)}", in_doubt=in_doubt) from error


async def if_found(request: Awaitable[RawStreamMsg]) -> RawStreamMsg | None:
    """Return the message that a request reads; None if it isn't in the stream.

    A stream that isn't there is an error, since it may be made again with messages.
    """
    try:
        return await request
    except NotFoundError as error:
        if error_code(error) == _NO_STREAM:
            raise
        return None


def check_cancelled() -> None:
    """Raise CancelledError if the current task was cancelled: `asyncio.wait_for` of Python 3.11, which the client uses,
    loses a cancellation that comes together with a result."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def error_code(error: BaseException) -> Any:
    """The code that the server gave an error; None if it has none."""
    return getattr(error, "err_code", None)
