"""Converting a broker's errors to errors of steps.

Final: `amqp.not_found` (no such exchange or queue), `amqp.access` (not allowed, or no such virtual host),
`amqp.precondition` (it is declared with other properties, or the message isn't accepted), `amqp.unroutable` (no queue
gets the message), `amqp.auth` (`AuthExpired`), `amqp.tls`. Retryable: `amqp.locked` (another connection has exclusive
access to the queue), `amqp.rejected` (such as a full queue), `amqp.connection`, `amqp.timeout`.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aio_pika import exceptions
from aiormq import exceptions as lower

from hookline.api import AuthExpired, StepError, Unavailable

_NOT_ALLOWED = 530
"""The reply code for a virtual host that doesn't exist, or that this user may not use."""


@contextmanager
def told(where: str, *, sent: bool = False) -> Iterator[None]:
    """Raise errors of the block as errors of steps. `sent`: the request may have taken effect all the same."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    try:
        yield
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() > before:
            raise
        # The library cancels tasks that wait on a lost connection.
        raise Unavailable(f"{where}: the connection is lost", code="amqp.connection", outcome_unknown=sent) from error
    except (*exceptions.CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise as_step_error(error, where, sent=sent) from error


def as_step_error(error: BaseException | None, where: str, *, sent: bool = False) -> StepError:
    """Convert an exception of the library; None stands for a connection that was closed without one."""
    match error:
        case lower.ProbableAuthenticationError() | lower.AuthenticationError():
            return AuthExpired(f"{where} doesn't accept the user name and password", code="amqp.auth")
        case lower.ConnectionNotAllowed():
            return StepError(f"{where}: {_text(error)}", code="amqp.access")
        case lower.ConnectionClosed() if error.args[:1] == (_NOT_ALLOWED,):
            return StepError(f"{where}: {_text(error)}", code="amqp.access")
        case lower.ChannelNotFoundEntity():
            return StepError(f"{where}: {_text(error)}", code="amqp.not_found")
        case lower.ChannelAccessRefused():
            return StepError(f"{where}: {_text(error)}", code="amqp.access")
        case lower.ChannelLockedResource():
            return StepError(f"{where}: {_text(error)}", code="amqp.locked", retryable=True)
        case lower.ChannelPreconditionFailed():
            return StepError(f"{where}: {_text(error)}", code="amqp.precondition")
        case lower.PublishError():
            return StepError(
                f"{where}: no queue gets the message ({_text(error)}); bind one, or set `mandatory` to false",
                code="amqp.unroutable",
            )
        case lower.DeliveryError():
            return Unavailable(f"{where} has rejected the message; a queue may be full", code="amqp.rejected")
        case ssl.SSLError():
            return StepError(f"{where}: TLS failed: {error.reason or error}", code="amqp.tls")
        case TimeoutError():
            return Unavailable(f"{where} doesn't answer in time", code="amqp.timeout", outcome_unknown=sent)
        case lower.AMQPConnectionError() if _tls(error):
            return StepError(f"{where}: TLS failed: {_text(error)}", code="amqp.tls")
        case None:
            return Unavailable(f"{where}: the connection is closed", code="amqp.connection", outcome_unknown=sent)
        case _:
            return Unavailable(f"{where}: {_text(error)}", code="amqp.connection", outcome_unknown=sent)


def _tls(error: BaseException) -> bool:
    # Exceptions may be in each other's context.
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        if isinstance(cause, ssl.SSLError):
            return True
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def _text(error: BaseException) -> str:
    return next((str(part) for part in reversed(error.args) if isinstance(part, str) and part), type(error).__name__)
