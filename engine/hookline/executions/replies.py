"""Callers that wait for a flow's answer, by execution. Only who waits is here; the answers are in the journal."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from hookline.kernel.json import reader
from hookline.model.execution import ErrorInfo, Execution, StepRecord
from hookline.model.message import CallerReply, Envelope
from hookline.secrets.redaction import REPLY, Redaction

#: The step of an answer that the engine gives itself, when a flow with `"respond": "finished"` has ended.
FINISHED = "$reply"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """The execution ended without an answer."""

    error: ErrorInfo | None
    """Why it failed; None where it succeeded."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The engine stopped first. Nothing is lost: the message is stored, and its flow goes on at the next start."""


Heard: TypeAlias = "asyncio.Future[CallerReply | Ended | Stopped]"


class Replies:
    """Brings answers to those that wait in this process."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Heard]] = {}
        self._closed = False

    @contextmanager
    def expect(self, execution_id: str) -> Iterator[Heard]:
        """Wait for an execution's answer within the block; to be entered before the execution can have begun."""
        heard: Heard = asyncio.get_running_loop().create_future()
        if self._closed:
            heard.set_result(Stopped())
        self._waiting.setdefault(execution_id, []).append(heard)
        try:
            yield heard
        finally:
            heard.cancel()
            left = [one for one in self._waiting.get(execution_id, ()) if one is not heard]
            if left:
                self._waiting[execution_id] = left
            else:
                self._waiting.pop(execution_id, None)

    def expected(self, execution_id: str) -> bool:
        """Whether somebody waits for an answer of this execution."""
        return any(not heard.done() for heard in self._waiting.get(execution_id, ()))

    def deliver(self, execution_id: str, answer: CallerReply | Ended) -> None:
        """Give all that wait their answer; those that have one keep it."""
        for heard in self._waiting.get(execution_id, ()):
            if not heard.done():
                heard.set_result(answer)

    def close(self) -> None:
        """Send away all that wait: the engine stops, and their executions go on at the next start."""
        self._closed = True
        for waiting in self._waiting.values():
            for heard in waiting:
                if not heard.done():
                    heard.set_result(Stopped())


class History(Protocol):
    """What is asked of a store."""

    async def execution(self, execution_id: str) -> Execution | None: ...

    async def envelope(self, execution_id: str) -> Envelope | None: ...

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]: ...


_READERS: Final = {exact: reader(CallerReply, exact=exact) for exact in (False, True)}


def read_reply(output: bytes, *, exact: bool) -> CallerReply:
    """An answer as the journal keeps it, of a flow whose numbers are exact or aren't."""
    reply: CallerReply = _READERS[exact].decode(output)
    return reply


async def stored_reply(
    store: History, execution_id: str, *, exact: bool, redaction: Redaction | None = None
) -> CallerReply | None:
    """The answer that an execution gave; None where it gave none yet.

    Of one that held what is redacted, and is erased, only the status is left. Raises StoreError, and
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
                    return CallerReply(read_reply(record.output, exact=exact).status)
                return read_reply(output, exact=exact)
        if len(page) < _PAGE:
            return None
        after = page[-1].seq
