"""The end of a run: the change that ends or parks the execution, and the changes that follow from an end."""

from datetime import datetime
from functools import partial
from typing import Final

import msgspec

from hookline.executions.execution_context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import Interrupted
from hookline.executions.services import Services
from hookline.executions.waiting_callers import FINISHED, Ended, read_reply
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import child_envelope
from hookline.kernel.clocks import jumps_of, rfc3339
from hookline.kernel.errors import FlowInvalid, FlowNotFound, SchemaViolation, StepError
from hookline.kernel.ids import derived_id
from hookline.kernel.json import is_heavy_value
from hookline.model.callbacks_and_pages import FlowEnded, pack_callback, raw_json
from hookline.model.execution import BLOCKED, OUTCOME_UNKNOWN, Outcome, State, StepState
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import CallerReply, Envelope, Message, Parent, is_heavy_message
from hookline.secrets.redaction import NO_REDACTION, NO_REDACTOR, NoRedaction, NoRedactor, Redaction, Redactor
from hookline.storage.change_declarations import Change, End, Park, StoreCallback

ON_ERROR_USE: Final = "on_error"
"""The `use` in the `Arrival` of an execution that was started by the `on_error` of another flow."""
MAX_DEPTH: Final = 16
"""The number of executions that may call one another, one below the other."""
#: With this concurrency, an execution that keeps its slot a moment longer delays no other.
_ROOMY: Final = 32
_OUTCOMES: Final = {
    Ending.DONE: Outcome.COMPLETED,
    Ending.FILTERED: Outcome.FILTERED,
    Ending.STOPPED: Outcome.STOPPED,
    Ending.JOINED: Outcome.FILTERED,
}


class ExecutionStart(msgspec.Struct, frozen=True):
    """The time at which an execution started, and the number of the attempt, counted by retries of operators."""

    at: datetime | None
    attempt: int


def park(run: ExecutionContext, now: datetime) -> Park:
    """The change that parks an execution whose steps wait.

    If the clock was set since the run began, it runs again at once: the stored times of its waits were moved, and those
    in memory weren't.
    """
    progress = run.progress
    ready_at = progress.ready_at if jumps_of(run.services.clock) == run.clock_jumps else now
    reason = progress.waits_for if progress.blocked is None else f"{BLOCKED}{progress.blocked}"
    # After a time limit, a cancellation still ends the `on_error` steps.
    return Park(run.id, now, ready_at, reason, cancelling=run.on_error_interruption.cause is not None)


async def end(
    run: ExecutionContext,
    final_message: Message,
    ending: Ending,
    failed: StepFailed | Interrupted | None,
    now: datetime,
) -> tuple[End, tuple[Change, ...]]:
    """The change that ends an execution, and those that follow from it."""
    if failed is not None:
        closing = _failure(run, failed, now)
    else:
        closing = End(run.id, State.SUCCEEDED, _OUTCOMES[ending], now, waited=run.progress.waited, ordered=run.ordered)
    if closing.state is not State.FAILED and run.envelope.arrival.parent is None:
        return closing, ()
    begun = ExecutionStart(run.started_at, run.attempt)
    return closing, await follow_up(run.services, closing, run.envelope, run.flow, final_message, begun, run.redactor)


def tell_caller(run: ExecutionContext, closing: End) -> None:
    """Release a caller that still waits: with the reply of a flow that responds when finished, or without one."""
    replies, webhook = run.services.replies, run.flow.trigger.webhook
    if run.id not in replies.waiting and (webhook is None or webhook.respond == "accepted"):
        return
    finished = run.journal.last_entry(FINISHED)
    if finished is not None and finished.output is not None:
        replies.deliver(run.id, read_reply(finished.output, exact=run.flow.exact))
    else:
        replies.deliver(run.id, Ended(closing.state))


def _failure(run: ExecutionContext, failed: StepFailed | Interrupted, now: datetime) -> End:
    """The end of an execution that failed or was interrupted."""
    if isinstance(failed, Interrupted):
        outcome, error = failed.cause.outcome, failed.cause.error
    else:
        unknown = failed.error.code == OUTCOME_UNKNOWN
        outcome = Outcome.OUTCOME_UNKNOWN if unknown else Outcome.FAILED
        error = run.redactor.mask_error(failed.error)
    if error is None:
        # The last step may have been interrupted, so that it isn't known whether it took effect.
        error = run.progress.unknown
        outcome = Outcome.CANCELLED if error is None else Outcome.OUTCOME_UNKNOWN
        return End(run.id, State.CANCELLED, outcome, now, error, waited=run.progress.waited, ordered=run.ordered)
    return End(run.id, State.FAILED, outcome, now, error, waited=run.progress.waited, ordered=run.ordered)


def is_patient(run: ExecutionContext) -> bool:
    """Return whether the commit of the end may wait a moment: nobody waits for it, and a crash repeats no work."""
    return (
        not run.journal.unrecomputable_pending
        and run.envelope.order_key is None
        and run.flow.settings.concurrency >= _ROOMY
        and run.id not in run.services.replies.waiting
    )


