"""Publishing messages to the intake queue, in front of the store, also while the store can't be used."""

import asyncio
from datetime import timedelta
from typing import Final

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import PossiblyStored, ServiceUnavailable, StoreError
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.model.message import Envelope
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.storage.cluster import Alone, Membership
from hookline.storage.intake_queue import IntakeQueue
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem

_LOOKUP: Final = 1.0
"""Seconds in which the store has to tell whether a message is a duplicate; after that, the intake queue decides."""
_RETRY_AFTER: Final = 30.0


class Publisher:
    """Makes messages durable in the intake queue, and recognizes duplicates.

    While the store can be used, it is asked before each publish whether a dedupe key is taken. Otherwise the queue
    knows the keys of its own messages, and any other duplicate is recognized when it is inserted.
    """

    def __init__(
        self,
        queue: IntakeQueue,
        store: Store,
        clock: Clock,
        log: Log,
        store_problem: StoreProblem,
        longest_outage: timedelta,
        membership: Membership | None = None,
    ) -> None:
        """`longest_outage`: the time for which messages are accepted after this node last knew that its flows and
        credentials are those of the store."""
        self._membership: Membership = membership or Alone()
        self._queue = queue
        self._store = store
        self._clock = clock
        self._store_problem = store_problem
        self._longest_outage = longest_outage.total_seconds()
        self._problem = OngoingProblem(
            log, clock, "no message can be published to the intake queue", "messages can be published again"
        )

    @property
    def stale(self) -> bool:
        """True if the store hasn't answered, or its changes weren't adopted, for so long that no message is accepted:
        flows and credentials may have changed."""
        return max(self._store_problem.unanswered_for(), self._membership.behind_for()) > self._longest_outage

    async def check(self) -> None:
        """Return if the queue can be used. Raises StoreError."""
        await self._queue.oldest()

    async def publish(self, envelope: Envelope) -> Accepted | Duplicate:
        """Return when a message is durable, or known to be a duplicate. Raises ServiceUnavailable."""
        first = await self._lookup(envelope)
        if first is not None:
            return Duplicate(first)
        if self.stale:
            raise ServiceUnavailable(
                "flows and credentials are older than intake_stale allows", retry_after=_RETRY_AFTER
            )
        try:
            result = await self._queue.publish(envelope)
            if result is None:
                result = await self._stored_before(envelope) or await self._queue.publish(envelope, new=True)
        except StoreError as error:
            self._problem.noticed(error=error.message, flow_id=envelope.flow_id)
            raise error.for_sender(_RETRY_AFTER) from error
        self._problem.absent()
        # With `new`, it isn't compared with any other.
        return Accepted(envelope.execution_id) if result is None else result

    async def _lookup(self, envelope: Envelope) -> str | None:
        """The execution that has the dedupe key of a message; None if there is none, or if the store doesn't tell."""
        if envelope.dedupe_key is None or not self._store_problem.store_answers:
            return None
        try:
            async with asyncio.timeout(_LOOKUP):
                return await self._store.accepted_as(envelope.flow_id, envelope.dedupe_key, self._clock.now())
        except StoreError as error:
            self._store_problem.report_store(error, flow_id=envelope.flow_id)
        except TimeoutError:
            self._store_problem.report_store(StoreError(f"the store hasn't answered within {_LOOKUP:g} s"))
        return None

    async def _stored_before(self, envelope: Envelope) -> Accepted | Duplicate | None:
        """The result for a message whose key the queue knows from a message that has left it for the store."""
        assert envelope.dedupe_key is not None  # noqa: S101 - the queue knows no other messages again
        try:
            first = await self._store.accepted_as(envelope.flow_id, envelope.dedupe_key, self._clock.now())
        except StoreError as error:
            self._store_problem.report_store(error, flow_id=envelope.flow_id)
            # The message may be the one that has left the queue, if an acknowledgement of this publish was lost.
            raise PossiblyStored(retry_after=_RETRY_AFTER) from error
        if first is None:
            return None
        return Accepted(first) if first == envelope.execution_id else Duplicate(first)
