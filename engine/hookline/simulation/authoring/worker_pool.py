"""The pool of the processes that do jobs for authors."""

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar, cast

import msgspec

from hookline.kernel.errors import FlowInvalid, ServiceUnavailable, WorkLimit
from hookline.simulation.authoring.jobs import (
    LENGTH,
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
_START: Final = 60.0
"""Seconds in which a process must have loaded the plugins."""
_IDLE: Final = 120.0
"""Seconds after which a process without work ends."""
_MOST_JOBS: Final = 100
"""The number of jobs after which a process ends, so that nothing grows in it."""
_GRACE: Final = 1.0
"""Seconds beyond the time limit, after which a process ends itself if its parent hasn't ended it."""
_REST: Final = 1.0
"""Seconds for which an abandoned job may go on. While an author types, the next job comes soon, and to wait for the end
of this one costs less than a new process."""
_OUT_OF_MEMORY: Final = msgspec.msgpack.encode(OUT_OF_MEMORY)
_result: Final = msgspec.msgpack.Decoder[JobResult](JobResult)


class _Worker:
    def __init__(self, process: Process, folder: str) -> None:
        self._process = process
        self._results = cast(asyncio.StreamReader, process.stdout)
        self._jobs = cast(asyncio.StreamWriter, process.stdin)
        self._folder = folder
        self.jobs = 0
        self.idle: asyncio.TimerHandle | None = None

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def read(self) -> bytes:
        """Raises IncompleteReadError if the process has ended."""
        head = await self._results.readexactly(LENGTH.size)
        return await self._results.readexactly(LENGTH.unpack(head)[0])

    async def write(self, data: bytes) -> None:
        self._jobs.write(LENGTH.pack(len(data)))
        self._jobs.write(data)
        await self._jobs.drain()

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self.idle is not None:
            self.idle.cancel()
        if self.alive:
            self._process.kill()

    async def close(self) -> None:
        """End it, and remove its files."""
        self.kill()
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


class WorkerPool:
    """Does jobs in processes, which are started when they are needed and kept for a while.

    `most`: the number of jobs at the same time. `seconds` and `memory` (bytes) limit each job. `patience`: the seconds
    for which a job may wait for its place.
    """

    def __init__(self, most: int = 2, seconds: float = 10.0, memory: int = 1 << 30, patience: float = 20.0) -> None:
        self.seconds: Final = seconds
        self._memory: Final = memory
        self._patience: Final = patience
        self._places: Final = asyncio.Semaphore(most)
        self._waiting = 0
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._starting: list[asyncio.Task[_Worker]] = []
        """Starts whose job was cancelled; the next job gets the process."""
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes."""
        return tuple(worker.process_id for worker in self._workers)

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
        """Let a process do a packed job, and return its packed result. Raises as `run`."""
        worker = await self._worker()
        work = asyncio.create_task(self._work(worker, job), name="hookline authoring")
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(WorkLimit, TimeoutError):
                await asyncio.wait_for(work, _REST)
            raise
        finally:
            # A second cancellation comes here before the work has ended.
            work.cancel()

    async def _work(self, worker: _Worker, job: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.seconds):
                await worker.write(job)
                result = await worker.read()
        except BaseException as error:
            self._end(worker)
            if isinstance(error, TimeoutError):
                raise WorkLimit(
                    f"this takes more than {self.seconds:g} s; make the document or the message smaller"
                ) from None
            if isinstance(error, asyncio.IncompleteReadError | ConnectionError):
                raise WorkLimit(OUT_OF_MEMORY.message) from None
            raise
        if result == _OUT_OF_MEMORY:
            # The data that the worker keeps may leave too little memory for the next job.
            self._end(worker)
        else:
            self._give_back(worker)
        return result

    async def close(self) -> None:
        """End all processes."""
        for start in self._starting:
            start.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        self._idle.clear()
        for worker in tuple(self._workers):
            self._end(worker)
        await asyncio.gather(*self._closing)

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.idle is not None:
                worker.idle.cancel()
            if worker.alive:
                return worker
            self._end(worker)
        if self._starting:
            start = self._starting.pop()
        else:
            start = asyncio.create_task(self._start(), name="hookline authoring")
            start.add_done_callback(self._started)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            self._starting.append(start)
            if start.done():
                self._started(start)
            raise

    def _started(self, start: asyncio.Task[_Worker]) -> None:
        """Keep the process of a start that nobody waits for."""
        if start in self._starting:
            self._starting.remove(start)
            if not start.cancelled() and start.exception() is None:
                self._keep(start.result())

    async def _start(self) -> _Worker:
        folder = tempfile.mkdtemp(prefix="hookline-authoring-")
        # A document must not see the server's own settings.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-B", "-m", MODULE, str(self.seconds + _GRACE), str(self._memory), folder),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
            )
        except OSError as error:
            await asyncio.to_thread(shutil.rmtree, folder)
            raise ServiceUnavailable(f"no process can be started: {error.strerror}", retry_after=5) from error
        worker = _Worker(process, folder)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(_START):
                await worker.read()
        except BaseException as error:
            self._end(worker)
            if isinstance(error, TimeoutError | asyncio.IncompleteReadError):
                raise ServiceUnavailable("the worker process didn't start", retry_after=5) from error
            raise
        return worker

    def _give_back(self, worker: _Worker) -> None:
        worker.jobs += 1
        if worker.jobs >= _MOST_JOBS:
            self._end(worker)
        else:
            self._keep(worker)

    def _keep(self, worker: _Worker) -> None:
        worker.idle = asyncio.get_running_loop().call_later(_IDLE, self._retire, worker)
        self._idle.append(worker)

    def _retire(self, worker: _Worker) -> None:
        self._idle.remove(worker)
        self._end(worker)

    def _end(self, worker: _Worker) -> None:
        """End a process now, and remove its files in the background."""
        worker.kill()
        self._workers.discard(worker)
        task = asyncio.get_running_loop().create_task(worker.close(), name="hookline authoring")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
