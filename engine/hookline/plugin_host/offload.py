"""Work in Python that goes through a whole message: done in a thread where the message is large."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import ExpressionError
from hookline.kernel.json import is_large
from hookline.sdk.mappers import Reference, Scope

T = TypeVar("T")


def reads_large_values(references: Iterable[Reference], scope: Scope) -> bool:
    """Whether any of what an expression reads has so many values that going through them takes milliseconds.

    One that reads an item of a list doesn't, however long the list is.
    """
    for reference in references:
        value: Any = scope
        try:
            for key in reference.path:
                value = value[key]
        except (LookupError, TypeError, ExpressionError):
            # It isn't there, and evaluating says so.
            continue
        if value is scope or is_large(value):
            return True
    return False


class Offloader:
    """Does such work beside the event loop, so that other messages go on meanwhile.

    One at a time: to do it side by side would take no less time, since Python runs in one thread at once, and more
    memory.
    """

    def __init__(self) -> None:
        self._turn: Final = asyncio.Semaphore(1)

    async def run(self, work: Callable[[], T], *, large: bool) -> T:
        """What the work gives; what isn't large is done at once. It must read nothing that changes meanwhile."""
        if not large:
            return work()
        async with self._turn:
            # A thread can't be cancelled: the turn is over once it has ended.
            return await shielded(asyncio.to_thread(work))
