"""Running one action step: settings, credential, attempts, result, and the journal's entry."""

import asyncio
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, get_args

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from hookline.connector import FILTERED, STOPPED, Action, Context, Reply, Signal
from hookline.errors import CredentialError, ExpressionError, StepError, StoreError
from hookline.flows.compiled import ActionNode
from hookline.ids import idempotency_key
from hookline.jsontypes import decode, encode
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.model.message import Attachment, Message
from hookline.runtime.execution_run import Blocked, Ending, ExecutionRun, Frame, StepFailed, error_info
from hookline.runtime.results import NotJson, to_json
from hookline.runtime.retry import next_wait
from hookline.runtime.step_log import StepLog

#: A wait that is longer than this is a row in the store; a shorter one is slept through.
LONGEST_SLEEP: Final = timedelta(seconds=1)

_MASK: Final = "**********"


async def run_action(run: ExecutionRun, node: ActionNode, frame: Frame) -> Ending:
    """Run an action, or take what the journal says of it. Raises StepFailed, and Blocked.

    Everything noted before is durable before an action that is not pure starts.
    """
    path = frame.prefix + node.id
    past = run.journal.past(path)
    pure = node.action.pure
    if past is not None and not pure and past.state is StepState.SUCCEEDED:
        return _replay(frame, node, past)
    attempt = 1
    if past is not None and not pure:
        if past.state is StepState.FAILED and node.on_error == "continue":
            return _go_on(frame, node, past.error, past.finished_at)
        if past.state is StepState.FAILED and frame.lenient and past.error is not None:
            raise StepFailed(past.error)
        if past.state is StepState.WAITING:
            attempt = past.attempt + 1
            if past.due_at is not None and past.due_at > run.services.clock.now():
                run.due.append(past.due_at)
                return Ending.WAITING
    while True:
        if not pure:
            await run.journal.flush()
        started_at = run.services.clock.now()
        given: _Given | None = None
        try:
            given = _settings(run, node, frame)
            result = await _attempt(run, node, frame, given, path, attempt)
        except StepError as error:
            wait = None if pure else next_wait(node.retry, attempt, error)
            due_at = run.services.clock.now() + wait if wait is not None else None
            info = error_info(error, path)
            if not pure:
                noted_at = _note(run, node, path, attempt, started_at, given, error=info, due_at=due_at)
            else:
                # It has no commit of its own: the time that expressions see stays, or resuming would give another.
                noted_at = frame.now
                if past is None or past.state is not StepState.FAILED:
                    _note(run, node, path, attempt, started_at, given, error=info)
            if wait is None or due_at is None:
                if node.on_error == "continue":
                    return _go_on(frame, node, info, noted_at)
                raise StepFailed(info) from error
            if wait > LONGEST_SLEEP:
                run.due.append(due_at)
                return Ending.WAITING
            await run.services.clock.sleep(wait.total_seconds())
            attempt += 1
        else:
            return _finish(run, node, frame, path, attempt, started_at, given, result)


class _Given:
    """An action's settings for one attempt: as it takes them, and as they are recorded."""

    __slots__ = ("model", "raw")

    def __init__(self, raw: Any, model: BaseModel) -> None:
        self.raw = raw
        self.model = model


def _settings(run: ExecutionRun, node: ActionNode, frame: Frame) -> _Given:
    try:
        raw = node.settings.evaluate(run.scope(frame))
    except ExpressionError as error:
        raise StepError(f"with: {error.message}", code=error.code) from error
    try:
        return _Given(raw, node.action.settings.model_validate(raw))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'with'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise StepError(f"{node.action.name} can't take these settings: {problems}", code="step.settings") from error


