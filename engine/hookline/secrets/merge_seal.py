"""A seal: what encrypts the redacted values of one execution, with a key that can be thrown away.

A ciphertext is `nonce (12 bytes) | AES-256-GCM output`. The key is stored wrapped by the vault, beside the execution
and nowhere else. Once that is gone, nothing under it can be read any more, wherever copies of it are.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.errors import RedactedUnreadable
from hookline.secrets.vault import Vault

_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12


class Seal:
    """Encrypts and decrypts with one key."""

    __slots__ = ("_cipher", "wrapped")

    def __init__(self, key: bytes, wrapped: bytes) -> None:
        self._cipher = AESGCM(key)
        self.wrapped = wrapped
        """The key as it is stored."""

    @classmethod
    def new(cls, vault: Vault) -> "Seal":
        """One with a key of its own."""
        key = os.urandom(_KEY_SIZE)
        return cls(key, vault.wrap(key))

    @classmethod
    def of(cls, vault: Vault, wrapped: bytes) -> "Seal":
        """The one whose key is stored. Raises RedactedUnreadable where the vault can't unwrap that."""
        return cls(vault.unwrap(wrapped), wrapped)

    def close(self, plaintext: bytes) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, plaintext, None)

    def open(self, ciphertext: bytes) -> bytes:
        """What `close` was given. Raises RedactedUnreadable where it is of another key, or was altered."""
        try:
            return self._cipher.decrypt(ciphertext[:_NONCE_SIZE], ciphertext[_NONCE_SIZE:], None)
        except (InvalidTag, ValueError):
            raise RedactedUnreadable("redacted values were altered, or are of another execution") from None
