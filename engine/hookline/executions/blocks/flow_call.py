"""The step that calls another flow: it starts an execution of that flow and may wait for its end."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from hookline.executions.blocks.block_expressions import RunSteps, evaluate_in_frame
from hookline.executions.ending import MAX_DEPTH, child_depth
from hookline.executions.execution_context import Blocked, Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.steps.recorded_result import continue_if_ended
from hookline.flows.blocks.flow_call import USE, CompiledCall
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import child_envelope, with_keys
from hookline.kernel.backoff import next_wait
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    SchemaViolation,
    StepError,
)
from hookline.kernel.ids import derived_id
from hookline.kernel.json import decode, encode
from hookline.model.callbacks_and_pages import FlowEnded
from hookline.model.durations import format_duration
from hookline.model.execution import FLOW, RETRY, ErrorInfo, Outcome, StepRecord, StepState
from hookline.model.foreach_progress_and_streams import REMEDY, stream_in
from hookline.model.message import Envelope, Message, Parent
from hookline.sdk.action import Reply
from hookline.storage.change_declarations import Accept, BeginWait, EndWait, TimeOutWait, WaitTimedOut

#: The number of problems of a body that an error lists.
_SHOWN: Final = 3


async def run_call(run: ExecutionContext, step: CompiledCall, frame: Frame, _: RunSteps) -> Ending:
    """Start an execution of the flow. If the step waits, the last body of that flow becomes the message.

    Raises StepFailed if the flow can't be called or has failed, and Blocked if it can't run.
    """
    call = _Call(run, step, frame)
    last_entry = run.journal.last_entry(call.path)
    if step.wait:
        run.progress.note_waited()
    ending = await continue_if_ended(run, step, frame, last_entry)
    if ending is not None:
        return ending
    if not run.gate.may_act(call.path):
        return Ending.WAITING
    if last_entry is None or last_entry.state is StepState.SKIPPED:
        return await call.begin(1, frame.now)
    return await call.go_on(last_entry)


class _Call:
    def __init__(self, run: ExecutionContext, step: CompiledCall, frame: Frame) -> None:
        self._run = run
        self._step = step
        self._frame = frame
        self.path = frame.prefix + step.id

    async def go_on(self, last_entry: StepRecord) -> Ending:
        """Hear from the called flow, wait for the next attempt, or call again."""
        # If the step waited when its execution ended, the called execution was cancelled.
        over = last_entry.state is StepState.FAILED or last_entry.seq <= self._run.reopened_after
        if last_entry.error is None and not over:
            return await self.hear(last_entry)
        if (
            last_entry.error is not None
            and last_entry.due_at is not None
            and last_entry.due_at > self._run.services.clock.now()
        ):
            return self._run.wait(self._frame, last_entry.due_at, RETRY)
        return await self.begin(last_entry.attempt + 1, last_entry.finished_at)

    async def begin(self, attempt: int, after: datetime) -> Ending:
        """Start an execution and store it together with its message.

        `after`: the time of the journal entry before.
        """
        run, step, frame = self._run, self._step, self._frame
        frame.interruption.check()
        now = run.services.clock.now()
        # The same attempt of the same step always has the same id, so a repetition starts nothing twice.
        child_id = derived_id(after, run.id, self.path, str(attempt))
        try:
            message = await self._message()
            run.services.effects.flow_started(run.id, self.path, attempt)
            flow = self._flow()
            accept = await self._accept(flow, message, child_id, attempt, now)
        except StepFailed as failed:
            return self._failed(failed.error, attempt, now)
        except StepError as error:
            return self._failed(run.error_info(error, self.path), attempt, now)
        request = {"id": step.flow_id, "wait": step.wait, "body": message.body, "headers": message.headers}
        if not step.wait:
            reply = Reply({"execution_id": child_id}, {}, {"execution_id": child_id})
            frame.message, view = next_message(frame.message, reply)
            entry = self._record(StepState.SUCCEEDED, attempt, now, input=encode(request), output=encode(view))
            run.journal.add_changes(accept)
            await run.journal.flush()
            frame.now, frame.steps[step.id] = entry.finished_at, view
            return Ending.DONE
        entry = self._record(
            StepState.WAITING,
            attempt,
            now,
            input=encode(request),
            output=encode({"execution_id": child_id}),
            due_at=None if step.timeout is None else now + step.timeout,
        )
        awaited = BeginWait(run.id, self._waits_at(attempt), run.flow.id, step.id, None, now)
        run.journal.add_changes(awaited, accept)
        await run.journal.flush()
        return await self.hear(entry)

    async def hear(self, last_entry: StepRecord) -> Ending:
        """Take the result of the called flow, if it has ended."""
        run, step, frame = self._run, self._step, self._frame
        ended = await self._ended(last_entry)
        over = last_entry.due_at is not None and last_entry.due_at <= run.services.clock.now()
        if ended is None and (over or frame.interruption.cause is not None):
            if isinstance(await run.journal.commit_with(self._time_out(last_entry)), WaitTimedOut):
                return await self._give_up(last_entry)
            run.progress.forget_callbacks()  # it ended at the last moment
            ended = await self._ended(last_entry)
        if ended is None:
            return run.wait(frame, last_entry.due_at, FLOW)
        run.journal.add_changes(self._settle(last_entry))
        error_of_flow = self._error(ended)
        if error_of_flow is not None:
            return self._failed(error_of_flow, last_entry.attempt, last_entry.started_at, last_entry)
        extra = {"execution_id": ended.execution_id, "outcome": ended.outcome.value}
        completed = ended.outcome is Outcome.COMPLETED
        body = run.flow.numbers.decode(bytes(ended.body))
        reply = Reply(body, {}, extra, ended.attachments if completed else None)
        frame.message, view = next_message(frame.message, reply)
        entry = self._record(
            StepState.SUCCEEDED,
            last_entry.attempt,
            last_entry.started_at,
            input=last_entry.input,
            output=encode(view),
        )
        frame.now, frame.steps[step.id] = entry.finished_at, view
        return Ending.DONE

    async def _give_up(self, last_entry: StepRecord) -> Ending:
        """Cancel the called flow, which was not in time. Raises Interrupted."""
        await self._cancel(last_entry)
        self._run.journal.add_changes(self._settle(last_entry))
        self._frame.interruption.check()
        assert last_entry.due_at is not None  # noqa: S101 - it is over, or the execution is interrupted
        limit = format_duration(last_entry.due_at - last_entry.started_at)
        message = f"flow {self._step.flow_id!r} took longer than {limit} (execution {_child(last_entry)})"
        error = ErrorInfo("timed_out", message, self.path, retryable=True)
        return self._failed(error, last_entry.attempt, last_entry.started_at, last_entry)

    async def _cancel(self, last_entry: StepRecord) -> None:
        with suppress(ExecutionNotFound, IllegalStateChange):  # the called execution has ended
            await self._run.services.cancel(_child(last_entry))

    async def _message(self) -> Message:
        run, step, frame = self._run, self._step, self._frame
        message = frame.message
        body = message.body if step.body is None else await evaluate_in_frame(run, step.body, frame, "body", self.path)
        stream = stream_in(body) if run.progress.streams else None
        if stream is not None:
            failure = StepError(f"body: a stream of {stream.count:,} items is no value; {REMEDY}", code="step.stream")
            raise StepFailed(run.error_info(failure, self.path))
        headers: Any = message.headers
        if step.headers is not None:
            headers = await evaluate_in_frame(run, step.headers, frame, "headers", self.path)
            headers = {} if headers is None else headers
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            failure = StepError("headers: this must be an object whose values are texts", code="step.settings")
            raise StepFailed(run.error_info(failure, self.path))
        return Message(body, {name.lower(): value for name, value in headers.items()}, message.attachments)

    def _flow(self) -> CompiledFlow:
        try:
            flow = self._run.services.find_flow(self._step.flow_id)
        except FlowNotFound as error:
            raise StepError(f"{error.message}; it can't be called", code="flow.unknown") from error
        except FlowInvalid as error:
            raise Blocked(f"flow {self._step.flow_id!r} can't run: {error.message}") from error
        flow.check_caller(self._run.flow.id)
        return flow

    async def _accept(self, flow: CompiledFlow, message: Message, child_id: str, attempt: int, now: datetime) -> Accept:
        run, step = self._run, self._step
        depth = child_depth(run.envelope)
        if depth > MAX_DEPTH:
            raise StepError(f"flows call one another more than {MAX_DEPTH} deep", code="flow.depth")
        await self._check_body(flow, message.body)
        waits_at = self._waits_at(attempt) if step.wait else None
        envelope = child_envelope(
            flow.id,
            message,
            use=USE,
            parent=Parent(run.id, run.flow.id, self.path, step.id, depth, waits_at),
            execution_id=child_id,
            now=now,
            exact=run.flow.exact,
            hidden=tuple(run.redactor.hidden),
        )
        try:
            envelope = with_keys(flow, envelope)
            if step.wait and envelope.order_key is not None:
                await self._check_order(flow.id, envelope.order_key)
            return await run.services.emit(flow, envelope)
        except SchemaViolation as error:
            raise StepError(f"flow {flow.id!r}: {error.message}", code="flow.schema") from error

    async def _check_body(self, flow: CompiledFlow, body: Any) -> None:
        if flow.schema is None:
            return
        services, exact = self._run.services, self._run.flow.exact
        found = await services.body_checker.problems(flow.schema, (body,), exact=exact, patience=None)
        if found:
            listed = "; ".join(str(problem) for _, problem in found[:_SHOWN])
            more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise StepError(f"flow {flow.id!r} doesn't take this body: {listed}{more}", code="flow.schema")

    async def _check_order(self, flow_id: str, key: str) -> None:
        """Fail if the step would wait for an execution that waits for this one because of its order key."""
        above: Envelope | None = self._run.envelope
        while above is not None:
            if (above.flow_id, above.order_key) == (flow_id, key):
                raise StepError(
                    f"this would wait forever: execution {above.execution_id} of flow {flow_id!r} has the same order "
                    "key, and ends only after the execution that it calls",
                    code="flow.order",
                )
            parent = above.arrival.parent
            waits = parent is not None and parent.waits_at is not None
            above = await self._run.services.store.envelope(parent.execution_id) if parent and waits else None

    def _waits_at(self, attempt: int) -> str:
        # An execution that an earlier attempt started may still end; a later attempt ignores it.
        return self.path if attempt == 1 else f"{self.path}#{attempt}"

    async def _ended(self, last_entry: StepRecord) -> FlowEnded | None:
        run = self._run
        payload = (await run.progress.callbacks()).get(self._waits_at(last_entry.attempt))
        ended = run.callback(payload) if payload is not None else None
        return ended if isinstance(ended, FlowEnded) else None

    def _time_out(self, last_entry: StepRecord) -> TimeOutWait:
        run, services = self._run, self._run.services
        waits_at, now = self._waits_at(last_entry.attempt), services.clock.now()
        return TimeOutWait(services.new_id(), run.id, waits_at, run.flow.id, self._step.id, now)

    def _settle(self, last_entry: StepRecord) -> EndWait:
        return EndWait(self._run.id, self._waits_at(last_entry.attempt))

    def _error(self, ended: FlowEnded) -> ErrorInfo | None:
        """The error of the step, if the called flow has failed or was cancelled."""
        where = f"execution {ended.execution_id}"
        if ended.error is not None:
            at = f", at {ended.error.step}" if ended.error.step is not None else ""
            message = f"flow {self._step.flow_id!r} failed: {ended.error.message} ({where}{at})"
            return ErrorInfo(ended.error.code, message, self.path, ended.error.retryable)
        if ended.outcome is Outcome.CANCELLED:
            return ErrorInfo("flow.cancelled", f"flow {self._step.flow_id!r} was cancelled ({where})", self.path)
        return None

    def _failed(
        self, error: ErrorInfo, attempt: int, started_at: datetime, last_entry: StepRecord | None = None
    ) -> Ending:
        run, step = self._run, self._step
        failure = StepError(error.message, code=error.code, retryable=error.retryable)
        wait = next_wait(step.retry, attempt, failure, f"{run.id}\n{self.path}")
        due_at = None if wait is None else run.services.clock.now() + wait
        state = StepState.FAILED if due_at is None else StepState.WAITING
        known = {} if last_entry is None else {"input": last_entry.input, "output": last_entry.output}
        entry = self._record(state, attempt, started_at, error=error, due_at=due_at, **known)
        if due_at is not None:
            return run.wait(self._frame, due_at, RETRY)
        return self._frame.end_failed_step(step, error, entry.finished_at)

    def _record(self, state: StepState, attempt: int, started_at: datetime, **entry: Any) -> StepRecord:
        return self._run.journal.record(self.path, USE, state, attempt, started_at, **entry)


def _child(last_entry: StepRecord) -> str:
    """The id of the execution that an attempt has started."""
    child: str = decode(last_entry.output or b"{}")["execution_id"]
    return child
