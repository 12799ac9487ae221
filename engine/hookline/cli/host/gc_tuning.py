"""Python's garbage collector, set for a server."""

import gc
from typing import Final

#: Objects made, and younger collections run, before each generation is looked through. Messages come and go by
#: reference counts; the collector's defaults would look through them several times a millisecond.
_THRESHOLDS: Final = (10_000, 20, 20)


def pause() -> None:
    """Collect nothing while a server starts: what it makes then stays; looking through it takes a third of the time."""
    gc.disable()


def settle() -> None:
    """Leave what is loaded by now out of every later collection: modules, plugins and flows stay until the end.

    Looking through them stops the event loop for about 100 ms each time, which is what the slowest requests wait for.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
