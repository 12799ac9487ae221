"""The tuning of Python's garbage collector for a server."""

import gc
from typing import Final

#: The thresholds of the generations. Messages are freed by reference counts; with the default thresholds the collector
#: would run several times a millisecond.
_THRESHOLDS: Final = (10_000, 20, 20)

LATER: Final = 10.0
"""Seconds from the start until `settle` is called. By then, the tasks that the start began have created their objects:
each flow waits for deliveries, and connections are open."""


def pause() -> None:
    """Collect nothing while a server starts: its objects stay, and collections would take a third of the time."""
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
