"""The status of a backend's database, whether or not a server uses it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The status of a database."""

    database: str
    """Its place, without a password."""
    reachable: bool
    problem: str | None
    """The reason why a server can't use it."""
    version: str | None
    """The version of its tables; None if there are none, or if they can't be reached."""
    latest: str
    """The latest version that this backend knows; an older one is upgraded when a server starts."""
    size: int | None
    """Its bytes on the disk of the database."""


@runtime_checkable
class Inspectable(Protocol):
    """A backend that can tell the status of its database."""

    async def status(self) -> DatabaseStatus:
        """Return the status, whether or not the backend is open. Creates nothing."""
        ...
