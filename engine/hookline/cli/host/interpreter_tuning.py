"""The tuning of Python's interpreter for a server: its collections of garbage, and the turns of its threads."""

import gc
import sys
from typing import Final

#: The thresholds of the generations. Messages are freed by reference counts; with the default thresholds the collector
#: would run several times a millisecond.
_THRESHOLDS: Final = (10_000, 20, 20)

#: Seconds after which a thread that runs Python gives way to one that waits. A commit passes through several threads,
#: so with Python's own 5 ms it would take 200 ms and more while the event loop works on one large message.
_SWITCH_INTERVAL: Final = 0.001

LATER: Final = 10.0
"""Seconds from the start until `settle` is called. By then, the tasks that the start began have created their objects:
each flow waits for deliveries, and connections are open."""


def begin() -> None:
    """Let threads that wait for the interpreter run soon, and collect nothing until `settle`.

    The objects that a server creates while it starts stay, and collections would take a third of the time.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL)
    gc.disable()


def settle() -> None:
    """Exclude all objects that exist now from later collections: modules, plugins and flows stay until the end.

    A collection of them stops the event loop for about 100 ms, which the slowest requests would wait for. Messages that
    are on their way at that moment are freed as always, by their reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
