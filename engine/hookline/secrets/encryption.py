"""The vault: encrypts credentials, tokens, subscriptions and data keys before they are stored.

Redacted values are encrypted in two layers (envelope encryption): a data key of the execution encrypts the values, and
the vault encrypts the data key.

A ciphertext is `version (1 byte) | key id (8) | nonce (12) | AES-256-GCM output`. The key id names the key that
decrypts it. The purpose of a ciphertext is authenticated with it, so that the bytes of one credential can't be put in
the place of another's.
"""

import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.errors import CredentialError, HooklineError, RedactedUnreadable
from hookline.kernel.json import canonical
from hookline.secrets import secret_file

_KEY_SIZE: Final = 32
_VERSION: Final = b"\x01"
ID_SIZE: Final = 8
"""Bytes of the id of a key."""
_NONCE_SIZE: Final = 12
_HEADER: Final = len(_VERSION) + ID_SIZE + _NONCE_SIZE


@dataclass(frozen=True, slots=True)
class Purpose:
    """The one use of a ciphertext: it can't be decrypted for another."""

    authenticated: bytes
    """Bytes that are authenticated with the ciphertext."""
    subject: str
    """The encrypted thing, as messages name it."""
    error: type[HooklineError]
    """The error that is raised if it can't be decrypted."""
    remedy: str = ""
    """Another remedy than to provide the key, as the end of a sentence."""
    altered: str = "was altered where it is stored"


def for_credential(name: str, type: str) -> Purpose:
    """The values of a credential of this name and type."""
    return Purpose(
        canonical([name, type]),
        f"credential {name!r}",
        CredentialError,
        remedy=", or set the credential again",
        altered="was altered where it is stored, or was made for another name or type; set it again",
    )


def for_tokens(name: str, type: str, put_at: str) -> Purpose:
    """The access tokens of the credential that was put at this time; a credential put later can't use them."""
    return Purpose(
        canonical([name, type, put_at, "tokens"]),
        f"the token set of credential {name!r}",
        CredentialError,
        altered="was altered where it is stored, or belongs to another credential",
    )


def for_subscription(flow_id: str) -> Purpose:
    """The subscription of a flow."""
    return Purpose(
        b"subscription of flow " + flow_id.encode(), f"the subscription of flow {flow_id!r}", CredentialError
    )


FOR_DATA_KEY: Final = Purpose(b"key of redacted values", "the key of redacted values", RedactedUnreadable)


class Vault:
    """Encrypts with one of its keys, and decrypts with the key that a ciphertext names."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        """`keys`: 32 bytes each, at least one. `random_bytes(n)`: the source of nonces."""
        if not keys:
            raise CredentialError("there is no key to encrypt credentials with; set HOOKLINE_SECRET_KEY")
        if any(len(key) != _KEY_SIZE for key in keys):
            raise CredentialError(f"a key that encrypts credentials has {_KEY_SIZE} bytes")
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self._first = key_id(keys[0])
        self._random_bytes = random_bytes
        self._rejection: str | None = None
        self.ids = tuple(id.hex() for id in self._ciphers)
        """The ids of its keys, in their order."""

    def __repr__(self) -> str:
        return f"<Vault of keys {', '.join(self.ids)}>"

    @property
    def first(self) -> str:
        """The id of the key that encrypts; initially that of the first key in the settings."""
        return self._first.hex()

    def encrypt_with(self, id: str) -> None:
        """Encrypt with another of the keys from now on."""
        self._first = bytes.fromhex(id)

    def encrypt_nothing(self, reason: str) -> None:
        """Raise CredentialError on each encryption from now on, because other nodes couldn't decrypt the result."""
        self._rejection = reason

    def encrypt(self, plaintext: bytes, *, purpose: Purpose) -> bytes:
        """Encrypt with the first key. Raises CredentialError if this process may not."""
        if self._rejection is not None:
            raise CredentialError(self._rejection)
        header = _VERSION + self._first + self._random_bytes(_NONCE_SIZE)
        cipher = self._ciphers[self._first]
        return header + cipher.encrypt(header[-_NONCE_SIZE:], plaintext, header + purpose.authenticated)

    def decrypt(self, ciphertext: bytes, *, purpose: Purpose) -> bytes:
        """Return the plaintext.

        Raises the purpose's error for an unknown key, altered bytes, or a ciphertext of another purpose.
        """
        header, encrypted = ciphertext[:_HEADER], ciphertext[_HEADER:]
        if len(header) < _HEADER or header[:1] != _VERSION:
            raise purpose.error(f"{purpose.subject} {purpose.altered}, or was stored by a newer version of Hookline")
        named = header[1 : 1 + ID_SIZE]
        cipher = self._ciphers.get(named)
        if cipher is None:
            raise purpose.error(
                f"{purpose.subject} is encrypted with the key {named.hex()}, which is not here; "
                f"add that key to HOOKLINE_SECRET_KEY (or put its file back){purpose.remedy}"
            )
        try:
            return cipher.decrypt(header[-_NONCE_SIZE:], encrypted, header + purpose.authenticated)
        except InvalidTag:
            raise purpose.error(f"{purpose.subject} {purpose.altered}") from None

    def reencrypt(self, ciphertext: bytes, *, purpose: Purpose) -> bytes:
        """Encrypt with the first key what another may have encrypted. Raises the purpose's error."""
        return self.encrypt(self.decrypt(ciphertext, purpose=purpose), purpose=purpose)

    def is_current(self, ciphertext: bytes) -> bool:
        """Return true if the first key encrypted it; a rotation encrypts everything else again."""
        return ciphertext[: 1 + ID_SIZE] == _VERSION + self._first


