"""The answers that a simulation gets from outside: for flows that it doesn't run, and for waiting steps."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from hookline.bodies.page_form_input import read_page_input
from hookline.executions.ending import ON_ERROR_USE, parent_callback
from hookline.kernel.json import decode
from hookline.model.callbacks_and_pages import pack_callback, raw_json, unpack_page
from hookline.model.execution import FINAL, ErrorInfo, Outcome, State
from hookline.model.message import Envelope, Message
from hookline.simulation.clock import CaseClock
from hookline.simulation.flows import SimulatedFlows
from hookline.simulation.memory_store import MemoryStore
from hookline.simulation.queue import SimulatedQueue
from hookline.simulation.result import SimulatedCall, SimulationRecord
from hookline.simulation.stubs import FinishedStub, NeverFinishedStub, Outside
from hookline.storage.change_declarations import BeginWait, Change, End, Reopen, Start, StoreCallback


class SimulatedCallbacks:
    """Gives the answers of `outside` when they are due."""

    def __init__(
        self,
        outside: Outside,
        *,
        flows: SimulatedFlows,
        queue: SimulatedQueue,
        record: SimulationRecord,
        store: MemoryStore,
        clock: CaseClock,
        new_id: Callable[[], str],
    ) -> None:
        self._outside = outside
        self._flows = flows
        self._queue = queue
        self._record = record
        self._store = store
        self._clock = clock
        self._new_id = new_id

    def accepted(self, envelope: Envelope) -> None:
        """Run an accepted execution, or answer it from outside."""
        id_, parent = envelope.execution_id, envelope.arrival.parent
        if parent is None:
            self._queue.deliver(id_)
            return
        above = self._record.place(parent.execution_id)
        path = above + parent.path
        self._record.begin(id_, f"{path}/")
        given = {"id": envelope.flow_id, "body": envelope.message.body, "headers": envelope.message.headers}
        if parent.path == ON_ERROR_USE:
            # The error flow handles an execution that has ended, and isn't part of it.
            self._record.calls.append(SimulatedCall(path, "flow", given))
            return
        attempt = int((parent.waits_at or "").partition("#")[2] or 1)
        finished = self._outside.flow(path, attempt, envelope.flow_id)
        if finished is not None:
            self._answer_flow(envelope, given, finished)
        elif self._flows.runs(envelope.flow_id):
            self._queue.deliver(id_)
        else:
            text = (
                f"step {path}: there is no flow {envelope.flow_id!r} beside, and no stub; add it to the case: "
                f'"stubs": {{"{path}": {{"result": …}}}}'
            )
            self._record.missing.append(text)
            self._answer_flow(envelope, given, FinishedStub(outcome=Outcome.FAILED, error=ErrorInfo("case.stub", text)))

    def retried(self, execution_id: str) -> None:
        """Retry a failed execution as an operator does, without the flow's timeout: the time of a retry isn't known."""
        self._clock.call_at(
            self._clock.now(), lambda: self._soon([Reopen(execution_id, self._clock.now())], execution_id)
        )

    def _answer_flow(self, envelope: Envelope, given: Any, finished: FinishedStub | NeverFinishedStub) -> None:
        parent = envelope.arrival.parent
        if parent is None:
            return
        self._record.calls.append(SimulatedCall(self._record.place(envelope.execution_id).rstrip("/"), "flow", given))
        if isinstance(finished, NeverFinishedStub):
            return
        now = self._clock.now()
        at = max(now, finished.at or now)
        end = End(envelope.execution_id, _states(finished.outcome), finished.outcome, at, finished.error)
        attachments = envelope.message.attachments if finished.attachments is None else finished.attachments
        told = parent_callback(envelope, end, Message(finished.body, {}, attachments), self._new_id())
        start = Start(envelope.execution_id, "stubbed", now)

        def commit() -> None:
            if not self._over(envelope.execution_id):
                self._soon([start, end, *([told] if told is not None else [])], parent.execution_id)

        self._clock.call_at(at, commit)

    def _over(self, execution_id: str) -> bool:
        """Return true if a called flow was cancelled because nothing waits for it any more."""
        execution = self._store.known(execution_id)
        return execution is None or execution.state in FINAL

    def awaited(self, change: BeginWait) -> None:
        """Answer a step that waits for a callback, once the answer is due."""
        flow = self._flows.current(change.flow_id)
        if change.step_id not in flow.waits:
            return
        path = self._record.place(change.execution_id, change.path)
        arrives = self._outside.arrives(path, change.at)
        if arrives is None:
            self._record.unanswered.append(path)
            return
        at, arrived = arrives
        if change.page is not None:
            given = decode(bytes(arrived.body), exact=flow.exact)
            page = unpack_page(change.page)
            body, problems = read_page_input(page, given, form=False, exact=flow.exact)
            if problems:
                listed = "; ".join(str(problem) for problem in problems)
                self._record.missing.append(f"step {path}: its page doesn't take the answer: {listed}")
                self._record.unanswered.append(path)
                return
            arrived = msgspec.structs.replace(arrived, body=raw_json(body))
        payload = pack_callback(arrived)
        call = StoreCallback(
            id=self._new_id(),
            execution_id=change.execution_id,
            path=change.path,
            flow_id=change.flow_id,
            step_id=change.step_id,
            key=None,
            digest=payload,
            at=at,
            until=None,
            payload=payload,
        )
        self._clock.call_at(at, lambda: self._soon([call], change.execution_id))

    def _soon(self, changes: Sequence[Change], wakes: str) -> None:
        """Commit changes outside of a run, and let an execution go on."""
        self._store.write(changes)
        self._queue.deliver(wakes)


def _states(outcome: Outcome) -> State:
    """Return the state of an execution that ended with this outcome."""
    if outcome is Outcome.CANCELLED:
        return State.CANCELLED
    return State.FAILED if outcome in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.OUTCOME_UNKNOWN) else State.SUCCEEDED
