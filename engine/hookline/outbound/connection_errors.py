"""The reasons of failed connections in plain words, without those of the client's library."""

import os
import re
import ssl
from typing import Final

import aiohttp

#: The position in OpenSSL's source, and the name of its error.
_INSIDE: Final = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


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
