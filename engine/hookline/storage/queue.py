"""The queue: it carries what is accepted, and what wakes, to the flows."""

from collections.abc import AsyncGenerator
from typing import Protocol

from hookline.model.message import Envelope
from hookline.storage.changes import Accepted, Duplicate


class Delivery(Protocol):
    """An execution that is to be run or resumed, once."""

    execution_id: str
    flow_id: str
    envelope: Envelope | None
    """The message, where it is at hand; otherwise the store has it."""
    fresh: bool
    """It is queued: it was never started, and there is no journal to read."""

    async def ack(self) -> None:
        """It has ended or is parked, and that is committed: forget the delivery."""
        ...

    async def retry(self, after: float) -> None:
        """It couldn't be run: deliver it again after so many seconds."""
        ...


class Queue(Protocol):
    """Carries envelopes and wake-ups to the flows."""

    async def put(self, envelope: Envelope, *, patient: bool = False) -> Accepted | Duplicate:
        """Return when the message is durable. Raises StoreError.

        With `patient` that may wait a moment for what somebody else stores, and share its commit.
        """
        ...

    def deliveries(self, flow_id: str, *, begun_only: bool = False) -> AsyncGenerator[Delivery, None]:
        """Endless: what a flow has to run, oldest first; reads ahead by a bounded number.

        With `begun_only` only what has started before; what hasn't stays where it is.

        A delivery that is neither acknowledged nor retried isn't given again while the process lives; after a
        crash it is.
        """
        ...

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """A parked execution is ready: deliver it."""
        ...
