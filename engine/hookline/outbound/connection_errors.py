"""The reasons of failed connections in plain words, without those of the client's library."""

import os
import re
import ssl
from typing import Final

import aiohttp

#: The position in OpenSSL's source, and the name of its error.
_INSIDE: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


def reason_of(error: BaseException) -> str:
    """Return the reason of a client's error: the words of the system, such as `Name or service not known`."""
    if isinstance(error, (TimeoutError, aiohttp.ServerTimeoutError)):
        return "it did not answer in time"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, (ssl.SSLError, aiohttp.ClientSSLError)):
        return f"no trusted connection: {_INSIDE.sub('', str(cause))}"
    if isinstance(cause, ssl.CertificateError):
        return f"no trusted connection: {cause}"
    if isinstance(cause, aiohttp.InvalidURL):
        return "the address is not valid"
    if isinstance(cause, OSError) and not isinstance(cause, aiohttp.ClientError):
        return system_reason(cause)
    return "it closed the connection"


def system_reason(error: OSError) -> str:
    """Return the system's message about an error."""
    # asyncio replaces the system's message with its own, but keeps the number.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
