"""Executions that failed and that nobody has taken care of yet."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hookline.model.execution import ErrorInfo


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Dead letters of one flow with one cause."""

    flow_id: str
    cause: str
    """As `cause_of` gives it."""
    error: ErrorInfo
    """That of the newest."""
    count: int
    first_at: datetime
    """When the first of them failed."""
    last_at: datetime
    newest: str
    """The execution that was accepted last."""


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    """One page of groups; that with the newest execution first."""

    items: tuple[DeadLetters, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class DeadLetterQueries(Protocol):
    """What is known of dead letters."""

    async def dead_letters(
        self, *, flow_id: str | None = None, cause: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeadLetterPage:
        """Grouped by cause; costs as much as there are dead letters, whatever else is in the history.

        Raises ValueError for a cursor that isn't one.
        """
        ...
