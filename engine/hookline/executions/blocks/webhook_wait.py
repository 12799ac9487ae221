"""The waiting webhook: a step that waits for a callback."""

from functools import partial
from typing import Any

from msgspec.structs import replace

from hookline.executions.blocks.block_expressions import RunSteps, evaluate_in_frame
from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.steps.recorded_result import continue_if_ended, fail_before_start
from hookline.flows.blocks.webhook_wait import USE, CompiledWait
from hookline.flows.elements.wait_page import PageTemplate
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import StepError
from hookline.kernel.json import decode, encode, is_heavy
from hookline.model.callbacks_and_pages import Call, Page, raw_json
from hookline.model.execution import CALLBACK, StepRecord, StepState
from hookline.sdk.action import Reply
from hookline.storage.change_declarations import BeginWait, EndWait, TimeOutWait, WaitTimedOut

TIMED_OUT = "wait_timed_out"


async def run_wait(run: ExecutionContext, step: CompiledWait, frame: Frame, _: RunSteps) -> Ending:
    """Wait for a callback, whose content becomes the message. Raises StepFailed if none comes in time."""
    path = frame.prefix + step.id
    last_entry = run.journal.last_entry(path)
    run.progress.note_waited()
    ending = await continue_if_ended(run, step, frame, last_entry)
    if ending is not None:
        return ending
    if not run.gate.may_act(path):
        return Ending.WAITING
    # A step that waited when its execution ended begins to wait again after a retry.
    if last_entry is None or last_entry.state is not StepState.WAITING or last_entry.seq <= run.reopened_after:
        frame.interruption.check()
        attempt = 1 if last_entry is None else last_entry.attempt + 1
        try:
            last_entry = await _begin(run, step, frame, path, attempt)
        except StepFailed as failed:
            return fail_before_start(run, step, frame, path, USE, attempt, failed.error)
    return await _hear(run, step, frame, path, last_entry)


async def _hear(run: ExecutionContext, step: CompiledWait, frame: Frame, path: str, last_entry: StepRecord) -> Ending:
    """Take the callback if it has come; otherwise wait further, or fail if the time is over."""
    payload = (await run.progress.callbacks()).get(path)
    if payload is None and frame.interruption.cause is not None:
        run.journal.add_changes(_time_out(run, step, path), EndWait(run.id, path))
        frame.interruption.check()
    if payload is None and last_entry.due_at is not None and last_entry.due_at <= run.services.clock.now():
        if isinstance(await run.journal.commit_with(_time_out(run, step, path)), WaitTimedOut):
            return _too_late(run, step, frame, path, last_entry)
        run.progress.forget_callbacks()  # it came at the last moment
        payload = (await run.progress.callbacks()).get(path)
    result: Reply | None = None
    if payload is not None:
        result = await run.services.offloader.run(partial(_result, run, payload), large=is_heavy(payload))
    if result is None:
        return run.wait(frame, last_entry.due_at, CALLBACK)
    frame.message, output = next_message(frame.message, result)
    # Expressions may read these parts for any caller: an operator's call has neither headers nor files.
    view = {"headers": {}, "attachments": [], **output}
    run.journal.add_changes(EndWait(run.id, path))
    attempt, began = last_entry.attempt, last_entry.started_at
    entry = run.journal.record(path, USE, StepState.SUCCEEDED, attempt, began, output=encode(view))
    frame.now, frame.steps[step.id] = entry.finished_at, view
    return Ending.DONE


async def _begin(run: ExecutionContext, step: CompiledWait, frame: Frame, path: str, attempt: int) -> StepRecord:
    """Store that the step waits; from then on a callback makes the execution ready. Raises StepFailed."""
    now = run.services.clock.now()
    key: str | None = None
    known: dict[str, Any] = {}
    if step.key is not None:
        value = await evaluate_in_frame(run, step.key, frame, "correlate.key", path)
        key = step.key_of_call.text_of(value) if step.key_of_call is not None else None
        if key is None:
            message = "correlate.key is null, or hasn't as many parts as correlate.from; no call can be for it"
            failure = StepError(message, code="wait_key_missing")
            raise StepFailed(run.error_info(failure, path))
        known["key"] = value
    page = None
    if step.page is not None:
        known["page"] = page = await _page(run, step.page, frame, path)
    timeout = step.settings.timeout
    due_at, late_at = (None, None) if timeout is None else (now + timeout, now + timeout / 2)
    asked = encode(known) if known else None
    entry = run.journal.record(path, USE, StepState.WAITING, attempt, now, input=asked, due_at=due_at)
    packed = None if page is None else run.redactor.encrypt_line(encode(_shown(run, page)))
    run.journal.add_changes(BeginWait(run.id, path, run.flow.id, step.id, key, now, late_at, packed))
    await run.journal.flush()
    # Callbacks that came before are delivered now, without another notification.
    run.progress.forget_callbacks()
    return entry


async def _page(run: ExecutionContext, template: PageTemplate, frame: Frame, path: str) -> Page:
    """Evaluate the page of a step."""
    values = {
        at: await evaluate_in_frame(run, each, frame, f"page{at.replace('/', '.')}", path)
        for at, each in template.templates.items()
    }
    title = run.flow.settings.title or run.flow.id
    try:
        return template.evaluated(values, title=title, exact=run.flow.exact)
    except ValueError as error:
        raise StepFailed(run.error_info(StepError(str(error), code="wait_page_invalid"), path)) from error


def _shown(run: ExecutionContext, page: Page) -> Page:
    """The page with redacted values masked in everything that it shows; the bodies of its choices aren't shown."""
    hidden = run.redactor.hidden
    if not hidden:
        return page
    fields = []
    for field in page.fields:
        default = decode(bytes(field.default), exact=True)
        shown = hidden.mask(default)
        fields.append(
            replace(
                field,
                label=hidden.mask_text(field.label),
                help=hidden.mask_text(field.help),
                default=field.default if shown is default else raw_json(None),
            )
        )
    return Page(
        hidden.mask_text(page.title),
        hidden.mask_text(page.text),
        tuple(fields),
        tuple(replace(choice, label=hidden.mask_text(choice.label)) for choice in page.choices),
    )


def _time_out(run: ExecutionContext, step: CompiledWait, path: str) -> TimeOutWait:
    services = run.services
    return TimeOutWait(services.new_id(), run.id, path, run.flow.id, step.id, services.clock.now())


def _too_late(run: ExecutionContext, step: CompiledWait, frame: Frame, path: str, last_entry: StepRecord) -> Ending:
    error = run.error_info(StepError("no callback came in time", code=TIMED_OUT), path)
    run.journal.add_changes(EndWait(run.id, path))
    entry = run.journal.record(path, USE, StepState.FAILED, last_entry.attempt, last_entry.started_at, error=error)
    return frame.end_failed_step(step, error, entry.finished_at)


def _result(run: ExecutionContext, payload: bytes) -> Reply | None:
    """The content of a callback. Raises Blocked if it can't be decrypted."""
    call = run.callback(payload)
    if not isinstance(call, Call):
        return None
    message = call.message(exact=run.flow.exact)
    extra = {
        "method": call.method,
        "query": call.query,
        "received_at": rfc3339(call.received_at) if call.received_at is not None else None,
        "verified_by": call.verified_by,
    }
    return Reply(message.body, message.headers, extra, message.attachments)
