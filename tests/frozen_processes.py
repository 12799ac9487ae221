"""Processes that stand still for a while: they take connections and answer nothing."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence

import psutil

_PATIENCE = 10.0
_STILL = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}


@contextlib.contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """All threads of some processes are stopped before the body begins, and continue after it."""
    _signal(processes, signal.SIGSTOP)
    try:
        end = time.monotonic() + _PATIENCE
        # A busy system stops a process some milliseconds after the signal was sent. Until then, it may still answer.
        while not all(map(_stands_still, processes)):
            assert time.monotonic() < end, f"not stopped: {processes}"
            time.sleep(0.001)
        yield
    finally:
        _signal(processes, signal.SIGCONT)


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _stands_still(process: psutil.Process) -> bool:
    """Return true also if it has ended."""
    try:
        return all(psutil.Process(thread.id).status() in _STILL for thread in process.threads())
    except psutil.NoSuchProcess:
        return not process.is_running()
