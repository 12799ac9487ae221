"""Named points at which a test can kill the process, to see that nothing durable is lost there.

`HOOKLINE_FAULT=<point>[:n]` sends SIGKILL to the process at its n-th passing of the point (the first, where n is left
out). A commit that carries changes of several kinds passes the points of each.

`HOOKLINE_FAULT_TRACE=<file>` writes down which points are passed: a line for each passing, of those passed together.

| point | just before, or just after, the commit of |
| --- | --- |
| `accept.before_commit`, `accept.after_commit` | an accepted message |
| `start.before_commit`, `start.after_commit` | the start of an execution |
| `resume.before_commit`, `resume.after_commit` | its going on after a wait |
| `record.before_commit`, `record.after_commit` | entries of its journal |
| `proceed.before_commit`, `proceed.after_commit` | items of a foreach that are done, and not kept one by one |
| `conclude.before_commit`, `conclude.after_commit` | the end of such a foreach |
| `park.before_commit`, `park.after_commit` | its going to wait |
| `unblock.before_commit`, `unblock.after_commit` | the end of what blocked a flow's executions |
| `end.before_commit`, `end.after_commit` | its end |
| `reopen.before_commit`, `reopen.after_commit` | an operator's retry |
| `discard.before_commit`, `discard.after_commit` | an operator's word that a failure needs no more care |
| `replay.before_commit`, `replay.after_commit` | an execution that does another again |
| `hold.before_commit`, `hold.after_commit` | its going into the line of its order key |
| `advance.before_commit`, `advance.after_commit` | the end of one that runs in order, with which the next may run |
| `release.before_commit`, `release.after_commit` | a failed one's giving its order key back |
| `await.before_commit`, `await.after_commit` | a step that begins to wait for a callback |
| `callback.before_commit`, `callback.after_commit` | a callback, or the end of the time for one |
| `settle.before_commit`, `settle.after_commit` | the end of a step's wait |
| `join.before_commit`, `join.after_commit` | an execution's coming to a step that gathers |
| `close.before_commit`, `close.after_commit` | the end of the time in which others may join its batch |
| `take.before_commit`, `take.after_commit` | its going on with what was gathered |
| `cancel.before_commit`, `cancel.after_commit` | an operator's wish to cancel an execution |
| `state.before_commit`, `state.after_commit` | what a flow keeps |
| `rebind.before_commit`, `rebind.after_commit` | an execution's move to another version of its flow |
| `override.before_commit`, `override.after_commit` | what an operator decides a flow's state to be |
| `cursor.before_commit`, `cursor.after_commit` | how far a trigger has got |
| `subscription.before_commit`, `subscription.after_commit` | what is known of a subscription with a provider |
| `publish.before_commit`, `publish.after_commit` | a version of a flow |
| `credential.before_commit`, `credential.after_commit` | a credential made, replaced or removed, or its tokens |
| `purge.before_commit`, `purge.after_commit` | what has been kept long enough |
| `blob.before_commit`, `blob.after_commit` | a file in the blob store |
"""

import os
import signal
from collections.abc import Sequence
from threading import Lock
from typing import Final

from hookline.kernel.errors import ConfigError

VARIABLE: Final = "HOOKLINE_FAULT"
TRACE_VARIABLE: Final = "HOOKLINE_FAULT_TRACE"

POINTS: Final = frozenset(
    f"{kind}.{side}_commit"
    for kind in (
        "accept",
        "start",
        "resume",
        "record",
        "proceed",
        "conclude",
        "park",
        "unblock",
        "end",
        "reopen",
        "discard",
        "replay",
        "hold",
        "advance",
        "release",
        "await",
        "callback",
        "settle",
        "join",
        "close",
        "take",
        "cancel",
        "state",
        "rebind",
        "override",
        "cursor",
        "subscription",
        "publish",
        "credential",
        "purge",
        "blob",
    )
    for side in ("before", "after")
)


class Fault:
    """A point and how many more times it may be passed."""

    def __init__(self, spec: str) -> None:
        """Raise ConfigError where `spec` is not `<point>[:n]`."""
        self.point, _, count = spec.partition(":")
        if self.point not in POINTS:
            raise ConfigError(f"{VARIABLE}: there is no point {self.point!r}; there are {', '.join(sorted(POINTS))}")
        if count and not (count.isdecimal() and int(count) > 0):
            raise ConfigError(f"{VARIABLE}: {count!r} is not a number above 0; write {self.point}:1")
        self._left = int(count or 1)
        self._lock = Lock()

    def passed(self, point: str) -> bool:
        """Count a passing; true where the process is to die of it."""
        if point != self.point:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0


class Trace:
    """A file that is told which points are passed; what it was told outlives the process."""

    def __init__(self, path: str) -> None:
        """Raise ConfigError where the file can't be written."""
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{TRACE_VARIABLE}: {path} can't be written: {error.strerror}") from error

    def note(self, points: Sequence[str]) -> None:
        """Write down points that are passed together, as far as one can die there."""
        known = sorted(POINTS.intersection(points))
        if known:
            os.write(self._file, f"{' '.join(known)}\n".encode())


# Read once, when the process starts: a fault belongs to a whole run, and an unset one must cost a commit nothing.
_fault: Final = Fault(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
_trace: Final = Trace(os.environ[TRACE_VARIABLE]) if os.environ.get(TRACE_VARIABLE) else None


def fault(*points: str, armed: Fault | None = _fault, trace: Trace | None = _trace) -> None:
    """Pass points: die here if the environment says so."""
    if trace is not None:
        trace.note(points)
    if armed is not None and any(armed.passed(point) for point in points):
        os.kill(os.getpid(), signal.SIGKILL)
