"""Calls with a time limit, for functions that may never return. Each call runs in a thread of its own."""

import linecache
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimeLimitExceeded(Exception):
    """The function did not return in time. The message names the line that it was executing."""


class KeyboardInterruptRaised(Exception):
    """The function raised KeyboardInterrupt by itself. No key was pressed."""


class _Call(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.result: T | None = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised again, where it is waited for
            self.error = error


def call_with_time_limit(work: Callable[[], T], seconds: float) -> T:
    """Call the function and return its result.

    Raises the function's own exceptions, with one change: KeyboardInterrupt becomes KeyboardInterruptRaised, because a
    real one is raised in the main thread. Raises TimeLimitExceeded if the function takes longer. Its thread is then
    abandoned: it can't be stopped from outside, and it is a daemon thread, so the process doesn't wait for it.
    """
    call = _Call(work)
    thread = threading.Thread(target=call, name="hookline time limit", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        raise TimeLimitExceeded(f"it took longer than {seconds:g} s{_place(thread.ident)}")
    if isinstance(call.error, KeyboardInterrupt):
        raise KeyboardInterruptRaised("it raised KeyboardInterrupt, which is reserved for Ctrl+C") from call.error
    if call.error is not None:
        raise call.error
    return call.result  # type: ignore[return-value]  # the function has returned, so None is its result


def _place(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    # Frames of the import system aren't files.
    while frame is not None and frame.f_code.co_filename.startswith("<"):
        frame = frame.f_back
    if frame is None:
        return ""
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"; it was at {name}, line {number}: {linecache.getline(name, number).strip()}"
