"""What is done with many executions: page by page, so that it can be stopped and gone on with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hookline.kernel.errors import HooklineError, StoreError
from hookline.model.execution import ExecutionFilter
from hookline.storage.store import Store

Operation: TypeAlias = Literal["retry", "replay", "cancel", "discard"]
"""What can be done with many."""

_SIDE_BY_SIDE: Final = 16


@dataclass(frozen=True, slots=True)
class Rejection:
    """An execution with which it couldn't be done."""

    id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What came of one page."""

    done: tuple[tuple[str, str | None], ...]
    """Executions, each with the one that does it again, where one does."""
    rejected: tuple[Rejection, ...]
    next: str | None
    """Where the next page starts; None where this was the last."""


async def one_page(
    store: Store,
    chosen: ExecutionFilter,
    deed: Callable[[str], Awaitable[str | None]],
    *,
    cursor: str | None,
    limit: int,
) -> BulkResult:
    """Do something with a page of executions, the newest first. `deed` raises HooklineError for one that isn't fit.

    Raises StoreError, once what is under way has come to its end, and ValueError for a cursor that isn't one.
    """
    page = await store.executions(chosen, cursor=cursor, limit=limit)
    turns = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(execution_id: str) -> tuple[str, str | None] | Rejection:
        async with turns:
            try:
                return execution_id, await deed(execution_id)
            except StoreError:
                raise
            except HooklineError as error:
                return Rejection(execution_id, getattr(error, "error_code", error.code), error.message)

    results = await asyncio.gather(*(one(item.execution.id) for item in page.items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return BulkResult(
        tuple(result for result in results if isinstance(result, tuple)),
        tuple(result for result in results if isinstance(result, Rejection)),
        page.next,
    )