def record_final_reply(run: ExecutionContext, frame: Frame, ending: Ending) -> None:
    """Record the reply of a flow that responds when finished: its last body, or an empty one if it ended early."""
    webhook = run.flow.trigger.webhook
    if webhook is None or webhook.respond != "finished":
        return
    body = frame.message.body if ending is Ending.DONE else None
    if isinstance(body, Stream):
        # The items and the name of their file stay inside the flow.
        body = {"count": body.count}
    reply = CallerReply(200 if body is not None else 204, {}, body, delivered=run.services.replies.expected(run.id))
    run.journal.record_computed(FINISHED, "reply", StepState.SUCCEEDED, output=reply)


async def follow_up(
    services: Services,
    closing: End,
    envelope: Envelope,
    flow: CompiledFlow | None,
    final_message: Message | None,
    begun: ExecutionStart,
    redactor: Redactor | NoRedactor = NO_REDACTOR,
) -> tuple[Change, ...]:
    """The changes to commit together with the end of an execution: the callback of the step that waits for it, and the
    start of the `on_error` flow.

    `flow`: the version that it ran on, None if that isn't known. `final_message`: the message that it ended with.
    """
    changes: list[Change] = []
    if envelope.arrival.parent is not None:
        told = await services.offloader.run(
            partial(parent_callback, envelope, closing, final_message, services.new_id(), services.redaction, redactor),
            large=is_heavy_message(envelope) or (final_message is not None and is_heavy_value(final_message.body)),
        )
        if told is not None:
            changes.append(told)
    if closing.state is State.FAILED and flow is not None and flow.on_error_flow is not None:
        mask = partial(redactor.redact_message, envelope)
        shown = await services.offloader.run(mask, large=is_heavy_message(envelope))
        changes += await _start_error_flow(services, closing, shown, flow, flow.on_error_flow, begun)
    return tuple(changes)


def parent_callback(
    envelope: Envelope,
    closing: End,
    final_message: Message | None,
    new_id: str,
    redaction: Redaction | NoRedaction = NO_REDACTION,
    redactor: Redactor | NoRedactor = NO_REDACTOR,
) -> StoreCallback | None:
    """The callback for the step that waits for the end of an execution; None if no step waits.

    `redaction` encrypts the callback if the `redactor` of the execution redacts anything.
    """
    parent = envelope.arrival.parent
    if parent is None or parent.waits_at is None:
        return None
    result = final_message if final_message is not None and closing.outcome is Outcome.COMPLETED else Message()
    ended = FlowEnded(envelope.execution_id, closing.outcome, raw_json(result.body), result.attachments, closing.error)
    packed = pack_callback(ended)
    return StoreCallback(
        id=new_id,
        execution_id=parent.execution_id,
        path=parent.waits_at,
        flow_id=parent.flow_id,
        step_id=parent.step_id,
        key=None,
        digest=envelope.execution_id.encode(),
        at=closing.at,
        until=None,
        payload=redaction.encrypt_result(packed, redactor),
        blob_ids=tuple(attachment.id for attachment in ended.attachments),
    )


def child_depth(envelope: Envelope) -> int:
    """The number of executions above an execution that this one starts."""
    parent = envelope.arrival.parent
    return 1 if parent is None else parent.depth + 1


async def _start_error_flow(
    services: Services, closing: End, envelope: Envelope, flow: CompiledFlow, handler_id: str, begun: ExecutionStart
) -> tuple[Change, ...]:
    depth = child_depth(envelope)
    # An error flow must not start itself again, neither directly nor through flows that it calls.
    if envelope.arrival.use == ON_ERROR_USE or depth > MAX_DEPTH or closing.error is None:
        return ()
    handled = child_envelope(
        handler_id,
        Message(_report(closing, envelope, flow, begun), {}, envelope.message.attachments),
        use=ON_ERROR_USE,
        parent=Parent(envelope.execution_id, flow.id, ON_ERROR_USE, ON_ERROR_USE, depth),
        execution_id=derived_id(closing.at, envelope.execution_id, ON_ERROR_USE, str(begun.attempt)),
        now=closing.at,
        exact=flow.exact,
    )
    try:
        handler = services.find_flow(handler_id)
        handler.check_caller(flow.id)
        return (await services.emit(handler, handled),)
    except (FlowNotFound, FlowInvalid, SchemaViolation, StepError) as error:
        services.log.error(
            "the error flow can't be started",
            execution_id=envelope.execution_id,
            flow_id=flow.id,
            on_error=handler_id,
            error=error.message,
        )
        return ()


def _report(closing: End, envelope: Envelope, flow: CompiledFlow, begun: ExecutionStart) -> object:
    """The body of the message for an error flow."""
    return {
        "error": msgspec.to_builtins(closing.error),
        "execution": {
            "id": envelope.execution_id,
            "flow_id": flow.id,
            "flow_version": flow.version,
            "created_at": rfc3339(envelope.accepted_at),
            "started_at": None if begun.at is None else rfc3339(begun.at),
        },
        "input": {"body": envelope.message.body, "headers": envelope.message.headers},
    }
