"""Connecting to a broker."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import InvalidFrameError
from aiormq.connection import TransportFactory
from yarl import URL

from hookline.api import Resources, StepError, Unavailable
from hookline_amqp.connector import AmqpLogin
from hookline_amqp.failures import told

# It logs lost connections with tracebacks; their users report them already.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

CONNECT: Final = 10.0
"""Seconds within which the broker must answer."""


class _Transports(TransportFactory):
    """Opens the connections of the library by `ctx.resources`, which decides the addresses that they may reach."""

    def __init__(self, resources: Resources, context: ssl.SSLContext | None) -> None:
        self._resources = resources
        self._context = context

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = url.host or "", url.port or 0
        try:
            made = await self._resources.connect(host, port, timeout=CONNECT)
        except Unavailable as error:
            raise Unavailable(error.message, code="amqp.connection") from error
        try:
            return await asyncio.open_connection(
                sock=made, ssl=self._context, server_hostname=host if self._context is not None else None
            )
        except BaseException:
            made.close()
            raise


async def connect(resources: Resources, login: AmqpLogin, name: str) -> AbstractConnection:
    """Open a connection, which the broker lists under `name`. Raises StepError."""
    url = _url(login)
    with told(login.shown), _vhost_told(login.shown):
        connection = aio_pika.Connection(url, client_properties={"connection_name": name})
        connection.kwargs["transport_factory"] = _Transports(
            resources, _context(login) if url.scheme == "amqps" else None
        )
        await connection.connect(timeout=CONNECT)
        return connection


@asynccontextmanager
async def connected(resources: Resources, login: AmqpLogin, name: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection that is closed at the end. Raises StepError."""
    connection = await connect(resources, login, name)
    try:
        yield connection
    finally:
        await close(connection)


async def close(connection: AbstractConnection) -> None:
    """Close a connection, whatever its state is."""
    try:
        await connection.close()
    except (aio_pika.exceptions.AMQPError, OSError, RuntimeError):
        # It was lost already.
        return


@contextmanager
def _vhost_told(where: str) -> Iterator[None]:
    """Raise a clear error if the broker rejects the virtual host: the library only reports an unexpected frame."""
    try:
        yield
    except InvalidFrameError as error:
        if "Connection.Close" not in str(error):
            raise
        raise StepError(
            f"{where} rejects the connection: the virtual host doesn't exist, the user may not use it, or its "
            "connection limit is reached",
            code="amqp.access",
        ) from error


def _context(login: AmqpLogin) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=login.ca)
    except ssl.SSLError as error:
        raise StepError(
            f"the credential's `ca` contains no certificates in PEM: {error.reason}", code="amqp.tls"
        ) from None


def host_and_port(login: AmqpLogin) -> tuple[str, int]:
    """Return the host and the port of the broker."""
    url = _url(login)
    return url.host or "", url.port or (5671 if url.scheme == "amqps" else 5672)


def _url(login: AmqpLogin) -> URL:
    if login.url is not None:
        return make_url(login.url.get_secret_value())
    return make_url(
        host=login.host or "",
        port=login.port or (5671 if login.tls else 5672),
        login=login.username,
        password="guest" if login.password is None else login.password.get_secret_value(),
        virtualhost=login.vhost,
        ssl=login.tls,
    )
