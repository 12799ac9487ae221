"""Credentials at rest."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PutCredential:
    """A credential is made or replaced."""

    name: str
    type: str
    ciphertext: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class DropCredential:
    """A credential is removed."""

    name: str
