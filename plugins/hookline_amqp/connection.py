"""Connecting to a broker."""

import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import InvalidFrameError

from hookline.api import StepError
from hookline_amqp.connector import AmqpLogin
from hookline_amqp.failures import told

# It logs lost connections with tracebacks; their users report them already.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

CONNECT: Final = 10.0
"""Seconds within which the broker must answer."""


async def connect(login: AmqpLogin, name: str) -> AbstractConnection:
    """Open a connection, which the broker lists under `name`. Raises StepError."""
    properties = {"connection_name": name}
    with told(login.shown), _vhost_told(login.shown):
        if login.url is not None:
            url = login.url.get_secret_value()
            context = _context(login) if urlsplit(url).scheme == "amqps" else None
            return await aio_pika.connect(url, timeout=CONNECT, ssl_context=context, client_properties={**properties})
        return await aio_pika.connect(
            host=login.host or "",
            port=login.port or (5671 if login.tls else 5672),
            login=login.username,
            password="guest" if login.password is None else login.password.get_secret_value(),
            virtualhost=login.vhost,
            ssl=login.tls,
            ssl_context=_context(login) if login.tls else None,
            timeout=CONNECT,
            client_properties={**properties},
        )


@asynccontextmanager
async def connected(login: AmqpLogin, name: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection that is closed at the end. Raises StepError."""
    connection = await connect(login, name)
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
