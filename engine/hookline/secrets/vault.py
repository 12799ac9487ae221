"""The vault: encrypts credentials, and the keys of redacted values, before they are stored.

A ciphertext is `version (1 byte) | key id (8) | nonce (12) | AES-256-GCM output`. The key's id says which of several
keys decrypts it. The credential's name and type are authenticated with it, so that the bytes of one credential can't
be put in another's place; so is what else a ciphertext is for.
"""

import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.errors import CredentialError, RedactedUnreadable
from hookline.kernel.json import canonical
from hookline.secrets import secret_file

_KEY_SIZE: Final = 32
_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8
_NONCE_SIZE: Final = 12
_HEADER: Final = len(_VERSION) + _ID_SIZE + _NONCE_SIZE
_WRAPPED: Final = b"key of redacted values"
_SUBSCRIPTION: Final = b"subscription of flow "


class _Foreign(Exception):
    """It isn't what this version writes."""


class _KeyMissing(Exception):
    """It names a key, by its id, that isn't here."""


class Vault:
    """Encrypts with the first of its keys, and decrypts with whichever key a ciphertext names."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        """`keys`: 32 bytes each, at least one. `random_bytes(n)`: where nonces come from."""
        if not keys:
            raise CredentialError("there is no key to encrypt credentials with; set HOOKLINE_SECRET_KEY")
        if any(len(key) != _KEY_SIZE for key in keys):
            raise CredentialError(f"a key that encrypts credentials has {_KEY_SIZE} bytes")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._first = _key_id(keys[0])
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return f"<Vault of keys {', '.join(key_id.hex() for key_id in self._ciphers)}>"

    def encrypt(self, plaintext: bytes, *, name: str, type: str) -> bytes:
        """Encrypt the values of a credential of this name and type."""
        return self._encrypted(plaintext, canonical([name, type]))

    def decrypt(self, ciphertext: bytes, *, name: str, type: str) -> bytes:
        """What `encrypt` was given. Raises CredentialError: unknown key, altered bytes, another name or type."""
        try:
            return self._decrypted(ciphertext, canonical([name, type]))
        except _Foreign:
            raise CredentialError(
                f"credential {name!r}: what is stored is no credential that this version of Hookline can read; "
                "set it again, or upgrade"
            ) from None
        except _KeyMissing as missing:
            raise CredentialError(
                f"credential {name!r} is encrypted with the key {missing}, which is not here; "
                "add that key to HOOKLINE_SECRET_KEY (or put its file back), or set the credential again"
            ) from None
        except InvalidTag:
            raise CredentialError(
                f"credential {name!r}: what is stored was altered, or was made for another name or type; set it again"
            ) from None

    def encrypt_tokens(self, plaintext: bytes, *, name: str, type: str, put_at: str) -> bytes:
        """Encrypt the access tokens of a credential that was put at a time."""
        return self._encrypted(plaintext, canonical([name, type, put_at, "tokens"]))

    def decrypt_tokens(self, ciphertext: bytes, *, name: str, type: str, put_at: str) -> bytes:
        """What `encrypt_tokens` was given. Raises CredentialError, also for those of a credential before it."""
        try:
            return self._decrypted(ciphertext, canonical([name, type, put_at, "tokens"]))
        except _KeyMissing as missing:
            raise CredentialError(
                f"the tokens of credential {name!r} are encrypted with the key {missing}, which is not here; add that "
                "key to HOOKLINE_SECRET_KEY (or put its file back)"
            ) from None
        except (_Foreign, InvalidTag):
            raise CredentialError(
                f"the tokens of credential {name!r} were altered where they are stored, or are another's"
            ) from None

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a key that encrypts redacted values."""
        return self._encrypted(key, _WRAPPED)

    def unwrap(self, wrapped: bytes) -> bytes:
        """What `wrap` was given. Raises RedactedUnreadable: unknown key, or altered bytes."""
        try:
            return self._decrypted(wrapped, _WRAPPED)
        except _KeyMissing as missing:
            raise RedactedUnreadable(
                f"redacted values are encrypted with the key {missing}, which is not here; add that key to "
                "HOOKLINE_SECRET_KEY, or put its file back"
            ) from None
        except (_Foreign, InvalidTag):
            raise RedactedUnreadable("the key of redacted values was altered where it is stored") from None

    def conceal(self, plaintext: bytes, flow_id: str) -> bytes:
        """Encrypt what is kept of a flow's subscription."""
        return self._encrypted(plaintext, _SUBSCRIPTION + flow_id.encode())

    def reveal(self, ciphertext: bytes, flow_id: str) -> bytes:
        """What `conceal` was given. Raises CredentialError: unknown key, or altered bytes."""
        try:
            return self._decrypted(ciphertext, _SUBSCRIPTION + flow_id.encode())
        except _KeyMissing as missing:
            raise CredentialError(
                f"what flow {flow_id!r} is subscribed to is encrypted with the key {missing}, which is not here; add "
                "that key to HOOKLINE_SECRET_KEY, or put its file back"
            ) from None
        except (_Foreign, InvalidTag):
            raise CredentialError(f"what flow {flow_id!r} is subscribed to was altered where it is stored") from None

    def _encrypted(self, plaintext: bytes, purpose: bytes) -> bytes:
        header = _VERSION + self._first + self._random_bytes(_NONCE_SIZE)
        nonce = header[-_NONCE_SIZE:]
        return header + self._ciphers[self._first].encrypt(nonce, plaintext, header + purpose)

    def _decrypted(self, ciphertext: bytes, purpose: bytes) -> bytes:
        header, sealed = ciphertext[:_HEADER], ciphertext[_HEADER:]
        if len(header) < _HEADER or header[:1] != _VERSION:
            raise _Foreign
        key_id = header[1 : 1 + _ID_SIZE]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise _KeyMissing(key_id.hex())
        return cipher.decrypt(header[-_NONCE_SIZE:], sealed, header + purpose)

    def current(self, ciphertext: bytes) -> bool:
        """Whether it is encrypted with the first key: false for what a rotation has to encrypt again."""
        return ciphertext[: 1 + _ID_SIZE] == _VERSION + self._first


