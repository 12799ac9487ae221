"""The parent of a server of several processes: it holds the sockets, starts the workers and sees to them.

It accepts nothing, and imports nothing that serves. A connection that comes while a worker is being replaced waits in
the socket, or is accepted by another worker.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from hookline.cli.host.worker_process import END, STOPS, Assignment, Ready, line
from hookline.kernel.backoff import Backoff
from hookline.kernel.logs import Log
from hookline.server_settings import Settings
from hookline.service.server.fair_acceptor import SharedCounts

_BACKOFF: Final = Backoff(timedelta(seconds=0.5), timedelta(seconds=30))
_STEADY: Final = 10.0
"""Seconds after which the death of a worker is the first one in a row."""
_AT_ONCE: Final = 10.0
"""Seconds after a second signal, after which a worker that still runs is killed."""
_WRONGLY_USED: Final = 2
"""The exit code of a worker that can't start until an operator has changed something, such as the release."""
_LONGEST_FOLDER: Final = 80
"""Characters of a path, which has room for a socket then: its own path may have 104."""

Serving = Callable[[Ready, Sequence[int]], AbstractContextManager[None]]
"""Makes the context in which all workers serve, from the answer of the first one and the pids of all."""


class WorkerFailed(Exception):
    """A worker ended before it was ready."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    command: Callable[[int], Sequence[str]],
    serving: Serving,
) -> int:
    """Run the workers until a signal, and return the exit code.

    `command` makes the command line of a worker from the descriptor of its control socket.
    """
    with contextlib.ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(sock)
        counts = SharedCounts.create(settings.workers, len(sockets))
        stack.callback(os.close, counts)
        folder = _private_folder()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return asyncio.run(_Parent(settings, sockets, counts, folder, command).run(serving))


def _private_folder() -> str:
    folder = tempfile.mkdtemp(prefix="hookline-")
    if len(folder) <= _LONGEST_FOLDER:
        return folder
    Path(folder).rmdir()
    return tempfile.mkdtemp(prefix="hookline-", dir="/tmp")


class _Process:
    """A process of a worker."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket, began: float) -> None:
        self.pid = process.pid
        self.began = began
        self.is_ready = False
        self._process = process
        self._control = control

    @property
    def serves(self) -> bool:
        """True while the worker runs and is ready."""
        return self.is_ready and self._process.returncode is None

    async def ready(self) -> Ready:
        """Wait until the worker is ready. Raises WorkerFailed."""
        saying = asyncio.ensure_future(self._said())
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait((saying, ended), return_when=asyncio.FIRST_COMPLETED)
            said = saying.result() if saying.done() else b""
        finally:
            saying.cancel()
        if not said.endswith(END):
            raise WorkerFailed(await ended)
        self.is_ready = True
        return msgspec.json.decode(said, type=Ready)

    async def _said(self) -> bytes:
        """Return the answer of the worker, without its end if the worker has ended."""
        said = b""
        # A process that ended without reading everything resets its socket.
        with contextlib.suppress(ConnectionResetError):
            while not said.endswith(END):
                part = await asyncio.get_running_loop().sock_recv(self._control, 4096)
                if not part:
                    break
                said += part
        return said

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        code = await self._process.wait()
        self._control.close()
        return code

    def pass_on(self, number: signal.Signals) -> None:
        """Pass a signal on."""
        with contextlib.suppress(OSError):
            self._control.send(bytes((number,)))
        if not self.is_ready and number in STOPS:
            # It listens to nobody yet, and has nothing to finish.
            self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class _Parent:
    """The workers of a server."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        counts: int,
        folder: str,
        command: Callable[[int], Sequence[str]],
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._counts_descriptor = counts
        self._counts = SharedCounts(counts, settings.workers, len(sockets))
        self._folder = folder
        self._command = command
        self._log: Log = structlog.get_logger("hookline")
        self._running: dict[int, _Process] = {}
        """By the number of the worker."""
        self._stopping = asyncio.Event()
        self._at_once = False
        self._code = 0

    async def run(self, serving: Serving) -> int:
        """Run the workers until a signal, and return the exit code."""
        loop = asyncio.get_running_loop()
        for one in STOPS:
            loop.add_signal_handler(one, self._stop, one)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        try:
            # The first one alone: it sets up an empty database, and its error is the error of all.
            ready = await self._start(1)
            await asyncio.gather(*(self._start(number) for number in range(2, self._settings.workers + 1)))
        except WorkerFailed as failed:
            return await self._give_up(failed.code)
        with serving(ready, [process.pid for _, process in sorted(self._running.items())]):
            async with asyncio.TaskGroup() as tasks:
                for number in tuple(self._running):
                    tasks.create_task(self._keep(number))
        return self._code or int(self._at_once)

    async def _start(self, number: int) -> Ready:
        """Start a worker, and wait until it is ready. Raises WorkerFailed."""
        await self._spawn(number)
        return await self._running[number].ready()

    async def _spawn(self, number: int) -> None:
        if self._stopping.is_set():
            raise WorkerFailed(0)
        descriptors = tuple(sock.fileno() for sock in self._sockets)
        control, its = socket.socketpair()
        control.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(its.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(its.fileno(), self._counts_descriptor, *descriptors),
            )
        except BaseException:
            control.close()
            raise
        finally:
            its.close()
        assignment = Assignment(number, self._settings.workers, descriptors, self._counts_descriptor, self._folder)
        control.send(line(assignment))
        self._running[number] = _Process(process, control, _now())
        if self._stopping.is_set():
            self._running[number].pass_on(signal.SIGTERM)

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it has ended, until the server stops."""
        failures = 0
        while True:
            process = self._running[number]
            code = await process.ended()
            self._counts.forget(number - 1)
            if self._stopping.is_set():
                # One that was still starting has been ended by the signal.
                if process.is_ready and code != 0:
                    self._code = self._code or 1
                return
            if code == _WRONGLY_USED and not any(process.serves for process in self._running.values()):
                # Nothing listens, and a connection would wait until somebody looks. A supervisor sees the end.
                self._log.error("no worker can be started; stopping", code=code)
                self._code = code
                self._stop(signal.SIGTERM)
                return
            if _now() >= process.began + _STEADY:
                failures = 0
            wait = _BACKOFF.wait(failures).total_seconds() if failures else 0.0
            name = self._settings.node(number)
            self._log.error("a worker ended; starting it again", node=name, pid=process.pid, code=code, wait=wait)
            while True:
                if await self._stops_within(wait):
                    return
                failures += 1
                if await self._started_again(number):
                    break
                wait = _BACKOFF.wait(failures).total_seconds()

    async def _started_again(self, number: int) -> bool:
        """Start a worker again. Return False if the system can't; True also if the worker has ended at once."""
        try:
            await self._start(number)
        except WorkerFailed:
            return True
        except OSError as error:
            self._log.error(
                "a worker can't be started; trying again", node=self._settings.node(number), error=str(error)
            )
            return False
        return True

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _give_up(self, code: int) -> int:
        """End all workers after one has ended before it was ready, and return the exit code."""
        asked = self._stopping.is_set()
        if not asked:
            # It has printed why, unless a signal has ended it.
            if code < 0:
                self._log.error("a worker was ended by a signal before it was ready", signal=-code)
            self._stop(signal.SIGTERM)
        await asyncio.gather(*(process.ended() for process in self._running.values()))
        return int(self._at_once) if asked else max(code, 1)

    def _stop(self, number: signal.Signals) -> None:
        """Stop all workers: in order the first time, and at once the second time."""
        if not self._stopping.is_set():
            self._log.info("stopping", signal=number.name)
            self._stopping.set()
            # The address is free when the last worker has closed its socket.
            for sock in self._sockets:
                sock.close()
        else:
            self._log.warning("stopping at once", signal=number.name)
            self._at_once = True
            asyncio.get_running_loop().call_later(_AT_ONCE, self._kill)
        self._pass_on(number)

    def _pass_on(self, number: signal.Signals) -> None:
        for process in self._running.values():
            process.pass_on(number)

    def _kill(self) -> None:
        for process in self._running.values():
            process.send(signal.SIGKILL)


def _now() -> float:
    return asyncio.get_running_loop().time()
