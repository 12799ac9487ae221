"""Resume tokens: signed tokens in the URLs of waiting steps, each for one execution and step."""

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from typing import Final

from hookline.secrets.encryption import ID_SIZE, Vault, key_id

_ID: Final = 16
_MAC: Final = 16
_MAX: Final = 2000


class ResumeTokens:
    """Makes tokens with a key derived from the first key of a vault, and reads the tokens of all its keys.

    A token is `key id (8 bytes) | MAC (16) | execution (16) | path`. Tokens of earlier releases have no key id.
    """

    def __init__(self, secret_keys: Sequence[bytes], vault: Vault) -> None:
        """`vault` has these keys, and says which one is the first."""
        self._vault = vault
        self._keys = {key_id(key): hmac.digest(key, b"hookline resume token", hashlib.sha256) for key in secret_keys}
        self.known: Collection[str] = ()
        """The ids of all keys that the nodes of the database ever had in use."""

    def make(self, execution_id: str, path: str) -> str:
        """Return the token of a step of an execution: always the same one, as long as the key is the same."""
        about = uuid.UUID(execution_id).bytes + path.encode()
        first = bytes.fromhex(self._vault.first)
        return _text(first + _mac(self._keys[first], about) + about)

    def url(self, public_url: str, execution_id: str, path: str) -> str:
        """Return the resume URL of a step of an execution."""
        return f"{public_url.rstrip('/')}/resume/{self.make(execution_id, path)}"

    def read(self, token: str) -> tuple[str, str] | None:
        """Return the execution and the step's path; None if the token wasn't made with one of the keys."""
        data = _data(token)
        if data is None:
            return None
        named = self._keys.get(data[:ID_SIZE])
        about = None if named is None else _verified(named, data[ID_SIZE:])
        if about is None:
            about = next((found for key in self._keys.values() if (found := _verified(key, data)) is not None), None)
        # Base64 has several texts for some bytes; only one of them is the token.
        if about is None or _text(data) != token:
            return None
        return str(uuid.UUID(bytes=about[:_ID])), about[_ID:].decode()

    def lacks_key(self, token: str) -> bool:
        """Return true if a token names a key that the nodes of the database have or had, and that isn't here."""
        data = _data(token)
        return data is not None and data[:ID_SIZE] not in self._keys and data[:ID_SIZE].hex() in self.known


def _data(token: str) -> bytes | None:
    if len(token) > _MAX or not token.isascii():
        return None
    try:
        return urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None


def _verified(key: bytes, data: bytes) -> bytes | None:
    """Return what a token is about, if it was made with this key."""
    mac, about = data[:_MAC], data[_MAC:]
    return about if len(about) > _ID and hmac.compare_digest(mac, _mac(key, about)) else None


def _mac(key: bytes, about: bytes) -> bytes:
    return hmac.digest(key, about, hashlib.sha256)[:_MAC]


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
