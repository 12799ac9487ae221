"""The pool of the processes that do jobs for authors."""

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, cast

import msgspec

from hookline.kernel.errors import FlowInvalid, ServiceUnavailable, WorkLimit
from hookline.simulation.authoring.jobs import (
    LENGTH,
    BacktestResult,
    CaseMade,
    CheckResult,
    EvaluateResult,
    Failure,
    Job,
    Result,
    TryResult,
)

_T = TypeVar("_T", CheckResult, EvaluateResult, TryResult, BacktestResult, CaseMade)
MODULE: Final = "hookline.simulation.authoring.worker"

_START: Final = 60.0
"""Seconds in which a process must have loaded the plugins."""
_IDLE: Final = 120.0
"""Seconds after which a process without work ends."""
_MOST_JOBS: Final = 100
"""The number of jobs after which a process ends, so that nothing grows in it."""
_GRACE: Final = 1.0
"""Seconds after the limit at which a process ends itself, if its parent hasn't ended it."""
_result: Final = msgspec.msgpack.Decoder[Result](Result)


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

    `most`: the number of jobs at the same time. `seconds` and `memory` (bytes) limit each job.
    """

    def __init__(self, most: int = 2, seconds: float = 10.0, memory: int = 1 << 30) -> None:
        self.seconds: Final = seconds
        self._most: Final = most
        self._memory: Final = memory
        self._busy = 0
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes."""
        return tuple(worker.process_id for worker in self._workers)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places for work. Raises ServiceUnavailable if there is none left."""
        if self._busy >= self._most:
            raise ServiceUnavailable(
                f"{self._busy} requests of authors are in progress, which is the limit; try again soon",
                retry_after=1,
            )
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def run(self, job: Job, result: type[_T]) -> _T:
        """Do a job in a slot that the caller holds. `result`: the type of its result.

        If this call is cancelled, the job ends at once. Raises FlowInvalid if the document, or the data that was given
        with it, can't be used, and WorkLimit.
        """
        done: Result = _result.decode(await self.exchange(msgspec.msgpack.encode(job)))
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
                raise WorkLimit("this needs more memory than it may use") from None
            raise
        self._give_back(worker)
        return result

    async def close(self) -> None:
        """End all processes."""
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
        return await self._start()

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
                raise ServiceUnavailable("the process for authors doesn't start", retry_after=5) from error
            raise
        return worker

    def _give_back(self, worker: _Worker) -> None:
        worker.jobs += 1
        if worker.jobs >= _MOST_JOBS:
            self._end(worker)
            return
        worker.idle = asyncio.get_running_loop().call_later(_IDLE, self._retire, worker)
        self._idle.append(worker)

    def _retire(self, worker: _Worker) -> None:
        self._idle.remove(worker)
        self._end(worker)

    def _end(self, worker: _Worker) -> None:
        """End a process now, and remove what is left of it meanwhile."""
        worker.kill()
        self._workers.discard(worker)
        task = asyncio.get_running_loop().create_task(worker.close(), name="hookline authoring")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