def generate_key() -> str:
    """A new random key, as it is written in `HOOKLINE_SECRET_KEY` and in a key file."""
    return urlsafe_b64encode(secrets.token_bytes(_KEY_SIZE)).decode().rstrip("=")


def read_keys(text: str, source: str = "HOOKLINE_SECRET_KEY") -> tuple[bytes, ...]:
    """The keys of a text that holds one or several, separated by commas. Raises CredentialError, naming the source."""
    keys = []
    for position, part in enumerate(text.split(","), start=1):
        word = part.strip().rstrip("=")
        try:
            # Standard and URL-safe base64 are both taken; Python's decoder skips foreign letters, so length is checked.
            key = urlsafe_b64decode(word.replace("+", "-").replace("/", "_") + "=" * (-len(word) % 4))
        except ValueError:
            key = b""
        if len(key) != _KEY_SIZE or not word.isascii() or len(word) != 43:
            raise CredentialError(
                f"{source}: key {position} is not {_KEY_SIZE} bytes in base64; make one with "
                """`python -c "import secrets; print(secrets.token_urlsafe(32))"`"""
            )
        keys.append(key)
    return tuple(keys)


def load_or_create_key(path: Path) -> tuple[bytes, ...]:
    """The keys in a file, which is made with a new key and mode 0600 where there is none.

    Two processes that start at once agree on one key. Raises CredentialError for a file that others can read, that
    can't be read, or that holds no key.
    """
    return read_keys(secret_file.load_or_create(path, generate_key), str(path))


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"hookline key id\0" + key).digest()[:_ID_SIZE]
