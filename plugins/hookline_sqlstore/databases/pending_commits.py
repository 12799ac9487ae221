"""Commits that aren't durable yet, and the limit on the time of each call: a database that doesn't answer is treated as
one that can't be used.

A commit whose limit passes before its transaction begins is withdrawn. If its transaction has begun, it is in doubt: it
may still become durable. Until that is known nothing is read, so that no execution continues from a state that may
change behind its back.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Final, TypeVar

from hookline.api import StoreError
from hookline.api_storage import StoreAway
from hookline_sqlstore.databases.database import Listener
from hookline_sqlstore.writing.commit_application import Failure
from hookline_sqlstore.writing.prepared_commit import Commit
from hookline_sqlstore.writing.statements import NOTE_MOVE

T = TypeVar("T")

LIMIT: Final = 5.0
"""Seconds after which the caller of a commit or a query gets a StoreError."""
LONG_LIMIT: Final = 30.0
"""The same for large commits and for queries of many rows, for which no request waits; and the longest time of a
transaction."""
_LARGE: Final = 100
"""The number of operations from which a commit is large."""


class Pending:
    """A commit from its call until its caller has the result."""

    __slots__ = ("begun", "commit", "done", "ended", "limit", "until", "withdrawn")

    def __init__(self, commit: Commit, loop: asyncio.AbstractEventLoop) -> None:
        self.commit = commit
        self.done: asyncio.Future[None] = loop.create_future()
        """Done when the commit is durable; it has the exception if it failed, and after the limit a StoreError."""
        self.limit = LONG_LIMIT if _is_large(commit) else LIMIT
        self.until = loop.time() + self.limit
        self.begun = False
        self.withdrawn = False
        self.ended = False


def _is_large(commit: Commit) -> bool:
    """Return true if a commit has many operations, or changes all that waits."""
    return len(commit.operations) >= _LARGE or bool(commit.operations and commit.operations[-1].statement is NOTE_MOVE)


class PendingCommits:
    """The commits of a database that aren't durable yet. It belongs to the event loop, except for `begin`."""

    def __init__(self, name: str, listener: Listener) -> None:
        self._name = name
        self._listener = listener
        self._lock = Lock()
        self._limited: dict[float, deque[Pending]] = {}
        """The commits by their limit, in order; those of one limit share a timer, since nearly all end long before."""
        self._timed: set[float] = set()
        """The limits that have a timer."""
        self._doubtful: set[Pending] = set()
        """The commits that were given up after their transaction had begun, until it ends."""
        self._doubt: asyncio.Future[None] | None = None
        self._failed = False

    def add(self, commit: Commit) -> Pending:
        """Begin to wait for the result of a commit. Also if the caller gives up, the commit is written or in doubt."""
        loop = asyncio.get_running_loop()
        pending = Pending(commit, loop)
        limited = self._limited.get(pending.limit)
        if limited is None:
            limited = self._limited[pending.limit] = deque()
        while limited and limited[0].ended:
            limited.popleft()
        limited.append(pending)
        if pending.limit not in self._timed:
            self._timed.add(pending.limit)
            loop.call_at(pending.until, self._expire_all, loop, pending.limit)
        return pending

    def _expire_all(self, loop: asyncio.AbstractEventLoop, limit: float) -> None:
        """Give up the commits whose limit has passed, and set the timer for the next."""
        limited, now = self._limited[limit], loop.time()
        while limited and (limited[0].ended or limited[0].until <= now):
            self._expire(limited.popleft())
        if limited:
            loop.call_at(limited[0].until, self._expire_all, loop, limit)
        else:
            self._timed.discard(limit)

    def _expire(self, pending: Pending) -> None:
        if pending.ended:
            return
        with self._lock:
            pending.withdrawn = not pending.begun
        if pending.withdrawn:
            # The group with which it waits for the writer may never end.
            pending.ended = True
            self._listener.failed(pending.commit)
        else:
            self._doubtful.add(pending)
            self.begin_doubt()
        if not pending.done.done():
            pending.done.set_exception(no_answer(self._name, pending.limit, in_doubt=not pending.withdrawn))

    def begin(self, group: Sequence[Pending]) -> list[Pending]:
        """Return the commits that nobody has withdrawn; from now on they can't be. May be called in a thread."""
        with self._lock:
            group = [pending for pending in group if not pending.withdrawn]
            for pending in group:
                pending.begun = True
        return group

    def end(self, group: Sequence[Pending], failures: Sequence[Failure | None]) -> None:
        """Tell the callers of a transaction its result, which is the stored state; withdrawn ones know theirs."""
        for pending, failure in zip(group, failures, strict=True):
            if pending.ended:
                continue
            pending.ended = True
            self._doubtful.discard(pending)
            if failure is None:
                # Also if the caller has given up: the message is stored, so it has to run.
                self._listener.committed(pending.commit)
            else:
                self._listener.failed(pending.commit)
            if pending.done.done():
                continue
            if failure is None:
                pending.done.set_result(None)
            else:
                pending.done.set_exception(failure)

    def fail(self, group: Sequence[Pending], failure: StoreError) -> None:
        """Tell the callers that their transaction failed; feeds look for what it stored when another one succeeds."""
        self._failed = True
        self.end(group, [failure] * len(group))

    def begin_doubt(self) -> None:
        """Let queries wait until the outcome is known."""
        if self._doubt is None:
            self._doubt = asyncio.get_running_loop().create_future()

    def remain_in_doubt(self, failure: StoreError) -> None:
        """Let the waiting queries fail, since the outcome can't be found out now."""
        doubt = self._doubt
        if doubt is not None:
            self._doubt = asyncio.get_running_loop().create_future()
            if not doubt.done():
                doubt.set_exception(failure)
                doubt.exception()  # retrieved, in case that no query waits

    @property
    def in_doubt(self) -> bool:
        return self._doubt is not None

    def end_doubt(self) -> None:
        """Let queries go on: what was begun has ended, and the stored state counts. Other doubts go on too."""
        if self._doubtful:
            return
        doubt, self._doubt = self._doubt, None
        if doubt is not None and not doubt.done():
            doubt.set_result(None)
            self._failed = True

    def works(self) -> None:
        """Note that the database works; after failures, the listener is told."""
        self.end_doubt()
        if self._failed:
            self._failed = False
            # Some of the failed commits may have been stored after all.
            self._listener.recovered()

    async def settled(self) -> None:
        """Return when no transaction is in doubt. Raises StoreError if that can't be found out now."""
        while self._doubt is not None:
            await asyncio.shield(self._doubt)


async def within_limit(name: str, work: "asyncio.Future[T]", *, long: bool) -> T:
    """Return the result of a query. Raises StoreError after its limit, and doesn't wait for its cancellation."""
    limit = LONG_LIMIT if long else LIMIT
    try:
        done, _ = await asyncio.wait((work,), timeout=limit)
    except asyncio.CancelledError:
        work.add_done_callback(retrieve)
        work.cancel()
        raise
    if not done:
        work.add_done_callback(retrieve)
        work.cancel()
        raise no_answer(name, limit)
    return work.result()


def retrieve(work: "asyncio.Future[T]") -> None:
    """Retrieve the exception of work for which nobody may wait, so that asyncio doesn't log it."""
    if not work.cancelled():
        work.exception()


def no_answer(name: str, seconds: float, *, in_doubt: bool = False) -> StoreError:
    """The failure of a call that took too long; `in_doubt`: its changes may be stored nevertheless."""
    return StoreAway(f"{name} hasn't answered within {seconds:g} s", in_doubt=in_doubt)
