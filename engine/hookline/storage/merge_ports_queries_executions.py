"""Executions, and what they have done."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hookline.model.execution import Execution, Outcome, State, StepRecord
from hookline.model.message import Envelope


@dataclass(frozen=True, slots=True)
class Summary:
    """An execution as lists show it, with how its message came in."""

    execution: Execution
    payload: bytes
    """As `pack` gives it; the body of a large message is left out."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first."""

    items: tuple[Summary, ...]
    next: str | None
    """What to pass as `cursor` for the next page; None at the end."""


class ExecutionQueries(Protocol):
    """What is known of executions."""

    async def execution(self, execution_id: str) -> Execution | None: ...

    async def envelope(self, execution_id: str) -> Envelope | None:
        """The accepted message, as it was put."""
        ...

    async def accepted_as(self, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
        """The execution that used a dedupe key whose window is still open; None where the key is free."""
        ...

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        """The entries with a `seq` above `after`, in order."""
        ...

    async def seal_keys(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """The executions with ids above `after` that have a seal's key, in order of their ids, each with the key."""
        ...

    async def executions(
        self,
        *,
        flow_id: str | None = None,
        state: State | None = None,
        outcome: Outcome | None = None,
        error_code: str | None = None,
        cause: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        replay_of: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Newest first, paged by key: a page costs the same however long the history is.

        `cause`: only dead letters that have it. `since` and `until` are about when messages were accepted; the one
        counts, the other doesn't. Raises ValueError for a cursor that isn't one.
        """
        ...
