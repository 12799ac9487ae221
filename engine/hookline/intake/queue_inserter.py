"""Inserting the messages of the intake queue into the store.

Nothing here decides by itself whether a message is new: its execution id and its dedupe key do, in the commit. So a
message that comes again, because a process died between the commit and the acknowledgement, changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from hookline.intake.backlog import Backlog
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ExecutionNotFound, StoreError
from hookline.model.message import Envelope
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Change,
    CommitResult,
    Duplicate,
    KeepAlias,
    SetCursor,
)
from hookline.storage.intake_queue import IntakeQueue
from hookline.storage.store import Store
from hookline.telemetry.live_events import Events
from hookline.telemetry.store_problem import StoreProblem

T = TypeVar("T")

INSERTION_DUTY: Final = "intake queue"
"""The duty of the one node that inserts the messages with an order key."""
POSITION: Final = "intake queue"
"""The cursor of the messages in order. No flow has a name with a space."""
_AGAIN: Final = 1.0
"""Seconds before the next attempt after a failed commit."""


class Inserter:
    """Takes messages from the intake queue, and commits them."""

    def __init__(
        self,
        source: IntakeQueue,
        store: Store,
        clock: Clock,
        backlog: Backlog,
        events: Events,
        store_problem: StoreProblem,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._backlog = backlog
        self._events = events
        self._store_problem = store_problem

    async def run(self) -> None:
        """Insert the messages without an order key forever."""
        await self._source.run(self._insert_each)

    async def run_in_order(self) -> None:
        """Insert the messages with an order key forever, in the order in which they were published.

        Only the node with the duty may do it. If that node loses its lease, a commit that is under way fails.
        """
        position = await self._until_it_works(lambda: self._store.cursor(POSITION))
        await self._source.run_in_order(position, self._insert_in_order)

    async def _insert_each(self, envelopes: Sequence[Envelope]) -> None:
        """Return when messages are durable in the store. Each has a commit of its own; the store groups them."""
        await asyncio.gather(*map(self._insert, envelopes))

    async def _insert_in_order(self, envelopes: Sequence[Envelope], position: bytes) -> None:
        """Return when messages are durable in the store, in one commit, and the position of the last one is, too.

        Aliases are known only after the commit of the messages. The position is committed with them, so that a process
        that begins again in between finds them again. There are none if no message has a dedupe key.
        """
        keyed = any(envelope.dedupe_key is not None for envelope in envelopes)
        reached = SetCursor(POSITION, position, self._clock.now())
        results = await self._until_it_works(lambda: self._commit_in_order(envelopes, [] if keyed else [reached]))
        aliases = self._inserted(envelopes, results)
        if keyed:
            await self._until_it_works(lambda: self._store.commit([*aliases, reached]))

    async def _commit_in_order(self, envelopes: Sequence[Envelope], more: Sequence[Change]) -> Sequence[CommitResult]:
        try:
            return (await self._store.commit([*map(_accept, envelopes), *more]))[: len(envelopes)]
        except ExecutionNotFound:
            # One of them was inserted before, and its execution was purged. The others keep their order.
            results = [await self._accepted(envelope) for envelope in envelopes]
            await self._store.commit(more)
            return results

    async def _accepted(self, envelope: Envelope) -> CommitResult:
        """Commit one message. What was inserted and purged before is a duplicate of itself. Raises StoreError."""
        try:
            return (await self._store.commit([_accept(envelope)]))[0]
        except ExecutionNotFound:
            return Duplicate(envelope.execution_id)

    async def _insert(self, envelope: Envelope) -> None:
        result = await self._until_it_works(lambda: self._accepted(envelope))
        aliases = self._inserted([envelope], [result])
        if aliases:
            await self._until_it_works(lambda: self._store.commit(aliases))

    def _inserted(self, envelopes: Sequence[Envelope], results: Sequence[CommitResult]) -> list[KeepAlias]:
        """Count the messages that were accepted. Return aliases for those that have proved to be duplicates."""
        aliases = []
        for envelope, result in zip(envelopes, results, strict=True):
            flow_id, id_ = envelope.flow_id, envelope.execution_id
            if isinstance(result, Accepted):
                self._backlog.enter(flow_id)
                if self._events.listening:
                    self._events.accepted(flow_id, id_)
            elif isinstance(result, Duplicate) and result.execution_id != id_:
                # Its sender has got its id: it means the first one's execution from now on.
                aliases.append(KeepAlias(id_, result.execution_id, self._clock.now()))
        return aliases

    async def _until_it_works(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of an attempt, and repeat it until the store can be used."""
        while True:
            try:
                return await attempt()
            except StoreError as error:
                # What is stored nevertheless looks like a duplicate of itself the next time.
                self._backlog.doubt()
                self._store_problem.report(error)
                await self._clock.sleep(_AGAIN)


def _accept(envelope: Envelope) -> Accept:
    return Accept(envelope, handed_over=True)
