"""Parts of a block that run side by side: the first failure ends the others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from hookline.executions.context import (
    SUPERSEDED,
    Ending,
    ExecutionContext,
    Frame,
    Interrupted,
    Interruption,
    StepFailed,
)
from hookline.model.execution import StepState
from hookline.sdk.action import STOPPED


async def run_concurrently(
    parts: Iterable[Callable[[], Awaitable[None]]], together: Interruption
) -> StepFailed | Interrupted | None:
    """Run parts, all under `together`, which the first that fails interrupts: each then runs its `finally`, and ends.

    Gives the first failure once all have ended, or else what told one of them to end. Raises what the engine is to see.
    """
    failed: StepFailed | None = None
    interrupted: Interrupted | None = None

    async def one(part: Callable[[], Awaitable[None]]) -> None:
        nonlocal failed, interrupted
        try:
            await part()
        except StepFailed as error:
            failed = failed or error
            together.interrupt(SUPERSEDED)
        except Interrupted as error:
            interrupted = interrupted or error

    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(one(part))
    except ExceptionGroup as several:
        # Whoever runs the block knows single errors.
        raise several.exceptions[0] from several
    return failed or interrupted


def known_stop(run: ExecutionContext, frame: Frame, block_id: str) -> bool:
    """Whether a part of a block has stopped the execution, and others still had something to do at their end."""
    past = run.journal.past(frame.prefix + block_id)
    return past is not None and past.signal == STOPPED.name


def still_ending(run: ExecutionContext, frame: Frame, block_id: str, use: str, failure: StepFailed | None) -> Ending:
    """Note why a block comes to its end, while parts of it wait that have begun to end: they don't go on otherwise.

    `failure`: that of the block; None where a part of it has stopped the execution.
    """
    if failure is not None:
        block_failed(run, frame, block_id, use, failure)
    else:
        run.note_pure(frame, block_id, use, StepState.SUCCEEDED, signal=STOPPED.name)
    return Ending.WAITING


def known_failure(run: ExecutionContext, frame: Frame, block_id: str) -> StepFailed | None:
    """The failure with which a block has ended, or comes to its end."""
    past = run.journal.past(frame.prefix + block_id)
    if past is None or past.state is not StepState.FAILED or past.error is None or not run.keeps_failure(frame, past):
        return None
    return StepFailed(past.error, past.finished_at)


def check_end(run: ExecutionContext, frame: Frame, block_id: str) -> None:
    """Raise Interrupted where a block may not go on, unless it had come to its end before.

    Then what has begun behind it is told to end, so that its `finally` runs and it waits for nothing any more.
    """
    past = run.journal.past(frame.prefix + block_id)
    done = past is not None and past.state is StepState.SUCCEEDED and past.signal != STOPPED.name
    if not done and known_failure(run, frame, block_id) is None:
        frame.interruption.check()


def block_failed(run: ExecutionContext, frame: Frame, block_id: str, use: str, failure: StepFailed) -> StepFailed:
    """Note that a block has failed, so that it doesn't begin again when the execution is resumed; gives its failure."""
    at = failure.at or frame.now
    run.note_pure(frame, block_id, use, StepState.FAILED, error=failure.error, at=at)
    return StepFailed(failure.error, at)