class DataKey:
    """The key that encrypts the redacted values of one execution."""

    __slots__ = ("_cipher", "encrypted")

    def __init__(self, key: bytes, encrypted: bytes) -> None:
        self._cipher = AESGCM(key)
        self.encrypted = encrypted
        """The key itself, encrypted by the vault, as it is stored."""

    @classmethod
    def generate(cls, vault: Vault) -> "DataKey":
        key = os.urandom(_KEY_SIZE)
        return cls(key, vault.encrypt(key, purpose=FOR_DATA_KEY))

    @classmethod
    def load(cls, vault: Vault, encrypted: bytes) -> "DataKey":
        """Return the stored key. Raises RedactedUnreadable if the vault can't decrypt it."""
        return cls(vault.decrypt(encrypted, purpose=FOR_DATA_KEY), encrypted)

    def encrypt(self, plaintext: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext. Raises RedactedUnreadable if another key encrypted it, or if it was altered."""
        try:
            return self._cipher.decrypt(ciphertext[:_NONCE_SIZE], ciphertext[_NONCE_SIZE:], None)
        except (InvalidTag, ValueError):
            raise RedactedUnreadable("redacted values were altered, or belong to another execution") from None


def generate_key() -> str:
    """Return a new random key, as it is written in `HOOKLINE_SECRET_KEY` and in a key file."""
    return urlsafe_b64encode(secrets.token_bytes(_KEY_SIZE)).decode().rstrip("=")


def read_keys(text: str, source: str = "HOOKLINE_SECRET_KEY") -> tuple[bytes, ...]:
    """Read one or several keys, separated by commas. Raises CredentialError, which names the source."""
    keys = []
    for position, part in enumerate(text.split(","), start=1):
        word = part.strip().rstrip("=")
        try:
            # Standard and URL-safe base64 are both accepted. The decoder skips other letters, so the length is checked.
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
    """Read the keys of a file, which is created with a new key and mode 0600 if it doesn't exist.

    Two processes that start at the same time agree on one key. Raises CredentialError for a file that others can read,
    that can't be read, or that holds no key.
    """
    return read_keys(secret_file.load_or_create(path, generate_key), str(path))


def keep_key(path: Path, text: str) -> None:
    """Create the file of a new key. Raises CredentialError if it can't be created, or has another key."""
    if secret_file.load_or_create(path, lambda: text).strip() != text:
        raise CredentialError(f"{path}: another process has just made this key; start again")


def key_id(key: bytes) -> bytes:
    """Return the id of a key, which tells nothing about it."""
    return hashlib.sha256(b"hookline key id\0" + key).digest()[:ID_SIZE]
