"""Bulk operations: an operation on a page of executions at a time, so that it can be interrupted and continued."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hookline.kernel.errors import HooklineError, StoreError
from hookline.model.execution import ExecutionFilter
from hookline.storage.store import Store

BulkOperation: TypeAlias = Literal["retry", "replay", "cancel", "discard"]
"""The operations that can be applied in bulk."""

_SIDE_BY_SIDE: Final = 16


@dataclass(frozen=True, slots=True)
class Rejection:
    """An execution to which the operation could not be applied."""

    id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The result for one page."""

    done: tuple[tuple[str, str | None], ...]
    """The executions, each with the id of its replay if the operation was a replay."""
    rejected: tuple[Rejection, ...]
    next: str | None
    """The cursor of the next page; None after the last page."""


async def run_on_page(
    store: Store,
    chosen: ExecutionFilter,
    operation: Callable[[str], Awaitable[str | None]],
    *,
    cursor: str | None,
    limit: int,
) -> BulkResult:
    """Apply an operation to a page of executions, newest first. `operation` raises HooklineError for an unsuitable
    execution.

    Raises StoreError, after the operations under way have ended, and ValueError for an invalid cursor.
    """
    page = await store.executions(chosen, cursor=cursor, limit=limit)
    turns = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(execution_id: str) -> tuple[str, str | None] | Rejection:
        async with turns:
            try:
                return execution_id, await operation(execution_id)
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
