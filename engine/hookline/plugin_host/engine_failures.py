"""Errors whose cause is the engine's own: its store fails, or the process or the machine lacks descriptors or memory.

Such an error comes up in the middle of any step, and says nothing about the step.
"""

import errno
import os
from collections.abc import Iterator
from typing import Final

from hookline.kernel.errors import BlobGone, StoreError

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MOST: Final = 100
"""Errors of a chain that are looked at."""


def is_engine_failure(error: BaseException) -> bool:
    """Return True if an error is a failure of the engine, which passes without any change of the flow.

    That is a failure of its store, and every error that comes from a lack of descriptors or memory.
    """
    if isinstance(error, StoreError):
        return not isinstance(error, BlobGone)
    if any(isinstance(one, OSError) and one.errno in _EXHAUSTED for one in _chain(error)):
        return True
    # Libraries report the lack of a descriptor in words of their own.
    return not isinstance(error, BlobGone) and _lacks_descriptors()


def _lacks_descriptors() -> bool:
    try:
        reading, writing = os.pipe()
    except OSError as error:
        return error.errno in _EXHAUSTED
    os.close(reading)
    os.close(writing)
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, those that caused it, and those that it holds."""
    left, seen = [error], set[int]()
    while left and len(seen) < _MOST:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        # The errors of aiohttp and of SQLAlchemy hold the system's.
        held = (getattr(one, "os_error", None), getattr(one, "orig", None))
        left += [also for also in (one.__cause__, one.__context__, *inner, *held) if isinstance(also, BaseException)]
