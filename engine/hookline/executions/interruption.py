"""How what runs is told that it has to end: it was cancelled, its time is up, or a branch beside it failed."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from hookline.model.execution import ErrorInfo, Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """Why it has to end, and as what the execution ends. Compare by identity."""

    outcome: Outcome
    error: ErrorInfo | None = None


CANCELLED: Final = Cause(Outcome.CANCELLED)
"""Somebody asked for it."""
SUPERSEDED: Final = Cause(Outcome.CANCELLED)
"""What stands beside it has failed, or stopped the execution: the block around both goes on with that."""


class Interrupted(Exception):
    """It has to end. No `catch` takes this, and each `finally` on the way out runs."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        super().__init__(cause.outcome)


class Interruption:
    """Reaches what runs under it, and under its children; what isn't under it goes on."""

    __slots__ = ("_children", "_cuts", "cause")

    def __init__(self) -> None:
        self.cause: Cause | None = None
        self._children: list[Interruption] = []
        self._cuts: set[_Cut] = set()

    @contextmanager
    def narrower(self) -> Iterator["Interruption"]:
        """One that reaches a part of what this one does."""
        inner = Interruption()
        inner.cause = self.cause
        self._children.append(inner)
        try:
            yield inner
        finally:
            self._children.remove(inner)

    def interrupt(self, cause: Cause, *, cut: bool = True) -> None:
        """Let nothing more begin; `cut` also cuts off the actions that are under way. The first cause counts."""
        self.cause = self.cause or cause
        for inner in self._children:
            inner.interrupt(cause, cut=cut)
        if cut:
            for each in tuple(self._cuts):
                each.fall()

    def check(self) -> None:
        """Raise Interrupted where something may not begin any more."""
        if self.cause is not None:
            raise Interrupted(self.cause)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Cut off what is awaited within. Raises Interrupted in its place; a cancellation by others passes."""
        self.check()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an action runs in a task")
        cut, cancelling = _Cut(task), task.cancelling()
        self._cuts.add(cut)
        try:
            yield
        except asyncio.CancelledError:
            if cut.fallen and task.uncancel() <= cancelling:
                raise Interrupted(self.cause or SUPERSEDED) from None
            raise
        else:
            if cut.fallen:
                task.uncancel()
        finally:
            self._cuts.discard(cut)


class _Cut:
    __slots__ = ("_task", "fallen")

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self.fallen = False

    def fall(self) -> None:
        if not self.fallen:
            self.fallen = True
            self._task.cancel()
