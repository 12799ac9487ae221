"""Fault points: named places at which a test can kill the process, to check that nothing durable is lost.

`HOOKLINE_FAULT=<point>[:n]` sends SIGKILL to the process when it passes the point for the n-th time (1 by default). A
commit of several changes passes the points of all of them.

`HOOKLINE_FAULT_TRACE=<file>` records the points: a line for each passing, with the points that were passed together.

| point | just before, or just after, the commit of |
| --- | --- |
| `accept.before_commit`, `accept.after_commit` | an accepted message |
| `stream.before_commit`, `stream.after_commit` | an accepted message in the intake queue, in front of the store |
| `start.before_commit`, `start.after_commit` | the start of an execution, which may be that of its message too |
| `resume.before_commit`, `resume.after_commit` | its resumption after a wait |
| `record.before_commit`, `record.after_commit` | entries of its journal |
| `checkpoint_items.before_commit`, `checkpoint_items.after_commit` | items of a foreach that share an entry |
| `finish_block.before_commit`, `finish_block.after_commit` | the end of such a foreach |
| `park.before_commit`, `park.after_commit` | the beginning of its wait |
| `unblock.before_commit`, `unblock.after_commit` | the end of the cause that blocked a flow's executions |
| `end.before_commit`, `end.after_commit` | its end |
| `reopen.before_commit`, `reopen.after_commit` | an operator's retry |
| `dismiss_dead_letter.before_commit`, `dismiss_dead_letter.after_commit` | a dead letter that an operator discards |
| `replay.before_commit`, `replay.after_commit` | a replay |
| `hold.before_commit`, `hold.after_commit` | its wait for its turn in its order key |
| `advance.before_commit`, `advance.after_commit` | the end of an ordered execution, after which the next may run |
| `release_order_key.before_commit`, `release_order_key.after_commit` | the release of a failed execution's order key |
| `begin_wait.before_commit`, `begin_wait.after_commit` | a step that begins to wait for a callback |
| `callback.before_commit`, `callback.after_commit` | a callback, or the end of the time for one |
| `end_wait.before_commit`, `end_wait.after_commit` | the end of a step's wait |
| `join.before_commit`, `join.after_commit` | an execution's arrival at a batch step |
| `close.before_commit`, `close.after_commit` | the end of the time in which others may join its batch |
| `take.before_commit`, `take.after_commit` | the leader's resumption with the whole batch |
| `cancel.before_commit`, `cancel.after_commit` | an operator's request to cancel an execution |
| `state.before_commit`, `state.after_commit` | a stored value of a flow |
| `rebind.before_commit`, `rebind.after_commit` | an execution's move to another version of its flow |
| `override.before_commit`, `override.after_commit` | an operator's override of a flow's state |
| `cursor.before_commit`, `cursor.after_commit` | the cursor of a trigger |
| `subscription.before_commit`, `subscription.after_commit` | a subscription with a provider |
| `publish.before_commit`, `publish.after_commit` | a version of a flow |
| `credential.before_commit`, `credential.after_commit` | a credential made, replaced or removed, or its tokens |
| `deploy.before_commit`, `deploy.after_commit` | a deployment of flows, or the test cases of one |
| `flow_file.before_commit`, `flow_file.after_commit` | one file of a deployment, in the folder of the flows |
| `files_written.before_commit`, `files_written.after_commit` | the files of a deployment, which are written by then |
| `token.before_commit`, `token.after_commit` | an access token created or revoked |
| `purge.before_commit`, `purge.after_commit` | the removal of ended executions |
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
        "stream",
        "start",
        "resume",
        "record",
        "checkpoint_items",
        "finish_block",
        "park",
        "unblock",
        "end",
        "reopen",
        "dismiss_dead_letter",
        "replay",
        "hold",
        "advance",
        "release_order_key",
        "begin_wait",
        "callback",
        "end_wait",
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
        "deploy",
        "flow_file",
        "files_written",
        "token",
        "purge",
        "blob",
    )
    for side in ("before", "after")
)


class Fault:
    """A point, and the number of times that it may still be passed."""

    def __init__(self, spec: str) -> None:
        """Raise ConfigError unless `spec` is `<point>[:n]`."""
        self.point, _, count = spec.partition(":")
        if self.point not in POINTS:
            raise ConfigError(f"{VARIABLE}: there is no point {self.point!r}; there are {', '.join(sorted(POINTS))}")
        if count and not (count.isdecimal() and int(count) > 0):
            raise ConfigError(f"{VARIABLE}: {count!r} is not a number above 0; write {self.point}:1")
        self._left = int(count or 1)
        self._lock = Lock()

    def passed(self, point: str) -> bool:
        """Count a passing; return true if the process must die."""
        if point != self.point:
            return False
        with self._lock:
            self._left -= 1
            return self._left == 0


class Trace:
    """A file that records passed points; it outlives the process."""

    def __init__(self, path: str) -> None:
        """Raise ConfigError if the file can't be written."""
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{TRACE_VARIABLE}: {path} can't be written: {error.strerror}") from error

    def note(self, points: Sequence[str]) -> None:
        """Record points that are passed together."""
        known = sorted(POINTS.intersection(points))
        if known:
            os.write(self._file, f"{' '.join(known)}\n".encode())


# Read once, when the process starts, so that a commit costs nothing if no fault is set.
_fault: Final = Fault(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
_trace: Final = Trace(os.environ[TRACE_VARIABLE]) if os.environ.get(TRACE_VARIABLE) else None


def fault(*points: str, armed: Fault | None = _fault, trace: Trace | None = _trace) -> None:
    """Pass points: record them, and kill the process if it must die at one of them."""
    if trace is not None:
        trace.note(points)
    if armed is not None and any(armed.passed(point) for point in points):
        os.kill(os.getpid(), signal.SIGKILL)
