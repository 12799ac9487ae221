"""Processor-heavy work on large messages, which runs in a thread instead of the event loop."""

import asyncio
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any, Final, TypeVar

from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import ExpressionError
from hookline.kernel.json import is_large
from hookline.kernel.unwaited_threads import Threads
from hookline.sdk.mappers import Reference, Scope

T = TypeVar("T")


def reads_large_values(references: Iterable[Reference], scope: Scope) -> bool:
    """Return True if an expression reads a value that is so large that evaluating it takes milliseconds.

    Reading one item of a long list doesn't count.
    """
    for reference in references:
        value: Any = scope
        try:
            for key in reference.path:
                value = value[key]
        except (LookupError, TypeError, ExpressionError):
            # The value is missing. The evaluation raises the error.
            continue
        if value is scope or is_large(value):
            return True
    return False


class Offloader:
    """Runs work in a thread, so that other messages are processed meanwhile.

    It runs one piece of work at a time: because of the interpreter lock, running several in parallel would take just as
    long and use more memory. The thread is its own, so that no other work delays it, and a stop doesn't wait for it.
    """

    def __init__(self) -> None:
        self._turn: Final = asyncio.Semaphore(1)
        self._threads: Final = Threads(1, "hookline offload")

    async def run(self, work: Callable[[], T], *, large: bool) -> T:
        """Run the work and return its result; work that isn't large runs at once.

        The work must not read anything that may change meanwhile.
        """
        if not large:
            return work()
        async with self._turn:
            # A thread can't be cancelled, so the next work waits until it has ended.
            return await shielded(self._in_thread(work))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, work)
