"""`hookline serve` in a process that has already imported what it needs: it starts in a fifth of the time."""

import atexit
import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from hookline.cli.main import main
from hookline.kernel.fault_points import TRACE_VARIABLE, VARIABLE, Fault, Trace, fault
from hookline_sqlstore.databases import table_versions
from tests.acceptance.server_process import ServerProcess

EVERY_KILL = bool(os.environ.get("HOOKLINE_TEST_EVERY_KILL"))
"""Kill at each moment, which takes some minutes, and not at a part of them."""

OPEN_FILES = "HOOKLINE_TEST_OPEN_FILES"
"""The variable with the most files that a server may open."""

MIGRATIONS = "HOOKLINE_TEST_MIGRATIONS"
"""The variable with a folder of migrations that a server has instead of its own, as a later release has."""

#: What a server imports late, besides plugins.
_LATE = (
    "hookline.cli.host.serve",
    "hookline.cli.host.server_process",
    "hookline.service.server.hypercorn_server",
    "uvloop",
)


class ForkedServer(ServerProcess):
    """A server whose faults can be armed while it runs."""

    _control: "Connection[tuple[str, str], None]"

    def launch(self) -> None:
        options = ("--port", str(self.port), *self._options)
        process, self._control = launch(self.folder, self.environment(), options)
        self._process = process  # type: ignore[assignment]  # as much of one as is needed

    def set_fault(self, spec: str) -> None:
        """Let it die at a point, as `HOOKLINE_FAULT` says it, of those that it passes from now on."""
        self._tell("fault", spec)

    def trace(self, path: Path) -> None:
        """Let it write down the points that it passes from now on."""
        self._tell("trace", str(path))

    def _tell(self, name: str, value: str) -> None:
        self._control.send((name, value))
        assert self._control.poll(30), "the server doesn't hear"
        self._control.recv()


class ForkedProcess:
    """A process of multiprocessing, as `subprocess` has them."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"process {self.pid} still runs after {timeout:g} s"
        return code

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def launch(
    home: Path, environment: Mapping[str, str], options: Sequence[str], out: str = "server.log", log: str = "server.log"
) -> "tuple[ForkedProcess, Connection[tuple[str, str], None]]":
    """Start `hookline serve` in a folder, where it writes what it prints to `out` and its log to `log`.

    Returns the process, and the connection by which its faults are armed.
    """
    mine, theirs = multiprocessing.Pipe()
    process = _context().Process(
        target=_serve, args=(str(home), dict(environment), ("serve", *options), theirs, out, log)
    )
    process.start()
    theirs.close()
    return ForkedProcess(process), mine


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *_LATE, *(one.module for one in entry_points(group="hookline"))])
    return context


def _serve(
    home: str,
    environment: Mapping[str, str],
    options: tuple[str, ...],
    control: "Connection[None, tuple[str, str]]",
    out: str,
    log: str,
) -> None:
    os.chdir(home)
    os.environ.clear()
    os.environ.update(environment)
    # Python reads this only when it starts.
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, name in ((sys.stdout, out), (sys.stderr, log)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT), stream.fileno())
    if files := environment.get(OPEN_FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    if folder := environment.get(MIGRATIONS):
        table_versions._MIGRATIONS = Path(folder)  # type: ignore[misc]  # it is final elsewhere
    # The module of faults read its variables when it was imported, which was in the process that this one came from.
    for name, variable, made in (("armed", VARIABLE, Fault), ("trace", TRACE_VARIABLE, Trace)):
        if environment.get(variable):
            _set(name, made(environment[variable]))
    Thread(target=_listen, args=(control,), daemon=True).start()
    try:
        main(options)
    finally:
        # Processes of multiprocessing leave this out, and the log is written then.
        atexit._run_exitfuncs()


def _set(name: str, value: Fault | Trace) -> None:
    assert fault.__kwdefaults__ is not None
    fault.__kwdefaults__[name] = value


def _listen(control: "Connection[None, tuple[str, str]]") -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, value = control.recv()
            if name == "fault":
                _set("armed", Fault(value))
            else:
                _set("trace", Trace(value))
            control.send(None)
