"""The run of one action step: its attempts, its result and its journal entries."""

import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.executions.context import Ending, ExecutionContext, Frame, Interrupted, StepFailed
from hookline.executions.rate_limits import LONGEST_SLEEP
from hookline.executions.steps.call import Given, OwnFailure, call_action, evaluate_settings, prepare_call, sources
from hookline.flows.blocks.action import ActionNode
from hookline.kernel.backoff import STORE_RETRY, next_wait
from hookline.kernel.errors import CredentialError, StepError
from hookline.kernel.json import encode, is_heavy, is_heavy_value, reader
from hookline.model.execution import OUTCOME_UNKNOWN, RATE, RETRY, SLEEP, UNTIL, ErrorInfo, StepRecord, StepState
from hookline.model.items import STREAM, Stream
from hookline.model.message import Attachment, CallerReply, Message
from hookline.model.webhook import RATE as RATE_PATTERN
from hookline.plugin_host.offload import reads_large_values
from hookline.sdk.action import FILTERED, PASS, STOPPED, Action, Increment, Reply, Signal, Sleep
from hookline.sdk.context import check_key
from hookline.storage.changes import SetState

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def wait_for_turn(run: ExecutionContext, node: ActionNode, path: str, attempt: int, *, had_one: bool) -> bool:
    """Wait for the step's turn; return False if the wait is stored as a row. `had_one`: an earlier turn has come."""
    lines = list(_lines(run, node))
    if not lines:
        return True
    # Turns are counted on the monotonic clock, so they stay where they are when the time of day is set.
    steady = _BEGINNING + timedelta(seconds=run.services.clock.monotonic())
    turn = max(run.services.rates.turn(where, name, rate, steady, had_one=had_one) for where, name, rate in lines)
    now = run.services.clock.now()
    at = now + (turn - steady)
    if at - now > LONGEST_SLEEP:
        await note(run, node, path, attempt, now, None, due_at=at, signal=RATE)
        run.wait_until(at, RATE)
        return False
    if at > now:
        await run.services.clock.sleep((at - now).total_seconds())
    return True


def _lines(run: ExecutionContext, node: ActionNode) -> Iterator[tuple[str, str, str]]:
    """The rate limits of a step: flow or connector, step or credential, and the rate."""
    if node.rate is not None:
        yield run.flow.id, node.id, node.rate
    # A simulation doesn't call the service.
    rate = node.action.rate if run.services.simulation is None else None
    if callable(rate):
        try:
            credential = None if node.credential is None else run.services.secrets.get(node.credential)[1]
        except CredentialError:
            # The call reports the error of the credential.
            return
        try:
            rate = rate(credential)
        except Exception as error:  # noqa: BLE001 - a defect of the connector must not take the execution with it
            run.services.log.error("connector defect", action=node.action.name, error=f"its rate: {error}")
            return
    if rate is not None:
        if not re.fullmatch(RATE_PATTERN, rate):
            run.services.log.error("connector defect", action=node.action.name, error=f"{rate!r} is no rate")
            return
        # The id of a flow has no space.
        yield f"connector {node.action.connector}", node.credential or "", rate


#: By whether the flow's numbers are exact.
_OUTPUTS: Final = {exact: reader(dict[str, Any], exact=exact) for exact in (False, True)}


#: The signal of an entry of an at-most-once step that was interrupted before it began; the step hasn't failed.
_NOT_BEGUN: Final = "not_begun"


_CUT_OFF: Final = "the engine was stopped while it ran"


