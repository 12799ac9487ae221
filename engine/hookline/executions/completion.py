"""Completion: the changes that follow the end of an execution and are committed with it."""

from datetime import datetime
from functools import partial

import msgspec

from hookline.executions.services import Services
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.envelopes import child_envelope
from hookline.kernel.errors import FlowInvalid, FlowNotFound, SchemaViolation
from hookline.kernel.ids import derived_id
from hookline.kernel.json import is_heavy_value
from hookline.kernel.time import rfc3339
from hookline.model.execution import Outcome, State
from hookline.model.message import Envelope, Message, Parent, is_heavy_message
from hookline.model.waits import FlowEnded, pack_callback, raw_json
from hookline.secrets.redaction import NO_REDACTION, NO_REDACTOR, NoRedaction, NoRedactor, Redaction, Redactor
from hookline.storage.changes import Change, End, StoreCallback

ON_ERROR = "on_error"
"""The `use` in the `Arrival` of an execution that was started by the `on_error` of another flow."""
MAX_DEPTH = 16
"""The number of executions that may call one another, one below the other."""


async def completion_changes(
    services: Services,
    end: End,
    envelope: Envelope,
    flow: CompiledFlow | None,
    last: Message | None,
    begun: "AttemptStart",
    redactor: Redactor | NoRedactor = NO_REDACTOR,
) -> tuple[Change, ...]:
    """The changes that follow the end of an execution.

    `flow`: the version that it ran on, None if that isn't known. `last`: the message that it ended with.
    """
    changes: list[Change] = []
    if envelope.arrival.parent is not None:
        encrypts = services.redaction if isinstance(redactor, Redactor) else NO_REDACTION
        told = await services.offloader.run(
            partial(parent_callback, envelope, end, last, services.new_id(), encrypts),
            large=is_heavy_message(envelope) or (last is not None and is_heavy_value(last.body)),
        )
        if told is not None:
            changes.append(told)
    if end.state is State.FAILED and flow is not None and flow.on_error_flow is not None:
        mask = partial(redactor.redact_message, envelope)
        shown = await services.offloader.run(mask, large=is_heavy_message(envelope))
        changes += await _start_error_flow(services, end, shown, flow, flow.on_error_flow, begun)
    return tuple(changes)


class AttemptStart(msgspec.Struct, frozen=True):
    """The time at which an execution started, and the number of the attempt, counted by retries of operators."""

    at: datetime | None
    attempt: int


def parent_callback(
    envelope: Envelope,
    end: End,
    last: Message | None,
    new_id: str,
    redaction: Redaction | NoRedaction = NO_REDACTION,
) -> StoreCallback | None:
    """The callback for the step that waits for the end of an execution; None if no step waits.

    `redaction` encrypts the callback.
    """
    parent = envelope.arrival.parent
    if parent is None or parent.waits_at is None:
        return None
    given = last if last is not None and end.outcome is Outcome.COMPLETED else Message()
    ended = FlowEnded(envelope.execution_id, end.outcome, raw_json(given.body), given.attachments, end.error)
    packed = pack_callback(ended)
    return StoreCallback(
        id=new_id,
        execution_id=parent.execution_id,
        path=parent.waits_at,
        flow_id=parent.flow_id,
        step_id=parent.step_id,
        key=None,
        digest=envelope.execution_id.encode(),
        at=end.at,
        until=None,
        payload=redaction.encrypt_callback(packed),
        blob_ids=tuple(attachment.id for attachment in ended.attachments),
    )


def child_depth(envelope: Envelope) -> int:
    """The number of executions above an execution that this one starts."""
    parent = envelope.arrival.parent
    return 1 if parent is None else parent.depth + 1


async def _start_error_flow(
    services: Services, end: End, envelope: Envelope, flow: CompiledFlow, handler_id: str, begun: AttemptStart
) -> tuple[Change, ...]:
    depth = child_depth(envelope)
    # An error flow must not start itself again, neither directly nor through flows that it calls.
    if envelope.arrival.use == ON_ERROR or depth > MAX_DEPTH or end.error is None:
        return ()
    handled = child_envelope(
        handler_id,
        Message(_report(end, envelope, flow, begun), {}, envelope.message.attachments),
        use=ON_ERROR,
        parent=Parent(envelope.execution_id, flow.id, ON_ERROR, ON_ERROR, depth),
        execution_id=derived_id(end.at, envelope.execution_id, ON_ERROR, str(begun.attempt)),
        now=end.at,
        exact=flow.exact,
    )
    try:
        return (await services.accept(services.find_flow(handler_id), handled),)
    except (FlowNotFound, FlowInvalid, SchemaViolation) as error:
        services.log.error(
            "the error flow can't be started",
            execution_id=envelope.execution_id,
            flow_id=flow.id,
            on_error=handler_id,
            error=error.message,
        )
        return ()


def _report(end: End, envelope: Envelope, flow: CompiledFlow, begun: AttemptStart) -> object:
    """The body of the message for an error flow."""
    return {
        "error": msgspec.to_builtins(end.error),
        "execution": {
            "id": envelope.execution_id,
            "flow_id": flow.id,
            "flow_version": flow.version,
            "created_at": rfc3339(envelope.accepted_at),
            "started_at": None if begun.at is None else rfc3339(begun.at),
        },
        "input": {"body": envelope.message.body, "headers": envelope.message.headers},
    }
