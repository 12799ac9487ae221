"""The callers that wait for the reply of an execution, and the reading of a reply from the journal."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from hookline.kernel.json import reader
from hookline.model.execution import Execution, State, StepRecord
from hookline.model.message import CallerReply, Envelope
from hookline.secrets.redaction import REPLY, Redaction
from hookline.storage.change_declarations import Change, CommitResult, MarkDelivered

#: The step id of the reply that the engine gives at the end of a flow with `"respond": "finished"`.
FINISHED = "$reply"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """The execution ended without a reply."""

    state: State
    """Its final state."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The engine stopped first. The message is stored, and its flow continues at the next start."""


Heard: TypeAlias = "asyncio.Future[CallerReply | Ended | Stopped]"


class Replies:
    """Deliver replies to the callers that wait in this process."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Heard]] = {}
        """The callers that wait, by execution; some may have their reply already."""
        self._closed = False
        self.offer: Callable[[str], None] | None = None
        """Offers the reply of an execution to the other nodes, if no caller waits for it here."""
        self._stored: dict[str, asyncio.Event] = {}

    @contextmanager
    def expect(self, execution_id: str) -> Iterator[Heard]:
        """Wait for the reply of an execution within the block, which must be entered before the execution can start."""
        heard: Heard = asyncio.get_running_loop().create_future()
        if self._closed:
            heard.set_result(Stopped())
        self.waiting.setdefault(execution_id, []).append(heard)
        try:
            yield heard
        finally:
            heard.cancel()
            left = [one for one in self.waiting.get(execution_id, ()) if one is not heard]
            if left:
                self.waiting[execution_id] = left
            else:
                self.waiting.pop(execution_id, None)

    def expected(self, execution_id: str) -> bool:
        """Return whether a caller waits for the reply of this execution."""
        return any(not heard.done() for heard in self.waiting.get(execution_id, ()))

    def deliver(self, execution_id: str, answer: CallerReply | Ended) -> None:
        """Give a reply to all waiting callers that have none yet. Callers of other nodes find it in the journal."""
        if execution_id not in self.waiting and self.offer is not None:
            self.offer(execution_id)
        for heard in self.waiting.get(execution_id, ()):
            if not heard.done():
                heard.set_result(answer)

    def may_be_stored(self, execution_id: str) -> None:
        """Note that the reply of an execution, or its end, may be in the journal without being delivered here.

        Another node has stored it, or a commit that failed had taken place.
        """
        event = self._stored.get(execution_id)
        if event is not None:
            event.set()

    @contextmanager
    def hints(self, execution_id: str) -> Iterator[asyncio.Event]:
        """Return an event that is set when an execution's reply or end may be in the journal, within the block."""
        event = self._stored.setdefault(execution_id, asyncio.Event())
        try:
            yield event
        finally:
            # Another caller that waits for the same reply looks again and again anyway.
            self._stored.pop(execution_id, None)

    def close(self) -> None:
        """Release all waiting callers because the engine stops; their executions continue at the next start."""
        self._closed = True
        for waiting in self.waiting.values():
            for heard in waiting:
                if not heard.done():
                    heard.set_result(Stopped())


class History(Protocol):
    """The parts of a store for reading a reply, and for noting that its caller got it."""

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]: ...

    async def execution(self, execution_id: str) -> Execution | None: ...

    async def envelope(self, execution_id: str) -> Envelope | None: ...

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]: ...


_READERS: Final = {exact: reader(CallerReply, exact=exact) for exact in (False, True)}


def read_reply(output: bytes, *, exact: bool) -> CallerReply:
    """Decode a reply from the journal."""
    reply: CallerReply = _READERS[exact].decode(output)
    return reply


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply, and its entry in the journal."""

    reply: CallerReply
    record: StepRecord

    def delivered(self, execution_id: str) -> MarkDelivered | None:
        """Return the change that marks the reply as delivered; None if it is marked already."""
        before = self.record.output
        if before is None or self.reply.delivered:
            return None
        # Its JSON leaves out what is false. Decoding it could change its numbers.
        marked = b'{"delivered":true' + (b"}" if before == b"{}" else b"," + before.removeprefix(b"{"))
        return MarkDelivered(execution_id, self.record.seq, before, marked)


async def stored_reply(
    store: History, execution_id: str, *, exact: bool, redaction: Redaction | None = None
) -> StoredReply | None:
    """The reply of an execution; None if it has given none yet.

    If the reply had redacted values that are erased, only its status is left. Raises StoreError, and
    RedactedUnreadable.
    """
    after = 0
    while True:
        page = await store.journal(execution_id, after, _PAGE)
        for record in page:
            if record.use == REPLY and record.output is not None:
                output: bytes | None = record.output
                if record.encrypted is not None and redaction is not None:
                    envelope = await store.envelope(execution_id)
                    output = redaction.decrypt_output(record, None if envelope is None else envelope.data_key)
                if output is None:
                    return StoredReply(CallerReply(read_reply(record.output, exact=exact).status), record)
                return StoredReply(read_reply(output, exact=exact), record)
        if len(page) < _PAGE:
            return None
        after = page[-1].seq
