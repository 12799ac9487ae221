"""The world of one trial: the engine's own runner over a store in memory, in time that leaps, with nothing outside."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, cast

import structlog

from hookline.connector import Action, Reply
from hookline.errors import ExecutionNotFound, FlowNotFound, IllegalStateChange, StepError
from hookline.flows.compiled import CompiledFlow
from hookline.ids import Ids
from hookline.model.callback import Call as Arrived
from hookline.model.callback import pack_callback, raw_json
from hookline.model.execution import FINAL, ErrorInfo, Outcome, State, StepRecord, StepState
from hookline.model.message import Envelope, Message
from hookline.model.stream import Stream
from hookline.ports import (
    Accept,
    AddState,
    Await,
    Blobs,
    CallBack,
    Cancel,
    Change,
    End,
    Join,
    Joined,
    Publish,
    Record,
    Start,
    Store,
)
from hookline.registry import Registry
from hookline.runtime.aftermath import ON_ERROR, told_of_end
from hookline.runtime.http_client import PooledClient
from hookline.runtime.metrics import Metrics
from hookline.runtime.replies import FINISHED, Replies, read_reply
from hookline.runtime.resources import EngineResources
from hookline.runtime.runner import Runner
from hookline.runtime.services import Services
from hookline.testing.case_clock import CaseClock
from hookline.testing.ended import Call, Ended
from hookline.testing.memory_store import MemoryStore
from hookline.testing.stubs import Outside

_HOOKS: Final = "https://hookline.test/resume"
#: What a flow logs while it is tried out is of no interest, and would stand among what a command prints.
_LOG: Final = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
_DONE: Final = frozenset({StepState.SUCCEEDED, StepState.FAILED})


@dataclass(slots=True)
class _Delivery:
    execution_id: str
    flow_id: str
    fresh: bool
    again: Callable[[float], None]
    envelope: Envelope | None = None

    async def ack(self) -> None:
        """Nothing keeps it."""

    async def retry(self, after: float) -> None:
        """Deliver it again."""
        self.again(after)


class _NoSecrets:
    def get(self, name: str) -> Any:
        raise StepError(f"credential {name!r}: actions that use credentials don't run here", code="case.stub")


class CaseWorld:
    """Runs one execution, and those that it starts. It takes a `CaseLoop` whose clock is the world's."""

    def __init__(
        self,
        flow: CompiledFlow,
        outside: Outside,
        *,
        clock: CaseClock,
        registry: Registry,
        blobs: Blobs,
        others: Callable[[str], CompiledFlow | None] = lambda flow_id: None,
        seed: str = "",
        itself: Callable[[Action], bool],
    ) -> None:
        """`itself`: whether an action runs, and isn't answered from outside.

        `others` gives the flows that it may call; those that it hasn't are answered from outside.
        """
        self._flow = flow
        self._outside = outside
        self._clock = clock
        self._registry = registry
        self._others = others
        self._itself = itself
        self._store = MemoryStore(self._committed)
        self._ids = Ids(clock, Random(seed).getrandbits)  # noqa: S311 - the same case has the same ids each time
        self._replies = Replies()
        self._http = PooledClient(clock=clock, blobs=blobs)
        self._main = ""
        self._prefixes: dict[str, str] = {}
        self._flows: dict[str, CompiledFlow] = {}
        self._bodies: dict[str, Any] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._done = asyncio.Event()
        self._took: timedelta | None = None
        self._steps: dict[str, list[StepRecord]] = {}
        self._path: dict[str, None] = {}
        self._calls: list[Call] = []
        self._missing: list[str] = []
        self._unanswered: list[str] = []
        services = Services(
            # It holds to as much of the port as running executions ask for.
            store=cast(Store, self._store),
            blobs=blobs,
            http=self._http,
            resources=EngineResources(),
            secrets=_NoSecrets(),
            replies=self._replies,
            flows=self,
            clock=clock,
            metrics=Metrics(),
            log=_LOG,
            files_root=None,
            describe=lambda action: str(registry.origin("action", action.name)),
            new_id=self._ids.new,
            trial=self,
        )
        self._runner = Runner(services, self, self, self, lambda flow_id: None, _hook_url)

    async def run(self, envelope: Envelope) -> Ended:
        """Run an execution until it has ended, or nothing more can happen."""
        self._main = envelope.execution_id
        self._prefixes[self._main] = ""
        webhook = self._flow.trigger.webhook
        with self._replies.expect(self._main):
            if webhook is None:
                self._replies.close()
            await self._store.commit([Accept(envelope)])
            waits = [asyncio.ensure_future(event.wait()) for event in (self._done, self._clock.stuck)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in (*waits, *self._running.values()):
                task.cancel()
            await asyncio.gather(*waits, *self._running.values(), return_exceptions=True)
        await self._http.close()
        return await self._ended()

    async def _ended(self) -> Ended:
        execution = await self._store.execution(self._main)
        body = self._bodies.get(self._main)
        final = execution is not None and execution.state in FINAL
        reply = next(
            (
                read_reply(record.output, exact=self._flow.exact)
                for path, records in self._steps.items()
                for record in records
                if record.use == "reply" and record.output is not None and path in self._own
            ),
            None,
        )
        return Ended(
            outcome=execution.outcome if execution is not None and final else None,
            body=body.shown if isinstance(body, Stream) else body,
            error=execution.error if execution is not None else None,
            reason=execution.reason if execution is not None else None,
            reply=reply,
            steps=self._steps,
            path=tuple(self._path),
            calls=tuple(self._calls),
            took=self._took if self._took is not None else self._clock.now() - self._clock.start,
            exact=self._flow.exact,
            missing=tuple(self._missing),
            unanswered=tuple(self._unanswered),
        )

    # What the runner asks of the queue and of the timers.

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Run an execution, or run it again once it has come to where it waits."""
        if execution_id in self._prefixes:
            self._deliver(execution_id)

    def notice(self, at: datetime) -> None:
        """Something was parked until then."""
        self._clock.call_at(at, self._wake_due)

    def _wake_due(self) -> None:
        for execution in self._store.due(self._clock.now()):
            self._deliver(execution.id)

    def _deliver(self, execution_id: str) -> None:
        if self._done.is_set():
            return
        if execution_id in self._running:
            self._again.add(execution_id)
        else:
            self._running[execution_id] = asyncio.create_task(self._run(execution_id))

    async def _run(self, execution_id: str) -> None:
        try:
            while True:
                self._again.discard(execution_id)
                execution = await self._store.execution(execution_id)
                if execution is None or execution.state in FINAL:
                    return
                fresh = execution.state is State.QUEUED
                await self._runner.run(_Delivery(execution_id, execution.flow_id, fresh, self._retry(execution_id)))
                if execution_id not in self._again:
                    return
        finally:
            del self._running[execution_id]

    def _retry(self, execution_id: str) -> Callable[[float], None]:
        return lambda after: self._clock.call_at(
            self._clock.now() + timedelta(seconds=after), lambda: self._deliver(execution_id)
        )

    # What the runner asks of the flows' versions.

    def current(self, flow_id: str) -> CompiledFlow:
        """The one version that there is."""
        flow = self._flow if flow_id == self._flow.id else self._flows.get(flow_id)
        if flow is None:
            raise FlowNotFound(f"there is no flow {flow_id!r}")
        return flow

    async def version(self, flow_id: str, version: str) -> CompiledFlow:
        """The same."""
        return self.current(flow_id)

    def keeping(self, flow: CompiledFlow, at: datetime) -> tuple[Publish, ...]:
        """Nothing is kept."""
        return ()

    # What steps ask of the other flows.

    def flow(self, flow_id: str) -> CompiledFlow:
        """A flow to call: where there is none, one that takes everything, to be answered from outside."""
        if flow_id == self._flow.id:
            return self._flow
        found = self._others(flow_id)
        if found is not None:
            self._flows[flow_id] = found
            return found
        return replace(self._flow, id=flow_id, schema=None, order_by=None, on_error_flow=None, on_error_steps=())

    def emit(self, flow: CompiledFlow, envelope: Envelope) -> Accept:
        """The change that starts an execution."""
        flow.check_body(envelope.message.body)
        return Accept(envelope)

    async def cancel(self, execution_id: str) -> None:
        """Let an execution end as cancelled, unless it has ended."""
        envelope = await self._store.envelope(execution_id)
        if envelope is None:
            return
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self._clock.now())
        try:
            await self._store.commit([Cancel(execution_id, end.at, told_of_end(envelope, end, None, self._ids.new()))])
        except (ExecutionNotFound, IllegalStateChange):
            return
        self._runner.cancel(execution_id)
        self._deliver(execution_id)

    # What takes part in the steps.

    def call(self, execution_id: str, path: str, attempt: int, action: Action, settings: Any) -> Any:
        """Answer in an action's place, where it has effects."""
        if self._itself(action):
            return None
        full = self._prefixes[execution_id] + path
        self._calls.append(Call(full, action.name, settings))
        return self._outside.call(full, attempt, action, settings)

    def gathered(self, execution_id: str, path: str, attempt: int) -> Reply | Joined | None:
        """What was gathered at a step, as far as that is said; else whoever comes joins."""
        return self._outside.gathered(self._prefixes[execution_id] + path, attempt)

    def ended(self, execution_id: str, message: Message) -> None:
        """Remember what an execution ended with."""
        self._bodies[execution_id] = message.body

    # What follows from what becomes durable.

    def _committed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case Record(id_, records):
                    self._note(id_, records)
                case AddState(id_, step):
                    counted = self._store.entry(id_, step.seq)
                    self._note(id_, () if counted is None else (counted,))
                case Join(step):
                    come = self._store.entry(change.execution_id, step.seq)
                    self._note(change.execution_id, () if come is None else (come,))
                case Accept(envelope):
                    self._accepted(envelope)
                case Await():
                    self._awaited(change)
                case End(id_) if id_ == self._main:
                    self._took = self._clock.now() - self._clock.start
                    self._done.set()
                case _:
                    pass

    def _note(self, execution_id: str, records: Sequence[StepRecord]) -> None:
        prefix = self._prefixes[execution_id]
        for record in records:
            path = prefix + record.path
            self._steps.setdefault(path, []).append(record)
            if record.state in _DONE and record.path != FINISHED:
                self._path.setdefault(path)

    @property
    def _own(self) -> frozenset[str]:
        """The paths of the main execution's steps."""
        inner = tuple(prefix for prefix in self._prefixes.values() if prefix)
        return frozenset(path for path in self._steps if not inner or not path.startswith(inner))

    def _accepted(self, envelope: Envelope) -> None:
        id_, parent = envelope.execution_id, envelope.arrival.parent
        if parent is None:
            self._deliver(id_)
            return
        above = self._prefixes[parent.execution_id]
        path = above + parent.path
        self._prefixes[id_] = f"{path}/"
        given = {"id": envelope.flow_id, "body": envelope.message.body, "headers": envelope.message.headers}
        if parent.path == ON_ERROR:
            # It takes care of what has ended, and has no part in that.
            self._calls.append(Call(path, "flow", given))
            return
        attempt = int((parent.waits_at or "").partition("#")[2] or 1)
        known = envelope.flow_id == self._flow.id or envelope.flow_id in self._flows
        try:
            reply = self._outside.flow(path, attempt, envelope.flow_id, given)
        except StepError as error:
            info = ErrorInfo(error.error_code, error.message, retryable=error.retryable)
            self._answer_flow(envelope, given, None, info)
            return
        if reply is not None:
            self._answer_flow(envelope, given, reply, None)
        elif known:
            self._deliver(id_)
        else:
            text = (
                f"step {path}: there is no flow {envelope.flow_id!r} beside, and no stub; add it to the case: "
                f'"stubs": {{"{path}": {{"result": …}}}}'
            )
            self._missing.append(text)
            self._answer_flow(envelope, given, None, ErrorInfo("case.stub", text))

    def _answer_flow(self, envelope: Envelope, given: Any, reply: Reply | None, error: ErrorInfo | None) -> None:
        parent = envelope.arrival.parent
        if parent is None:
            return
        self._calls.append(Call(self._prefixes[envelope.execution_id].rstrip("/"), "flow", given))
        now = self._clock.now()
        if error is None:
            end = End(envelope.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)
        else:
            end = End(envelope.execution_id, State.FAILED, Outcome.FAILED, now, error)
        last = Message(reply.body, {}, envelope.message.attachments) if reply is not None else None
        told = told_of_end(envelope, end, last, self._ids.new())
        start = Start(envelope.execution_id, "stubbed", now)

        def commit() -> None:
            self._soon([start, end, *([told] if told is not None else [])], parent.execution_id)

        self._clock.call_at(now, commit)

    def _awaited(self, change: Await) -> None:
        flow = self.current(change.flow_id)
        if change.step_id not in flow.waits:
            return
        path = self._prefixes[change.execution_id] + change.path
        answer = self._outside.answer(path)
        if answer is None:
            self._unanswered.append(path)
            return
        at = change.at + answer.after
        headers = {name.lower(): value for name, value in answer.headers.items()}
        payload = pack_callback(
            Arrived(raw_json(answer.body), headers, (), answer.method, answer.query, at, "test case", None)
        )
        call = CallBack(
            id=self._ids.new(),
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
        """Commit from outside any run, and let an execution go on."""
        # A store in memory never waits, so this runs to its end here.
        commit = self._store.commit(changes)
        try:
            commit.send(None)
        except StopIteration:
            self._deliver(wakes)


def _hook_url(execution_id: str, path: str) -> str:
    return f"{_HOOKS}/{execution_id}/{path}"
