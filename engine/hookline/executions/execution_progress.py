"""The progress of a running execution. Other files change it only through its methods."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from hookline.kernel.json import is_large
from hookline.model.execution import CALLBACK, RETRY, ErrorInfo

ReadCallbacks: TypeAlias = Callable[[], Awaitable[Mapping[str, bytes]]]
"""Reads the callbacks of an execution's waiting steps, by path. Raises StoreError."""


class ExecutionProgress:
    """The progress of one run of an execution. It begins anew at each delivery."""

    __slots__ = (
        "_blocked",
        "_callbacks",
        "_large",
        "_read_callbacks",
        "_ready_at",
        "_streams",
        "_unknown",
        "_waited",
        "_waits_for",
        "_wakes",
        "_weighed",
    )

    def __init__(self, read_callbacks: ReadCallbacks) -> None:
        self._read_callbacks = read_callbacks
        self._callbacks: Mapping[str, bytes] | None = None
        self._ready_at: datetime | None = None
        self._waits_for = RETRY
        self._waited = False
        self._wakes: list[str] = []
        self._unknown: ErrorInfo | None = None
        self._blocked: str | None = None
        self._streams = False
        self._large = False
        self._weighed: Any = None

    @property
    def ready_at(self) -> datetime | None:
        """The time at which the first of the waiting steps continues; None if none of them has a time."""
        return self._ready_at

    @property
    def waits_for(self) -> str:
        """The reason that is shown while steps wait."""
        return self._waits_for

    def wait_until(self, at: datetime | None, reason: str) -> None:
        """Note that a step waits until a time; None if it waits for something else without a time limit.

        The reason of the last step is shown, unless one of them waits for a callback.
        """
        self.wake_by(at)
        if self._waits_for != CALLBACK:
            self._waits_for = reason

    def wake_by(self, at: datetime | None) -> None:
        """Let the execution continue at this time if nothing is due earlier. The reason that is shown stays."""
        if at is not None and (self._ready_at is None or at < self._ready_at):
            self._ready_at = at

    @property
    def waited(self) -> bool:
        """True if a step has waited for a callback or for other executions."""
        return self._waited

    def note_waited(self) -> None:
        """Note that a step has waited."""
        self._waited = True

    @property
    def wakes(self) -> tuple[str, ...]:
        """The ids of other executions of the flow that this one made ready."""
        return tuple(self._wakes)

    def note_wake(self, execution_id: str) -> None:
        """Note that another execution of the flow was made ready."""
        self._wakes.append(execution_id)

    @property
    def unknown(self) -> ErrorInfo | None:
        """The error of the first step of this run for which it isn't known whether it took effect."""
        return self._unknown

    def note_unknown(self, error: ErrorInfo) -> None:
        """Note that it isn't known whether a step took effect."""
        self._unknown = self._unknown or error

    @property
    def blocked(self) -> str | None:
        """The reason why the execution is blocked."""
        return self._blocked

    def block(self, reason: str) -> None:
        """Note that a part of the execution is blocked."""
        self._blocked = reason

    @property
    def streams(self) -> bool:
        """True if expressions may see a stream."""
        return self._streams

    def note_stream(self) -> None:
        """Note that a result is a stream."""
        self._streams = True

    @property
    def large(self) -> bool:
        """True if one of the messages is large, so that evaluating expressions may take long."""
        return self._large

    def weigh(self, body: Any) -> None:
        """Note whether the body of a message is large."""
        if body is not self._weighed:
            self._weighed = body
            self._large = self._large or is_large(body)

    async def callbacks(self) -> Mapping[str, bytes]:
        """The callbacks of waiting steps so far, by path. A later one makes the execution ready when it is parked.

        Raises StoreError.
        """
        if self._callbacks is None:
            self._callbacks = await self._read_callbacks()
        return self._callbacks

    def forget_callbacks(self) -> None:
        """Read the callbacks again at the next call, since there may be new ones."""
        self._callbacks = None