async def _attempt(run: ExecutionRun, node: ActionNode, frame: Frame, given: _Given, path: str, attempt: int) -> Any:
    """What the action returned, made JSON: a Signal or a Reply. Raises StepError and Blocked."""
    services, action = run.services, node.action
    if action.unavailable is not None:
        raise Blocked(f"{action.name}: {action.unavailable}")
    began = services.clock.monotonic()
    result_label = "ok"
    try:
        if services.stub is not None and (stubbed := services.stub(path, action, given.raw)) is not None:
            return _normal(stubbed)
        arguments = action.arguments(given.model)
        if action.takes_context:
            arguments["ctx"] = _context(run, node, frame, path, attempt)
        if node.timeout is None:
            returned = await action.run(**arguments)
        else:
            returned = await _timed(action, arguments, node.timeout)
        if isinstance(returned, bytes) or (isinstance(returned, Reply) and isinstance(returned.body, bytes)):
            returned = await _keep_bytes(run, returned)
        return _normal(returned)
    except StepError as error:
        result_label = error.error_code
        raise
    except StoreError as error:
        # The blob store is all that an action has of ours.
        result_label = error.code
        raise StepError(f"{action.name}: {error.message}", code=error.code, retryable=True) from error
    except Blocked:
        result_label = "interrupted"
        raise
    except (Exception, asyncio.CancelledError, SystemExit) as error:
        if isinstance(error, asyncio.CancelledError) and _cut_off():
            result_label = "interrupted"
            raise
        # Whatever else an action raises is a defect of its connector, and must not take the engine down: nor must a
        # cancellation of its own making be taken for the engine's, or nothing would ever become of the execution.
        result_label = "connector.defect"
        StepLog(services.log, run.id, run.flow.id, path).error(
            "connector defect", action=action.name, plugin=services.describe(action), exc_info=True
        )
        raise StepError(
            f"{action.name} of {services.describe(action)} has a defect: {type(error).__name__}: {error}",
            code="connector.defect",
        ) from error
    finally:
        if not action.pure:
            services.metrics.attempted(run.flow.id, action.name, result_label, services.clock.monotonic() - began)


