"""Converting a broker's reason codes to errors of steps."""

import ssl
from typing import Any, Final

from hookline.api import AuthExpired, StepError, Unavailable

FAILED: Final = 0x80
"""The lowest reason code of a failure."""
_AUTH: Final = frozenset({0x86, 0x87, 0x8A, 0x8C})
_ACCESS: Final = frozenset({0x87})
_PROTOCOL: Final = frozenset({0x01, 0x84})
_CLIENT_ID: Final = frozenset({0x85, 0x8E})
_TOPIC: Final = frozenset({0x8F, 0x90})
#: The server is busy, or a quota or a rate is used up: a retry may succeed.
_PASSING: Final = frozenset({0x80, 0x83, 0x88, 0x89, 0x96, 0x97, 0x9F})


def connection_rejected(where: str, reason: Any) -> StepError:
    """Return the error for a connection that the broker rejected."""
    code, text = reason.value, f"{where} rejects the connection: {reason}"
    if code in _AUTH:
        return AuthExpired(text, code="mqtt.auth")
    if code in _PROTOCOL:
        return StepError(f"{text}; check the credential's `version`", code="mqtt.protocol")
    if code in _CLIENT_ID:
        return StepError(text, code="mqtt.client_id")
    return Unavailable(text, code="mqtt.connection")


def lost_connection(where: str, reason: Any) -> StepError:
    """Return the error for a connection that the broker has ended, or that was lost."""
    text = f"{where}: the connection is lost: {reason}"
    if getattr(reason, "value", None) == 0x8E:
        return StepError(
            f"{text}: another client has the same client id; give one of them a different one", code="mqtt.client_id"
        )
    return Unavailable(text, code="mqtt.connection", outcome_unknown=True)


def rejected(where: str, what: str, reason: Any) -> StepError:
    """Return the error for a request that the broker rejected."""
    code, text = reason.value, f"{where} rejects {what}: {reason}"
    if code in _ACCESS:
        return StepError(text, code="mqtt.access")
    if code in _TOPIC:
        return StepError(text, code="mqtt.topic")
    return StepError(text, code="mqtt.rejected", retryable=code in _PASSING)


def no_connection(where: str, error: BaseException) -> StepError:
    """Return the error for a connection that could not be made."""
    if isinstance(error, ssl.SSLError):
        return StepError(f"{where}: TLS failed: {error.reason or error}", code="mqtt.tls")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} doesn't answer in time", code="mqtt.timeout")
    return Unavailable(f"{where}: {error}", code="mqtt.connection")
