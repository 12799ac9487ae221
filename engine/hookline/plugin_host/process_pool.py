"""A pool of processes that do jobs which may take too long or too much memory, or hold the interpreter's lock.

A process is a module with a `main` that calls `serve`. Jobs and their results are bytes, each sent after its length.
"""

import asyncio
import atexit
import gc
import os
import resource
import shutil
import struct
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, Final, cast

from hookline.kernel.errors import ServiceUnavailable

_LENGTH: Final = struct.Struct(">I")
_START: Final = 60.0
"""Seconds in which a process must be ready."""
_IDLE: Final = 120.0
"""Seconds after which a process without work ends."""
_MOST_JOBS: Final = 100
"""The number of jobs after which a process ends by default, so that nothing grows in it."""
_REST: Final = 1.0
"""Seconds for which an abandoned job may go on. While an author types, the next job comes soon, and to wait for the end
of this one costs less than a new process."""
_NICE: Final = 5


class ProcessEnded(Exception):
    """The process ended before its job. `code`: its exit code, or the negative number of the signal."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the process ended with {code}")
        self.code = code


class PoolClosed(ServiceUnavailable):
    """The pool was closed: it does no more jobs."""

    def __init__(self) -> None:
        super().__init__("the server is stopping", retry_after=5)


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

    async def exchange(self, job: bytes) -> bytes:
        """Return the result of a job. Raises ProcessEnded."""
        try:
            self._jobs.write(_LENGTH.pack(len(job)))
            self._jobs.write(job)
            await self._jobs.drain()
            return await self.read()
        except ConnectionError:
            raise ProcessEnded(await self._process.wait()) from None

    async def read(self) -> bytes:
        """Return the next message of the process. Raises ProcessEnded."""
        try:
            head = await self._results.readexactly(_LENGTH.size)
            return await self._results.readexactly(_LENGTH.unpack(head)[0])
        except asyncio.IncompleteReadError:
            raise ProcessEnded(await self._process.wait()) from None

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


class ProcessPool:
    """Does jobs in processes, which are started when they are needed and kept for a while.

    It doesn't limit their number: its caller limits the jobs in progress. The last argument of the module is the folder
    for temporary files.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        name: str,
        seconds: float,
        most_jobs: int = _MOST_JOBS,
        last_result: bytes | None = None,
    ) -> None:
        """`seconds`: the time limit of a job. `most_jobs`: after so many, a process ends. `last_result`: a result
        after which it ends as well."""
        self._command: Final = ("-P", "-B", "-m", module, *arguments)
        self._name: Final = name
        self._seconds: Final = seconds
        self._most_jobs: Final = most_jobs
        self._last_result: Final = last_result
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._starts: set[asyncio.Task[_Worker]] = set()
        self._starting: list[asyncio.Task[_Worker]] = []
        """Starts whose job was cancelled; the next job gets the process."""
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes."""
        return tuple(worker.process_id for worker in self._workers)

    async def exchange(self, job: bytes) -> bytes:
        """Let a process do a job, and return its result.

        If this call is cancelled, it ends when the job has ended, or after a second. Raises ProcessEnded, TimeoutError
        after the limit, and ServiceUnavailable if no process can be started.
        """
        worker = await self._worker()
        work = asyncio.create_task(self._work(worker, job), name=self._name)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(ProcessEnded, TimeoutError):
                await asyncio.wait_for(work, _REST)
            raise
        finally:
            # A second cancellation comes here before the work has ended.
            work.cancel()

    async def _work(self, worker: _Worker, job: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                result = await worker.exchange(job)
        except BaseException:
            self._end(worker)
            raise
        worker.jobs += 1
        if worker.jobs >= self._most_jobs or result == self._last_result:
            self._end(worker)
        else:
            self._keep(worker)
        return result

    async def close(self) -> None:
        """End all processes. Jobs in progress raise ProcessEnded, and later ones PoolClosed."""
        self._closed = True
        for start in self._starts:
            start.cancel()
        await asyncio.gather(*self._starts, return_exceptions=True)
        self._idle.clear()
        for worker in tuple(self._workers):
            self._end(worker)
        await asyncio.gather(*self._closing)

    async def _worker(self) -> _Worker:
        if self._closed:
            raise PoolClosed
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
            start = asyncio.create_task(self._start(), name=self._name)
            self._starts.add(start)
            start.add_done_callback(self._started)
        try:
            return await asyncio.shield(start)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if start.cancelled() and task is not None and not task.cancelling():
                raise PoolClosed from None
            self._starting.append(start)
            if start.done():
                self._started(start)
            raise

    def _started(self, start: asyncio.Task[_Worker]) -> None:
        """Keep the process of a start that nobody waits for."""
        self._starts.discard(start)
        if start in self._starting:
            self._starting.remove(start)
            if not start.cancelled() and start.exception() is None:
                self._keep(start.result())

    async def _start(self) -> _Worker:
        # Expressions and plugins that run there must not see the server's own settings.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        folder: str | None = None
        try:
            folder = tempfile.mkdtemp(prefix=f"{self._name.replace(' ', '-')}-")
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._command,
                folder,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env=environment,
            )
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise ServiceUnavailable(f"no process can be started: {error.strerror}", retry_after=5) from error
            raise
        worker = _Worker(process, folder)
        self._workers.add(worker)
        try:
            async with asyncio.timeout(_START):
                await worker.read()
        except BaseException as error:
            self._end(worker)
            if isinstance(error, TimeoutError | ProcessEnded):
                raise ServiceUnavailable("the worker process didn't start", retry_after=5) from error
            raise
        return worker

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
        task = asyncio.get_running_loop().create_task(worker.close(), name=self._name)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def prepare_process(folder: str) -> BinaryIO:
    """Prepare the process that runs this for jobs; return the stream of its results.

    What code prints doesn't mix with them. `folder`: the place of temporary files; it is removed when the process ends
    because its parent is gone.
    """
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = folder
    return results


def limit_memory(most: int) -> None:
    """Let this process use so many bytes of memory. What it has loaded is never collected as garbage."""
    gc.freeze()
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def serve(results: BinaryIO, work: Callable[[bytes], bytes]) -> None:
    """Do the jobs that come in one after the other until there are no more."""
    jobs = sys.stdin.buffer
    # The parent waits for this: the process is ready.
    _write(results, b"")
    while len(head := jobs.read(_LENGTH.size)) == _LENGTH.size:
        job = jobs.read(_LENGTH.unpack(head)[0])
        result = work(job)
        _write(results, result)
        del job, result
        gc.collect()


def _write(results: BinaryIO, data: bytes) -> None:
    results.write(_LENGTH.pack(len(data)) + data)
    results.flush()
