"""Running the cases of a flow: in memory, with stubs for what has effects, and with time that leaps over waits."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from hookline.clock import Clock
from hookline.connector import Action, Reply
from hookline.errors import HooklineError, StepError
from hookline.flows.compiled import CompiledFlow
from hookline.ids import Ids
from hookline.jsontypes import reader
from hookline.model.execution import ErrorInfo, Outcome, StepRecord
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.model.stream import Stream
from hookline.ports import Blobs
from hookline.registry import Registry
from hookline.runtime.blocks import run_steps
from hookline.runtime.execution_run import ExecutionRun
from hookline.runtime.frame import Blocked, Ending, Frame, StepFailed
from hookline.runtime.http_client import PooledClient
from hookline.runtime.journal import Journal
from hookline.runtime.metrics import Metrics
from hookline.runtime.replies import Replies
from hookline.runtime.resources import EngineResources
from hookline.runtime.services import Services
from hookline.testing.case_store import CaseStore
from hookline.testing.cases import Case, ExpectedCall, InputAttachment, Stub, differences

_INDEX: Final = re.compile(r"\[\d+\]")
#: A case whose waits go on after so many rounds never ends.
_ROUNDS: Final = 10_000

_OUTCOMES: Final = {
    Ending.DONE: Outcome.COMPLETED,
    Ending.FILTERED: Outcome.FILTERED,
    Ending.STOPPED: Outcome.STOPPED,
}


class LeapingClock:
    """Time that passes only in sleeps, and then at once."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._now = start

    def now(self) -> datetime:
        """The time, one microsecond later at each look, so that no two events are at one time."""
        self._now += timedelta(microseconds=1)
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Leap."""
        self._now += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def leap_to(self, at: datetime) -> None:
        """Go to a time, if it is ahead."""
        self._now = max(self._now, at)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a stub took."""

    step: str
    use: str
    settings: Any


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of a case; it passed where nothing differs."""

    flow_id: str
    name: str
    outcome: Outcome | None
    body: Any
    error: ErrorInfo | None
    steps: tuple[StepRecord, ...]
    calls: tuple[Call, ...]
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


class _NoSecrets:
    def get(self, name: str) -> Any:
        raise StepError(f"credential {name!r}: actions that use credentials are stubbed in cases", code="case.stub")


class _NoFlows:
    """A case runs one flow: those that it calls aren't there."""

    def flow(self, flow_id: str) -> Any:
        raise StepError(f"flow {flow_id!r} is another; a case runs one flow", code="case.stub")

    def emit(self, flow: Any, envelope: Any) -> Any:
        raise NotImplementedError

    async def cancel(self, execution_id: str) -> None:
        raise NotImplementedError


class _Stubs:
    """Answers for actions: by the step's whole path, or by its path without the items' numbers."""

    def __init__(self, stubs: dict[str, Stub], registry: Registry) -> None:
        self._stubs = stubs
        self._registry = registry
        self.calls: list[Call] = []

    def __call__(self, path: str, action: Action, settings: Any) -> Any:
        stub = self._stubs.get(path) or self._stubs.get(_INDEX.sub("", path))
        if stub is None:
            if action.pure or self._is_generic(action):
                return None
            raise StepError(
                f"{action.name} has effects and no stub; add it to the case: "
                f'"stubs": {{"{_INDEX.sub("", path)}": {{"result": …}}}}',
                code="case.stub",
            )
        self.calls.append(Call(path, action.name, settings))
        if stub.error is not None:
            raise StepError(stub.error.message, code=stub.error.code, retryable=stub.error.retryable)
        return Reply(stub.result, extra={} if stub.status is None else {"status": stub.status})

    def _is_generic(self, action: Action) -> bool:
        """Actions without a connector's prefix touch nothing outside."""
        return any(not c.prefix and action in c.actions.values() for c in self._registry.connectors.values())


