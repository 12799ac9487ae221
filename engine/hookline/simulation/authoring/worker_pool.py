"""The pool of the processes that do jobs for authors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import msgspec

from hookline.kernel.errors import FlowInvalid, ServiceUnavailable, WorkLimit
from hookline.plugin_host.process_pool import ProcessEnded, ProcessPool
from hookline.simulation.authoring.jobs import (
    OUT_OF_MEMORY,
    BacktestResult,
    CaseMade,
    CasesRun,
    CheckResult,
    CompareResult,
    EvaluatedStep,
    EvaluateResult,
    Failure,
    FormatResult,
    Job,
    JobResult,
    TryResult,
)

_T = TypeVar(
    "_T",
    CheckResult,
    EvaluateResult,
    EvaluatedStep,
    TryResult,
    BacktestResult,
    CaseMade,
    FormatResult,
    CompareResult,
    CasesRun,
)
MODULE: Final = "hookline.simulation.authoring.worker"

MOST_WAITING: Final = 20
"""The most requests that wait for a place: each holds its document meanwhile."""
_GRACE: Final = 1.0
"""Seconds beyond the time limit after which a process ends itself if its parent hasn't ended it."""
_OUT_OF_MEMORY: Final = msgspec.msgpack.encode(OUT_OF_MEMORY)
_result: Final = msgspec.msgpack.Decoder[JobResult](JobResult)


class WorkerPool:
    """Does jobs in processes, which are started when they are needed and kept for a while.

    `most`: the number of jobs at the same time. `seconds` and `memory` (bytes) limit each job. `patience`: the seconds
    for which a job may wait for its place.
    """

    def __init__(self, most: int = 2, seconds: float = 10.0, memory: int = 1 << 30, patience: float = 20.0) -> None:
        self.seconds: Final = seconds
        self._patience: Final = patience
        self._places: Final = asyncio.Semaphore(most)
        self._waiting = 0
        # A process that ran out of memory isn't used again: what it still holds could make the next job fail, too.
        self._processes: Final = ProcessPool(
            MODULE,
            (str(seconds + _GRACE), str(memory)),
            name="hookline authoring",
            seconds=seconds,
            last_result=_OUT_OF_MEMORY,
        )

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes."""
        return self._processes.processes

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places for work, after those who came before.

        Raises ServiceUnavailable if too many wait already, or none becomes free in time.
        """
        await self._enter()
        try:
            yield
        finally:
            self._places.release()

    async def _enter(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise ServiceUnavailable(f"{self._waiting} requests are waiting already; try again soon", retry_after=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            message = f"no place became free within {self._patience:g} s; try again soon"
            raise ServiceUnavailable(message, retry_after=1) from None
        finally:
            self._waiting -= 1

    async def run(self, job: Job, result: type[_T]) -> _T:
        """Do a job in a slot that the caller holds. `result`: the type of its result.

        If this call is cancelled, it ends when the job has ended, or after a second. Raises FlowInvalid if the
        document, or the data that was given with it, can't be used, and WorkLimit.
        """
        done: JobResult = _result.decode(await self.exchange(msgspec.msgpack.encode(job)))
        if isinstance(done, Failure):
            if done.kind == "limit":
                raise WorkLimit(done.message)
            raise FlowInvalid(done.problems, done.message)
        if not isinstance(done, result):
            raise TypeError(f"{type(job).__name__} gave a {type(done).__name__}")
        return done

    async def exchange(self, job: bytes) -> bytes:
        """Let a process do a packed job, and return its packed result.

        Raises WorkLimit, and ServiceUnavailable if no process can be started.
        """
        try:
            return await self._processes.exchange(job)
        except TimeoutError:
            raise WorkLimit(
                f"this takes more than {self.seconds:g} s; make the document or the message smaller"
            ) from None
        except ProcessEnded:
            raise WorkLimit(OUT_OF_MEMORY.message) from None

    async def close(self) -> None:
        """End all processes."""
        await self._processes.close()
