"""Concurrent parts of a block: the first failure ends the others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import SUPERSEDED, Interrupted, Interruption
from hookline.kernel.errors import StoreError
from hookline.model.execution import StepState
from hookline.sdk.action import STOPPED


async def run_concurrently(
    parts: Iterable[Callable[[], Awaitable[None]]], together: Interruption
) -> StepFailed | Interrupted | None:
    """Run parts concurrently under `together`, which the first failure interrupts, so that the other parts end.

    Returns the first failure after all parts have ended, or else the first interruption. Raises StoreError after all
    parts have ended, too: if their running actions were cut off, these would run again, or it wouldn't be known whether
    they took effect. Raises all other errors at once.
    """
    failed: StepFailed | None = None
    interrupted: Interrupted | None = None
    store_error: StoreError | None = None

    async def one(part: Callable[[], Awaitable[None]]) -> None:
        nonlocal failed, interrupted, store_error
        try:
            await part()
        except StepFailed as error:
            failed = failed or error
            together.interrupt(SUPERSEDED)
        except Interrupted as error:
            interrupted = interrupted or error
        except StoreError as error:
            store_error = store_error or error

    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(one(part))
    except ExceptionGroup as several:
        # The callers handle single errors.
        raise several.exceptions[0] from several
    if store_error is not None:
        raise store_error
    return failed or interrupted


def known_stop(run: ExecutionContext, frame: Frame, block_id: str) -> bool:
    """Return whether a part of a block stopped the execution while others still had to run their `finally` steps."""
    entry = run.journal.last_entry(frame.prefix + block_id)
    return entry is not None and entry.signal == STOPPED.name


def end_early(
    run: ExecutionContext,
    frame: Frame,
    block_id: str,
    use: str,
    *,
    failure: StepFailed | None,
    stopped: bool,
    ending: bool,
    waits: bool,
) -> Ending | None:
    """End a block, or let it wait; return None if all its parts have ended and it goes on.

    `failure`: the first one of its parts. `stopped`: a part stopped the execution. `ending`: the parts were told to
    end. `waits`: a part still waits, in its `finally` steps if it was told to end. The reason of the end is recorded,
    so that no part goes on later. Raises StepFailed, and Interrupted if the block is told to end.
    """
    if failure is not None:
        failure = block_failed(run, frame, block_id, use, failure)
        if not waits:
            raise failure
        return Ending.WAITING
    if not (ending and waits):
        check_end(run, frame, block_id)
    if stopped:
        run.journal.record_computed(frame.prefix + block_id, use, StepState.SUCCEEDED, signal=STOPPED.name)
        return Ending.WAITING if waits else Ending.STOPPED
    return Ending.WAITING if waits else None


def known_failure(run: ExecutionContext, frame: Frame, block_id: str) -> StepFailed | None:
    """The failure with which a block has ended or is ending."""
    entry = run.journal.last_entry(frame.prefix + block_id)
    if (
        entry is None
        or entry.state is not StepState.FAILED
        or entry.error is None
        or not run.failure_is_final(frame, entry)
    ):
        return None
    return StepFailed(entry.error, entry.finished_at)


def check_end(run: ExecutionContext, frame: Frame, block_id: str) -> None:
    """Raise Interrupted if a block may not continue, unless it had ended before.

    In that case the steps after it are interrupted, so that they run their `finally` steps and wait for nothing.
    """
    entry = run.journal.last_entry(frame.prefix + block_id)
    done = entry is not None and entry.state is StepState.SUCCEEDED and entry.signal != STOPPED.name
    if not done and known_failure(run, frame, block_id) is None:
        frame.interruption.check()


def block_failed(run: ExecutionContext, frame: Frame, block_id: str, use: str, failure: StepFailed) -> StepFailed:
    """Record the failure of a block, so that it doesn't start again on a resume; return the failure."""
    at = failure.at or frame.now
    path, again = frame.prefix + block_id, known_failure(run, frame, block_id) is None
    run.journal.record_computed(path, use, StepState.FAILED, error=failure.error, at=at, again=again)
    return StepFailed(failure.error, at)
