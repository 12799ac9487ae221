"""The client of an SMTP server."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from hookline.api import AuthExpired, Resources, StepError, Unavailable
from hookline_email.connector import EmailCredential

_GOODBYE: Final = 5.0
"""Seconds to wait for the server's goodbye after it has accepted a mail."""
_SLOWEST: Final = 100_000
"""The lowest speed of a connection, in bytes per second."""
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Rejected:
    """A recipient that the server rejects."""

    address: str
    code: int
    message: str


@asynccontextmanager
async def connection(
    resources: Resources, credential: EmailCredential, timeout: float
) -> AsyncIterator[aiosmtplib.SMTP]:
    """Open a connection to the credential's server, with encryption and login according to the credential.

    Raises StepError: see `failure`. Exceptions of the block are converted too.
    """
    host, port = credential.smtp()
    security = credential.smtp_security
    context = None if security == "none" else await asyncio.to_thread(credential.tls)
    password = credential.smtp_password
    made = await resources.connect(host, port, timeout=timeout)
    client = aiosmtplib.SMTP(
        hostname=host,
        sock=made,
        use_tls=security == "tls",
        start_tls=False,
        tls_context=context,
        local_hostname=_own_name(made),
        # Its own timeout loses a simultaneous cancellation on Python 3.11.
        timeout=None,
    )
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            await client.connect()
            if security == "starttls":
                await client.starttls()
            if credential.smtp_username is not None and password is not None:
                await client.login(credential.smtp_username, password.get_secret_value())
        yield client
        with suppress(aiosmtplib.SMTPException, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await client.quit()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise failure(error, where) from error
    finally:
        transport = client.transport
        client.close()
        if isinstance(transport, asyncio.WriteTransport):
            # All is sent; TLS would still say goodbye to a server that may be gone.
            transport.abort()


async def deliver(
    client: aiosmtplib.SMTP,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    *,
    partial: bool,
    utf8: bool,
    timeout: float,
    where: str,
) -> tuple[str, list[Rejected]]:
    """Hand over a mail; return the server's response, and the rejected recipients.

    Without `partial`, nothing is sent if it rejects a recipient. Raises StepError (`email.rejected`, `email.<code>`,
    …).
    """
    async with asyncio.timeout(timeout):
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
    if utf8 and not client.supports_extension("smtputf8"):
        raise StepError(
            f"{where} doesn't support addresses with letters beyond ASCII before the @ (SMTPUTF8)",
            code="email.not_supported",
        )
    options = ["SMTPUTF8"] if utf8 else []
    if client.supports_extension("size"):
        options.append(f"SIZE={len(content)}")
    encoding = "utf-8" if utf8 else "ascii"
    async with asyncio.timeout(timeout):
        await client.mail(sender, options=options, encoding=encoding)
    rejected: list[Rejected] = []
    for recipient in recipients:
        try:
            async with asyncio.timeout(timeout):
                await client.rcpt(recipient, encoding=encoding)
        except aiosmtplib.SMTPRecipientRefused as error:
            rejected.append(Rejected(recipient, error.code, _shown(error.message)))
    if rejected and (not partial or len(rejected) == len(recipients)):
        # The connection ends now, which cancels the mail.
        raise _rejection(rejected, len(recipients), where)
    try:
        # A large mail takes long on a slow connection before the server can answer.
        async with asyncio.timeout(timeout + len(content) / _SLOWEST):
            response = await client.data(content)
    except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
        # The server may have accepted the mail, and its response was lost.
        raise failure(error, where, sent=True) from error
    return _shown(response.message), rejected


def failure(error: Exception, where: str, *, sent: bool = False) -> StepError:
    """Convert an SMTP error to the error of a step.

    `email.<code>` for a response of the server, of which 4xx are retryable (421 and 454 are Unavailable, 530 and 535
    AuthExpired). Retryable, too: `email.disconnected`, `email.timeout`, `email.tls`. Final: `email.not_supported`.
    """
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"{where} answered {error.code}: {_shown(error.message)}"
        code = f"email.{error.code}"
        if error.code in (421, 454):
            return Unavailable(text, code=code)
        if (isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500) or error.code == 530:
            return AuthExpired(text, code=code)
        return StepError(text, code=code, retryable=400 <= error.code < 500)
    tls = _caused_by_tls(error)
    if tls is not None:
        return Unavailable(f"TLS with {where} failed: {tls}", code="email.tls")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} did not answer in time", code="email.timeout", outcome_unknown=sent)
    if isinstance(error, OSError):
        return Unavailable(f"{where} ended the connection: {error}", code="email.disconnected", outcome_unknown=sent)
    # A missing feature of the server, such as STARTTLS or a way to log in.
    return StepError(f"{where}: {_shown(str(error))}", code="email.not_supported")


def _rejection(rejected: Sequence[Rejected], of: int, where: str) -> StepError:
    named = "; ".join(f"{one.address} ({one.code} {one.message})" for one in rejected[:10])
    more = f" and {len(rejected) - 10} more" if len(rejected) > 10 else ""
    return StepError(
        f"{where} rejects {len(rejected)} of {of} recipients, so nothing was sent: {named}{more}",
        code="email.rejected",
        retryable=all(one.code < 500 for one in rejected),
    )


def _caused_by_tls(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _own_name(made: socket.socket) -> str:
    """Return the name for EHLO: this host's full name, or else its address."""
    name = socket.gethostname()
    if "." in name and name.isascii() and name.replace("-", "").replace(".", "").isalnum():
        return name
    address = str(made.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
