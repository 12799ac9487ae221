"""Credentials at rest."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PutCredential:
    """A credential is made or replaced; it has no tokens then."""

    name: str
    type: str
    ciphertext: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class PutTokens:
    """A credential gets access tokens; nothing happens where it isn't there, or was replaced meanwhile."""

    name: str
    put_at: datetime
    """When the credential was put whose tokens they are."""
    ciphertext: bytes | None
    """None: it has none any more."""


@dataclass(frozen=True, slots=True)
class DropCredential:
    """A credential is removed, with its tokens."""

    name: str
