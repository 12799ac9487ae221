"""The reasons of failed connections are told in plain words."""

import errno
import os
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from hookline.outbound.connection_errors import reason_of

KEY: Any = SimpleNamespace(host="orders.example", port=443, ssl=True, is_ssl=True)
UNTRUSTED = ssl.SSLCertVerificationError(
    1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)"
)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "it did not answer in time"),
        (aiohttp.ServerTimeoutError(), "it did not answer in time"),
        (aiohttp.InvalidURL("x"), "the address is not valid"),
        (aiohttp.ServerDisconnectedError(), "it closed the connection"),
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), os.strerror(errno.ECONNREFUSED)),
        (
            aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "Connect call failed")),
            os.strerror(errno.EHOSTUNREACH),
        ),
        (
            aiohttp.ClientConnectorCertificateError(KEY, UNTRUSTED),
            "no trusted connection: certificate verify failed: self-signed certificate",
        ),
        (
            aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
            "no trusted connection: wrong version number",
        ),
    ],
)
def test_a_reason_has_the_words_of_the_system_and_none_of_the_library(error: Any, reason: str) -> None:
    assert reason_of(error) == reason