async def run_action(run: ExecutionContext, node: ActionNode, frame: Frame) -> Ending:
    """Run an action, or take its result from the journal. Raises StepFailed, and Blocked.

    Everything recorded before is durable before an action that is not pure starts.
    """
    path = frame.prefix + node.id
    past = run.journal.past(path)
    pure = node.action.pure
    if past is not None and (not pure or past.signal == STREAM) and past.state is StepState.SUCCEEDED:
        return await replay(run, frame, node.id, past)
    attempt, had_turn = 1, False
    if past is not None and not pure and past.state is StepState.FAILED and past.signal != _NOT_BEGUN:
        if node.on_error == "continue":
            return continue_after_error(frame, node.id, past.error, past.finished_at)
        if past.error is not None and (run.keeps_failure(frame, past) or _unknown(node, past)):
            raise StepFailed(past.error, past.finished_at)
    if run.dry is not None and not pure:
        run.dry.stop_at(path)
        return Ending.WAITING
    if past is not None and not pure:
        if past.state is StepState.STARTED:
            return await _cut_off(run, node, frame, path, past)
        if past.state is StepState.WAITING:
            had_turn = past.signal == RATE
            paused = past.error is None and not had_turn
            if past.due_at is not None and past.due_at > run.services.clock.now():
                frame.interruption.check()
                run.wait_until(past.due_at, RATE if had_turn else SLEEP if paused else RETRY)
                return Ending.WAITING
            if paused:
                return await _finish(run, node, frame, path, past.attempt, past.started_at, None, PASS)
            attempt = past.attempt if had_turn else past.attempt + 1
    while True:
        if not pure:
            frame.interruption.check()
            if not await wait_for_turn(run, node, path, attempt, had_one=had_turn):
                return Ending.WAITING
            had_turn = False
            await run.journal.flush(path)
        started_at = run.services.clock.now()
        given: Given | None = None
        begun = False
        try:
            scope = run.scope(frame)
            own = frame.message if run.services.plugin_host.is_foreign("action", node.action.name) else None
            judge = partial(evaluate_settings, run, node, scope, sources(run, frame), own)
            given = await run.services.offloader.run(
                judge, large=run.large and reads_large_values(node.settings.references, scope)
            )
            call = prepare_call(run, node, frame, given, path, attempt)
            if node.once:
                await note_started(run, node, path, attempt, started_at, given)
                await run.journal.flush()
            # A pure step isn't interrupted, or a `finally` after it would not be reached. A stream is recorded: if its
            # entry is missing, no step after it has been done.
            writing = frame.interruption if pure and past is None else None
            with nullcontext() if pure else frame.interruption.interruptible():
                begun = True
                result = await call_action(run, node, call, path, attempt, writing)
            if isinstance(result, Increment):
                changes = call.state.changes(result.key)
                files = frame.message.attachments
                counted = await note_counted(run, node, path, attempt, started_at, given, result, changes, files)
                return await replay(run, frame, node.id, counted)
        except Interrupted:
            if node.once:
                await _note_interrupted(run, node, path, attempt, started_at, given, begun=begun)
            raise
        except OwnFailure as failure:
            # This is no attempt, so no failure is recorded.
            run.services.own_failures.noticed(execution_id=run.id, flow_id=run.flow.id, step=path, error=str(failure))
            if node.once:
                await _note_interrupted(run, node, path, attempt, started_at, given, begun=False)
            await run.services.clock.sleep(STORE_RETRY)
        except StepError as failure:
            error = _not_known(node, failure.message) if node.once and failure.outcome_unknown else failure
            wait = None if pure else next_wait(node.retry, attempt, error, f"{run.id}\n{path}")
            due_at = run.services.clock.now() + wait if wait is not None else None
            info = run.error_info(error, path)
            if not pure:
                noted_at = await note(run, node, path, attempt, started_at, given, error=info, due_at=due_at)
            else:
                # A pure step has no commit of its own: the time that expressions see stays, or resuming would give
                # another result.
                noted_at = frame.now
                known = past is not None and past.state is StepState.FAILED
                if past is None or not known or not (node.on_error == "continue" or run.keeps_failure(frame, past)):
                    await note(run, node, path, attempt, started_at, given, error=info)
            if wait is None or due_at is None:
                if node.on_error == "continue":
                    return continue_after_error(frame, node.id, info, noted_at)
                raise StepFailed(info, None if pure else noted_at) from failure
            if wait > LONGEST_SLEEP:
                run.wait_until(due_at, RETRY)
                return Ending.WAITING
            await run.services.clock.sleep(wait.total_seconds())
            attempt += 1
        else:
            if run.services.own_failures.going:
                run.services.own_failures.absent()
            if isinstance(result, Sleep):
                until = _until(result, started_at)
                left = until - run.services.clock.now()
                if left > LONGEST_SLEEP:
                    fixed = None if result.until is None else UNTIL
                    kept = call.state.changes()
                    await note(run, node, path, attempt, started_at, given, due_at=until, signal=fixed, kept=kept)
                    run.wait_until(until, SLEEP)
                    return Ending.WAITING
                await run.services.clock.sleep(max(0.0, left.total_seconds()))
                result = PASS
            if isinstance(result, CallerReply):
                result = msgspec.structs.replace(result, delivered=run.services.replies.expected(run.id))
            ending = await _finish(run, node, frame, path, attempt, started_at, given, result, call.state.changes())
            if isinstance(result, CallerReply):
                # The reply is durable before it is given, so that a repeated request gets the same reply.
                await run.journal.flush()
                run.services.replies.deliver(run.id, result)
            return ending


