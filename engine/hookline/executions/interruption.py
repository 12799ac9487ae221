"""Interruptions: they end an execution, or some of its steps, before their time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.model.execution import ErrorInfo, Outcome

_TIMED_OUT: Final = "flow.timed_out"


@dataclass(frozen=True, slots=True, eq=False)
class InterruptionCause:
    """The reason of an interruption and the outcome that the execution gets. Compare by identity."""

    outcome: Outcome
    error: ErrorInfo | None = None


CANCELLED: Final = InterruptionCause(Outcome.CANCELLED)
"""An operator cancelled the execution."""
SUPERSEDED: Final = InterruptionCause(Outcome.CANCELLED)
"""A part of the same block failed or stopped the execution; the block continues with that."""


class Interrupted(Exception):
    """The execution must end. No `catch` handles this; each `finally` around the step runs."""

    def __init__(self, cause: InterruptionCause) -> None:
        self.cause = cause
        super().__init__(cause.outcome)


class Interruption:
    """An interruption stops the steps under it and under its children; other steps continue."""

    __slots__ = ("_children", "_cuts", "cause")

    def __init__(self) -> None:
        self.cause: InterruptionCause | None = None
        self._children: list[Interruption] = []
        self._cuts: set[_InterruptibleTask] = set()

    @contextmanager
    def child(self) -> Iterator["Interruption"]:
        """An interruption for a part of the steps."""
        inner = Interruption()
        inner.cause = self.cause
        self._children.append(inner)
        try:
            yield inner
        finally:
            self._children.remove(inner)

    def interrupt(self, cause: InterruptionCause, *, cut: bool = True) -> None:
        """Let no further step begin that isn't pure; `cut` also cancels running actions. The first cause counts."""
        self.cause = self.cause or cause
        for inner in self._children:
            inner.interrupt(cause, cut=cut)
        if cut:
            for each in tuple(self._cuts):
                each.fall()

    def check(self) -> None:
        """Raise Interrupted if no step may begin."""
        if self.cause is not None:
            raise Interrupted(self.cause)

    def interruptible(self) -> "_InterruptibleTask":
        """Make the code in the block cancellable by an interruption, which raises Interrupted. Other cancellations
        propagate. Raises Interrupted if no step may begin."""
        self.check()
        return _InterruptibleTask(self, self._cuts)


class _InterruptibleTask:
    __slots__ = ("_cancelling", "_cuts", "_fallen", "_interruption", "_task")

    def __init__(self, interruption: Interruption, cuts: "set[_InterruptibleTask]") -> None:
        self._interruption = interruption
        self._cuts = cuts
        self._fallen = False

    def fall(self) -> None:
        """Cancel the task."""
        if not self._fallen:
            self._fallen = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an action runs in a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._cuts.add(self)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._cuts.discard(self)
        if not self._fallen:
            return
        only_interrupted = self._task.uncancel() <= self._cancelling
        if isinstance(error, asyncio.CancelledError) and only_interrupted:
            raise Interrupted(self._interruption.cause or SUPERSEDED) from None


@asynccontextmanager
async def with_deadline(
    interruption: Interruption, clock: Clock, deadline: datetime, limited: str = "the execution"
) -> AsyncIterator[None]:
    """Interrupt an execution, or some of its steps, when their time limit ends. `limited`: their name in the error."""
    left = (deadline - clock.now()).total_seconds()
    # The version that runs now may have another `timeout` than the one that set the deadline.
    error = ErrorInfo(_TIMED_OUT, f"{limited} took longer than the `timeout` of its flow")
    cause = InterruptionCause(Outcome.TIMED_OUT, error)
    if left <= 0:
        interruption.interrupt(cause)
        yield
        return

    async def expire() -> None:
        await clock.sleep(left)
        interruption.interrupt(cause)

    timer = asyncio.ensure_future(expire())
    try:
        yield
    finally:
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
