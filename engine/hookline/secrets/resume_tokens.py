"""Resume tokens: signed tokens in the URLs of waiting steps, each for one execution and step."""

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

_ID: Final = 16
_MAC: Final = 16
_MAX: Final = 2000


class ResumeTokens:
    """Makes tokens with a key derived from the first secret key, and reads the tokens of all secret keys."""

    def __init__(self, secret_keys: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(key, b"hookline resume token", hashlib.sha256) for key in secret_keys]

    def make(self, execution_id: str, path: str) -> str:
        """Return the token of a step of an execution: always the same one."""
        about = uuid.UUID(execution_id).bytes + path.encode()
        return _text(_mac(self._keys[0], about) + about)

    def url(self, public_url: str, execution_id: str, path: str) -> str:
        """Return the resume URL of a step of an execution."""
        return f"{public_url.rstrip('/')}/resume/{self.make(execution_id, path)}"

    def read(self, token: str) -> tuple[str, str] | None:
        """Return the execution and the step's path; None if the token wasn't made with one of the keys."""
        if len(token) > _MAX or not token.isascii():
            return None
        try:
            data = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            return None
        mac, about = data[:_MAC], data[_MAC:]
        if len(about) <= _ID or not any(hmac.compare_digest(mac, _mac(key, about)) for key in self._keys):
            return None
        # Base64 has several texts for some bytes; only one of them is the token.
        if _text(data) != token:
            return None
        return str(uuid.UUID(bytes=about[:_ID])), about[_ID:].decode()


def _mac(key: bytes, about: bytes) -> bytes:
    return hmac.digest(key, about, hashlib.sha256)[:_MAC]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
