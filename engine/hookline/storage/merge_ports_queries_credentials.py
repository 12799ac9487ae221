"""Credentials at rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential as it is at rest."""

    name: str
    type: str
    ciphertext: bytes
    updated_at: datetime
    tokens: bytes | None = None
    """Its access tokens, encrypted; None where it has none."""


class CredentialQueries(Protocol):
    """What is kept of credentials."""

    async def credentials(self) -> Sequence[StoredCredential]: ...