class CaseRunner:
    """Runs cases of flows, one after the other."""

    def __init__(self, registry: Registry, blobs: Blobs) -> None:
        self._registry = registry
        self._blobs = blobs

    async def run(self, flow: CompiledFlow, case: Case, folder: Path) -> CaseResult:
        """Run a case; `folder` is what the paths of its files are relative to."""
        clock = LeapingClock()
        store = CaseStore()
        stubs = _Stubs(case.stubs, self._registry)
        services = self._services(clock, store, stubs)
        envelope = Envelope(
            execution_id=Ids(clock).new(),
            flow_id=flow.id,
            message=await self._message(case, folder),
            arrival=Arrival(
                use=flow.trigger.use,
                method="POST" if flow.trigger.webhook is not None else None,
                received_at=clock.now(),
                verified_by="test case",
            ),
            accepted_at=clock.now(),
            exact=flow.exact,
        )
        started_at = clock.now()
        outcome: Outcome | None = None
        error: ErrorInfo | None = None
        frame = Frame(envelope.message, {}, started_at)
        for _ in range(_ROUNDS):
            run = ExecutionRun(
                flow=flow,
                envelope=envelope,
                journal=Journal(envelope.execution_id, services, store.records, ()),
                services=services,
                started_at=started_at,
                attempt=1,
                vars=flow.vars,
            )
            frame = Frame(envelope.message, {}, started_at)
            try:
                ending = await run_steps(run, flow.steps, frame)
            except StepFailed as failed:
                outcome, error = Outcome.FAILED, failed.error
            except Blocked as cause:
                outcome, error = None, ErrorInfo("blocked", str(cause))
            else:
                outcome = _OUTCOMES.get(ending)
            await run.journal.flush()
            if outcome is not None or run.ready_at is None:
                break
            clock.leap_to(run.ready_at)
        return self._result(flow, case, outcome, error, frame, store, stubs)

    def _services(self, clock: Clock, store: Any, stubs: _Stubs) -> Services:
        log = structlog.get_logger("hookline.testing")
        return Services(
            store=store,
            blobs=self._blobs,
            http=PooledClient(clock=clock, blobs=self._blobs),
            resources=EngineResources(),
            secrets=_NoSecrets(),
            replies=Replies(),
            flows=_NoFlows(),
            clock=clock,
            metrics=Metrics(),
            log=log,
            files_root=None,
            describe=lambda action: str(self._registry.origin("action", action.name)),
            new_id=Ids(clock).new,
            stub=stubs,
        )

    async def _message(self, case: Case, folder: Path) -> Message:
        attachments = [await self._attachment(given, folder) for given in case.input.attachments]
        headers = {name.lower(): value for name, value in case.input.headers.items()}
        return Message(case.input.body, headers, tuple(attachments))

    async def _attachment(self, given: InputAttachment, folder: Path) -> Attachment:
        if given.file is not None:
            try:
                content = await asyncio.to_thread((folder / given.file).read_bytes)
            except OSError as error:
                raise HooklineError(f"attachment {given.name!r}: {error}") from error
        else:
            content = (given.content or "").encode()
        writer = await self._blobs.create()
        try:
            await writer.write(content)
            blob = await writer.commit()
        finally:
            await writer.abort()
        return Attachment(blob.id, given.name, given.filename or given.file, given.type, blob.size, blob.sha256)

    def _result(
        self,
        flow: CompiledFlow,
        case: Case,
        outcome: Outcome | None,
        error: ErrorInfo | None,
        frame: Frame,
        store: CaseStore,
        stubs: _Stubs,
    ) -> CaseResult:
        found: list[str] = []
        if outcome != case.expect.outcome:
            why = f": {error.step or 'flow'}: {error.message}" if error is not None else ""
            found.append(f"outcome should be {case.expect.outcome}, and is {outcome or 'waiting'}{why}")
        if "body" in case.expect.model_fields_set:
            body = frame.message.body
            found += differences(case.expect.body, body.shown if isinstance(body, Stream) else body, "body")
        if case.expect.error is not None:
            actual = None if error is None else {"code": error.code, "message": error.message, "step": error.step}
            found += differences(case.expect.error, actual, "error")
        last = {record.path: record for record in store.records}
        for path, expected in case.expect.steps.items():
            record = last.get(path)
            if record is None:
                found.append(f"step {path} should have run, and did not")
            else:
                output = None if record.output is None else reader(Any, exact=flow.exact).decode(record.output)
                found += differences(expected, output, f"steps.{path}")
        if case.expect.calls is not None:
            found += _call_differences(case.expect.calls, stubs.calls)
        return CaseResult(
            flow.id,
            case.name,
            outcome,
            frame.message.body,
            error,
            tuple(store.records),
            tuple(stubs.calls),
            tuple(found),
        )


def _call_differences(expected: Sequence[ExpectedCall], actual: Sequence[Call]) -> list[str]:
    if len(expected) != len(actual):
        made = ", ".join(call.step for call in actual) or "none"
        return [f"there should be {len(expected)} calls, and there are {len(actual)}: {made}"]
    found: list[str] = []
    for number, (wanted, call) in enumerate(zip(expected, actual, strict=True)):
        place = f"calls[{number}]"
        if wanted.step is not None:
            found += differences(wanted.step, call.step, f"{place}.step")
        if wanted.use is not None:
            found += differences(wanted.use, call.use, f"{place}.use")
        if wanted.with_ is not None:
            found += differences(wanted.with_, call.settings, f"{place}.with")
    return found