def _cut_off() -> bool:
    """Whether it is from outside that the current task is cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _timed(action: Action, arguments: dict[str, Any], limit: timedelta) -> Any:
    try:
        async with asyncio.timeout(limit.total_seconds()) as deadline:
            return await action.run(**arguments)
    except TimeoutError as error:
        if not deadline.expired():
            raise
        raise StepError(
            f"{action.name} took longer than {limit.total_seconds():g} s", code="timed_out", retryable=True
        ) from error


def _context(run: ExecutionRun, node: ActionNode, frame: Frame, path: str, attempt: int) -> Context[Any]:
    services, credential, credential_type = run.services, None, None
    if node.credential is not None:
        try:
            credential_type, credential = services.secrets.get(node.credential)
        except CredentialError as error:
            raise Blocked(error.message) from error
        if credential_type not in node.action.credential_types:
            wanted = " or ".join(node.action.credential_types) or "none"
            raise Blocked(
                f"credential {node.credential!r} is of type {credential_type}; {node.action.name} takes {wanted}"
            )
    return Context(
        credential=credential,
        credential_type=credential_type,
        message=frame.message,
        http=services.http,
        blobs=services.blobs,
        resources=services.resources,
        files_root=services.files_root,
        log=StepLog(services.log, run.id, run.flow.id, path),
        execution_id=run.id,
        step_id=node.id,
        attempt=attempt,
        idempotency_key=idempotency_key(run.id, path),
    )


async def _keep_bytes(run: ExecutionRun, returned: bytes | Reply) -> Reply:
    """Bytes become an attachment."""
    reply = Reply(returned) if isinstance(returned, bytes) else returned
    writer = await run.services.blobs.create()
    try:
        await writer.write(reply.body)
        blob = await writer.commit()
    finally:
        await writer.abort()
    kept = Attachment(blob.id, "body", None, "application/octet-stream", blob.size, blob.sha256)
    return Reply(None, reply.headers, reply.extra, (*(reply.attachments or ()), kept))


def _normal(returned: Any) -> Signal | Reply:
    if isinstance(returned, Signal):
        return returned
    if not isinstance(returned, Reply):
        return Reply(to_json(returned))
    try:
        headers = {str(name).lower(): str(value) for name, value in returned.headers.items()}
    except AttributeError as error:
        raise NotJson("the reply's headers are not a mapping") from error
    return Reply(to_json(returned.body), headers, to_json(dict(returned.extra), "extra"), returned.attachments)


def _finish(
    run: ExecutionRun,
    node: ActionNode,
    frame: Frame,
    path: str,
    attempt: int,
    started_at: datetime,
    given: _Given | None,
    result: Signal | Reply,
) -> Ending:
    view: dict[str, Any] | None = None
    signal: str | None = None
    if isinstance(result, Signal):
        signal = result.name
    else:
        attachments = frame.message.attachments if result.attachments is None else result.attachments
        frame.message = Message(result.body, dict(result.headers), attachments)
        view = {"body": result.body}
        if result.headers:
            view["headers"] = result.headers
        if attachments:
            view["attachments"] = msgspec.to_builtins(attachments)
        view.update(result.extra)
    past = None if not node.action.pure else run.journal.past(path)
    if past is None or past.state is not StepState.SUCCEEDED:
        noted_at = _note(run, node, path, attempt, started_at, given, output=view, signal=signal)
        if not node.action.pure:
            frame.now = noted_at
    frame.steps[node.id] = view if view is not None else {"body": frame.message.body}
    return _ending(signal)


def _ending(signal: str | None) -> Ending:
    if signal == FILTERED.name:
        return Ending.FILTERED
    return Ending.STOPPED if signal == STOPPED.name else Ending.DONE


def _note(
    run: ExecutionRun,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: _Given | None,
    *,
    output: Any = None,
    signal: str | None = None,
    error: ErrorInfo | None = None,
    due_at: datetime | None = None,
) -> datetime:
    finished_at = run.services.clock.now()
    failed = StepState.FAILED if due_at is None else StepState.WAITING
    run.journal.add(
        effect=not node.action.pure,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.SUCCEEDED if error is None else failed,
        attempt=attempt,
        started_at=started_at,
        finished_at=finished_at,
        input=_masked(node.action, given.raw) if given is not None else None,
        output=encode(output) if output is not None else None,
        error=error,
        due_at=due_at,
        signal=signal,
    )
    return finished_at


def _masked(action: Action, raw: Any) -> bytes:
    secret = _secret_settings(action.settings)
    if secret and isinstance(raw, dict):
        raw = {name: _MASK if name in secret else value for name, value in raw.items()}
    return encode(raw)


@lru_cache(maxsize=4096)
def _secret_settings(settings: type[BaseModel]) -> frozenset[str]:
    """Names of the settings whose type says that they are secret."""

    def holds_secret(annotation: Any) -> bool:
        if annotation in (SecretStr, SecretBytes):
            return True
        return any(holds_secret(part) for part in get_args(annotation))

    return frozenset(
        field.alias or name for name, field in settings.model_fields.items() if holds_secret(field.annotation)
    )


def _replay(frame: Frame, node: ActionNode, past: StepRecord) -> Ending:
    """Go on as if the action had just finished the way its journal entry says."""
    frame.now = past.finished_at
    if past.output is not None:
        view = decode(past.output)
        attachments = msgspec.convert(view.get("attachments", []), tuple[Attachment, ...])
        frame.message = Message(view.get("body"), view.get("headers", {}), attachments)
        frame.steps[node.id] = view
    else:
        frame.steps[node.id] = {"body": frame.message.body}
    return _ending(past.signal)


def _go_on(frame: Frame, node: ActionNode, error: ErrorInfo | None, at: datetime) -> Ending:
    """The step failed, and the flow goes on with the message it had."""
    frame.steps[node.id] = {"body": frame.message.body, "error": msgspec.to_builtins(error)}
    frame.now = at
    return Ending.DONE
