"""Calling what may never return: in a thread, for a bounded time."""

import linecache
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TooLong(Exception):
    """It didn't return within its time; the message has the place at which it was."""


class NoKeyboard(Exception):
    """The work raised what only a keyboard should."""


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


def bounded(work: Callable[[], T], seconds: float) -> T:
    """What the work gives. Raises what it raises, but NoKeyboard for a KeyboardInterrupt: one that is real comes to the
    main thread, and is raised as it is.

    Raises TooLong where it takes longer. Its thread is abandoned then: nothing can end it from outside, and the process
    doesn't wait for it.
    """
    call = _Call(work)
    thread = threading.Thread(target=call, name="hookline bounded", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        raise TooLong(f"it took longer than {seconds:g} s{_place(thread.ident)}")
    if isinstance(call.error, KeyboardInterrupt):
        raise NoKeyboard("it raised KeyboardInterrupt, which is for keyboards") from call.error
    if call.error is not None:
        raise call.error
    return call.result  # type: ignore[return-value]  # the work has returned, and None is what it gave


def _place(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    # Frames of the import system aren't files.
    while frame is not None and frame.f_code.co_filename.startswith("<"):
        frame = frame.f_back
    if frame is None:
        return ""
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"; it was at {name}, line {number}: {linecache.getline(name, number).strip()}"
