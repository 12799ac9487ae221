"""Requests that were refused."""

from dataclasses import dataclass
from typing import Protocol

from hookline.model.rejection import RefusedRequest


@dataclass(frozen=True, slots=True)
class RefusedPage:
    """One page of refused requests, newest first."""

    items: tuple[RefusedRequest, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class RefusedQueries(Protocol):
    """What is known of requests that were refused."""

    async def refused(self, *, flow_id: str | None = None, cursor: str | None = None, limit: int = 50) -> RefusedPage:
        """Refused requests, newest first; of all flows where none is named.

        Raises ValueError for a cursor that isn't one.
        """
        ...