def _not_known(node: ActionNode, why: str) -> StepError:
    """The error of a step for which it isn't known whether it took effect."""
    return StepError(f"it isn't known whether {node.action.name} took effect: {why}", code=OUTCOME_UNKNOWN)


def _unknown(node: ActionNode, past: StepRecord) -> bool:
    """Return whether the step may have taken effect and must not run twice, not even by a retry of an operator."""
    return node.once and past.error is not None and past.error.code == OUTCOME_UNKNOWN


async def _cut_off(run: ExecutionContext, node: ActionNode, frame: Frame, path: str, past: StepRecord) -> Ending:
    """Record a step that must not run twice and was running when the engine stopped. Raises StepFailed."""
    info = run.error_info(_not_known(node, _CUT_OFF), path)
    noted_at = await note(run, node, path, past.attempt, past.started_at, None, error=info)
    run.unknown = run.unknown or info
    if node.on_error == "continue":
        return continue_after_error(frame, node.id, info, noted_at)
    raise StepFailed(info, noted_at)


async def _note_interrupted(
    run: ExecutionContext,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given | None,
    *,
    begun: bool,
) -> None:
    """Record that the step was interrupted: while it ran, or before it began."""
    if not begun:
        info = ErrorInfo("interrupted", "it was interrupted before it began", path)
        await note(run, node, path, attempt, started_at, given, error=info, signal=_NOT_BEGUN)
        return
    info = run.error_info(_not_known(node, "it was interrupted while it ran"), path)
    run.unknown = run.unknown or info
    await note(run, node, path, attempt, started_at, given, error=info)


def _until(pause: Sleep, started_at: datetime) -> datetime:
    if pause.until is not None:
        return pause.until
    try:
        return started_at + timedelta(seconds=pause.seconds or 0)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


async def _finish(
    run: ExecutionContext,
    node: ActionNode,
    frame: Frame,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given | None,
    result: Signal | Reply | CallerReply,
    kept: Sequence[SetState] = (),
) -> Ending:
    output: Any = None
    signal: str | None = None
    match result:
        case Signal():
            signal = result.name
        case CallerReply():
            signal, output = PASS.name, result
        case Reply():
            output = take(frame, result)
            if type(result.body) is Stream:
                signal, run.streams = STREAM, True
    past = None if not node.action.pure else run.journal.past(path)
    if past is None or past.state is not StepState.SUCCEEDED:
        noted_at = await note(run, node, path, attempt, started_at, given, output=output, signal=signal, kept=kept)
        if not node.action.pure or signal == STREAM:
            frame.now = noted_at
    frame.steps[node.id] = output if isinstance(result, Reply) else {"body": frame.message.body}
    return _ending(signal)


def take(frame: Frame, result: Reply) -> dict[str, Any]:
    """Make a result the current message; return it as expressions see it."""
    attachments = frame.message.attachments if result.attachments is None else result.attachments
    frame.message = Message(result.body, dict(result.headers), attachments)
    view: dict[str, Any] = {"body": result.body}
    if result.headers:
        view["headers"] = result.headers
    if attachments:
        view["attachments"] = msgspec.to_builtins(list(attachments))
    view.update(result.extra)
    return view


def _ending(signal: str | None) -> Ending:
    if signal == FILTERED.name:
        return Ending.FILTERED
    return Ending.STOPPED if signal == STOPPED.name else Ending.DONE


