"""Pools of threads that a stop doesn't wait for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Thread
from typing import Any, Final, TypeVar

T = TypeVar("T")

_IDLE: Final = 10.0
"""The seconds after which a thread without work ends."""


class Threads(ThreadPoolExecutor):
    """A pool of daemon threads, which begin when they are needed and end when they have been idle for a while.

    Python waits at its exit for the threads of a `ThreadPoolExecutor`, and a thread can't be ended, so one that hangs
    would keep the process. Only the interface is inherited: an event loop accepts no other default executor.
    """

    def __init__(self, most: int, name: str) -> None:
        super().__init__(most, name)
        self._name: Final = name
        self._most: Final = most
        self._changed: Final = Condition()
        self._tasks: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._running = 0
        self._waiting = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """True if no thread runs and no work waits."""
        with self._changed:
            return not self._running and not self._tasks

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the work in a thread, as soon as one is free.

        Raises RuntimeError after `shutdown`, and if the system has no more threads.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the threads {self._name!r} are closed")
            if self._waiting <= len(self._tasks) and self._running < self._most:
                Thread(target=self._serve, name=self._name, daemon=True).start()
                self._running += 1
            else:
                self._changed.notify()
            self._tasks.append((future, lambda: work(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work. It never waits, whatever is asked for; work that has begun continues."""
        with self._changed:
            self._closed = True
            dropped = list(self._tasks) if cancel_futures else []
            if cancel_futures:
                self._tasks.clear()
            self._changed.notify_all()
        for future, _ in dropped:
            future.cancel()

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            _run(*task)
            # An idle thread keeps nothing alive.
            del task

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: bool(self._tasks) or self._closed, _IDLE)
            self._waiting -= 1
            if self._tasks:
                return self._tasks.popleft()
            self._running -= 1
            return None


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - the caller gets it, as from any executor
        future.set_exception(error)
    else:
        future.set_result(result)
