"""The errors of requests in plain words, without those of the client's library, and without secrets."""

import os
import re
import ssl
from typing import Final

import aiohttp

from hookline.kernel.errors import StepError, Unavailable
from hookline.outbound.outgoing_request import Outgoing, address, origin
from hookline.secrets.masking import HiddenValues

#: The position in OpenSSL's source, and the name of its error.
_INSIDE: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")
_EXCERPT: Final = 500
"""The number of characters of a response's body in an error message."""


def timed_out(sent: Outgoing, seconds: float) -> StepError:
    """Return the error for a request that takes longer than its time limit."""
    return Unavailable(
        f"{sent.method} {address(sent)} took longer than {seconds:g} s",
        code="http.timeout",
        retryable=True,
        outcome_unknown=True,
    )


def broken(error: Exception, sent: Outgoing) -> StepError:
    """Return the error for a connection that couldn't be made or was lost."""
    where = origin(sent.url)
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} did not accept a connection in time", code="http.timeout", retryable=True)
    if isinstance(error, aiohttp.ClientSSLError):
        reason = system_reason(error.os_error)
        return Unavailable(f"no trusted connection to {where}: {reason}", code="http.tls", retryable=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(
            f"can't connect to {where}: {system_reason(error.os_error)}", code="http.connect", retryable=True
        )
    return Unavailable(
        f"{address(sent)} closed the connection",
        code="http.disconnected",
        retryable=True,
        outcome_unknown=True,
    )


def error_excerpt(text: str, sent: Outgoing) -> str:
    """Return the beginning of the body of an error, without the secrets of the request."""
    # Secrets are masked before the text is cut, because a part of a secret would not be recognised.
    text = " ".join(HiddenValues(sent.secrets).mask_text(text).split())
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def reason_of(error: aiohttp.ClientError | OSError) -> str:
    """Return the reason of a client's error: the words of the system, such as `Name or service not known`."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, aiohttp.InvalidURL):
        return "the address is not valid"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"no trusted connection: {system_reason(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return system_reason(error.os_error)
    return "it closed the connection" if isinstance(error, aiohttp.ClientError) else system_reason(error)


def system_reason(error: OSError) -> str:
    """Return the message of the system, or of OpenSSL, about an error."""
    if isinstance(error, ssl.SSLError):
        return _INSIDE.sub("", str(error))
    # asyncio replaces the system's message with its own, but keeps the number.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