async def replay(run: ExecutionContext, frame: Frame, step_id: str, past: StepRecord) -> Ending:
    """Continue as if the step had just finished with the result in its journal entry."""
    frame.now = past.finished_at
    if past.output is not None and past.signal in (None, STREAM):
        read = partial(_OUTPUTS[run.flow.exact].decode, past.output)
        view = await run.services.offloader.run(read, large=is_heavy(past.output))
        if past.signal == STREAM:
            view["body"], run.streams = Stream(view["body"]["stream"], view["body"]["count"]), True
        attachments = msgspec.convert(view.get("attachments", []), tuple[Attachment, ...])
        frame.message = Message(view.get("body"), view.get("headers", {}), attachments)
        frame.steps[step_id] = view
    else:
        frame.steps[step_id] = {"body": frame.message.body}
    return _ending(past.signal)


def continue_after_error(frame: Frame, step_id: str, error: ErrorInfo | None, at: datetime) -> Ending:
    """Record the error for expressions and continue with the message before the step."""
    frame.steps[step_id] = {"body": frame.message.body, "error": msgspec.to_builtins(error)}
    frame.now = at
    return Ending.DONE


_MASK: Final = "**********"


async def note(
    run: ExecutionContext,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given | None,
    *,
    output: Any = None,
    signal: str | None = None,
    error: ErrorInfo | None = None,
    due_at: datetime | None = None,
    kept: Sequence[SetState] = (),
) -> datetime:
    """Record the end of an attempt together with changes of the flow's state; return the time.

    `due_at`: the time of the next attempt, or the end of a sleep.
    """
    finished_at = run.services.clock.now()
    failed = StepState.FAILED if due_at is None else StepState.WAITING
    await _add(
        run,
        node,
        given,
        output,
        kept,
        effect=not node.action.pure or signal == STREAM,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.SUCCEEDED if error is None and due_at is None else failed,
        attempt=attempt,
        started_at=started_at,
        finished_at=finished_at,
        error=error,
        due_at=due_at,
        signal=signal,
    )
    return finished_at


async def _add(
    run: ExecutionContext,
    node: ActionNode,
    given: Given | None,
    output: Any,
    kept: Sequence[SetState],
    **entry: Any,
) -> None:
    raw = None if given is None else given.raw

    def read() -> tuple[bytes | None, bytes | None]:
        return (
            _masked(node.action, raw) if given is not None else None,
            encode(output) if output is not None else None,
        )

    if is_heavy_value(output.body if isinstance(output, CallerReply) else output) or is_heavy_value(raw):
        await run.journal.add_large(read, kept, **entry)
        return
    given_json, output_json = read()
    run.journal.add(input=given_json, output=output_json, **entry)
    run.journal.keep(*kept)


async def note_counted(
    run: ExecutionContext,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given,
    count: Increment,
    changes: Sequence[SetState],
    attachments: tuple[Attachment, ...],
) -> StepRecord:
    """Add to a number of the flow's state and record it; return the durable entry. Raises StepError if the value isn't
    a number."""
    now = run.services.clock.now()
    beside = encode({"attachments": attachments}) if attachments else None
    record = await run.journal.count(
        run.flow.id,
        check_key(count.key),
        encode(count.by),
        now,
        *changes,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.SUCCEEDED,
        attempt=attempt,
        started_at=started_at,
        finished_at=now,
        input=_masked(node.action, given.raw),
        output=beside,
    )
    if record is None:
        raise StepError(
            f"the flow's state under {count.key!r} is not a number that can be added to; set it, or remove it",
            code="state.not_a_number",
        )
    return record


async def note_started(
    run: ExecutionContext, node: ActionNode, path: str, attempt: int, started_at: datetime, given: Given
) -> None:
    """Record that an action which must not run twice is about to run."""
    await _add(
        run,
        node,
        given,
        None,
        (),
        effect=True,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.STARTED,
        attempt=attempt,
        started_at=started_at,
        finished_at=started_at,
    )


def _masked(action: Action, raw: Any) -> bytes:
    secret = _secret_settings(action.settings)
    if secret and isinstance(raw, dict):
        raw = {name: _MASK if name in secret else value for name, value in raw.items()}
    return encode(raw)


@lru_cache(maxsize=4096)
def _secret_settings(settings: type[BaseModel]) -> frozenset[str]:
    """The names of the settings whose type is secret."""

    def holds_secret(annotation: Any) -> bool:
        if annotation in (SecretStr, SecretBytes):
            return True
        return any(holds_secret(part) for part in get_args(annotation))

    return frozenset(
        field.alias or name for name, field in settings.model_fields.items() if holds_secret(field.annotation)
    )
