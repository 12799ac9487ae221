"""The queue: delivers accepted and woken executions to the flows."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeAlias

from hookline.model.message import Envelope
from hookline.storage.change_declarations import Accepted, Duplicate, Start

Stored: TypeAlias = Callable[[Accepted | Duplicate | BaseException], None]
"""Called once on the event loop: with the result when a message is durable, or else with the error."""


class Delivery(Protocol):
    """One delivery of an execution that is to be run or resumed."""

    execution_id: str
    flow_id: str
    envelope: Envelope | None
    """The message, if it is at hand; otherwise the store has it."""
    fresh: bool
    """The execution has not started, so there is no journal to read."""
    start: Start | None
    """The start that was committed together with the message; None if the execution has to be started."""

    @property
    def current(self) -> bool:
        """False if the node has lost its lease since: another delivery, here or elsewhere, may stand for it."""
        ...

    async def ack(self) -> None:
        """Forget the delivery: the execution has ended or is parked, and that is committed. Raises nothing."""
        ...

    async def redeliver(self, after: float) -> None:
        """Deliver the execution again after so many seconds, since it couldn't be run. Raises nothing."""
        ...


class ImmediateStart(Protocol):
    """A place in which an execution can run as soon as its message is durable."""

    change: Start

    def run(self, delivery: Delivery) -> None:
        """Run the execution. Called at most once, when the message and its start are durable."""
        ...


class Queue(Protocol):
    """Delivers executions to the flows."""

    async def put(
        self, envelope: Envelope, *, patient: bool = False, at_once: ImmediateStart | None = None
    ) -> Accepted | Duplicate:
        """Return when the message is durable. Raises StoreError.

        With `patient`, the commit may wait a moment to share a transaction. With `at_once`, the execution is started in
        the same commit, and delivered there instead of to the flow's consumer.
        """
        ...

    def begin(self, envelope: Envelope, stored: Stored, *, patient: bool = False) -> None:
        """Begin to store a message, as `put` does, and return at once. Raises StoreError, and then calls nothing.

        For callers that have no task: nothing waits, and nothing can be cancelled.
        """
        ...

    def starts_at_once(self, flow_id: str) -> bool:
        """Return true if an execution of the flow may start with its acceptance. False if other nodes count, too."""
        ...

    def deliveries(
        self, flow_id: str, *, begun_only: bool = False, limit: int | None = None
    ) -> AsyncGenerator[Delivery, None]:
        """Yield the executions that a flow has to run, oldest first, without end; reads ahead by a bounded number.

        With `begun_only`, only executions that have started before; the others stay queued. `limit`: the most that all
        nodes together run and read ahead.

        A delivery without `ack` or `redeliver` isn't repeated while the process lives; after a crash it is.
        """
        ...

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Deliver a parked execution that has become ready. Raises nothing."""
        ...
