"""The envelopes of messages: one function for each way in which a message arrives.

No other module of the engine creates an envelope. Decoding a stored one is `hookline.model.message.unpack`.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.message_keys import key_text
from hookline.flows.elements.message_scope import arrival_scope
from hookline.kernel.clocks import rfc3339
from hookline.kernel.ids import derived_id
from hookline.model.message import Arrival, Envelope, Message, Parent, json_to_store, shortened_key
from hookline.model.sources import ONE_AT_A_TIME, Firing

MANUAL: Final = "manual"
"""The `use` in the `Arrival` of an execution that an operator started."""
_MANUAL_WINDOW: Final = timedelta(days=7)


def request_envelope(
    flow: CompiledFlow,
    message: Message,
    arrival: Arrival,
    *,
    execution_id: str,
    accepted_at: datetime,
    dedupe_window: timedelta,
    message_id: str | None = None,
    body_json: bytes | None = None,
    raw: bytes | None = None,
    raw_headers: tuple[tuple[str, str], ...] = (),
) -> Envelope:
    """The envelope of a message that a request brought.

    Its dedupe key comes from the flow's `dedupe_key`, or else from the id that the trigger read in the message, or else
    from the id that the provider gave the request. Raises SchemaViolation if the flow has a dedupe key and the
    message gives none.
    """
    key = _request_key(flow, message, arrival, message_id)
    scheme = flow.trigger.scheme
    if key is not None and scheme is not None:
        # A scheme that accepts old signatures needs at least as long a memory.
        dedupe_window = max(dedupe_window, scheme.remembers(flow.trigger.scheme_settings))
    return Envelope(
        execution_id=execution_id,
        flow_id=flow.id,
        message=message,
        arrival=arrival,
        accepted_at=accepted_at,
        dedupe_key=key,
        dedupe_until=None if key is None else accepted_at + dedupe_window,
        body_json=body_json,
        raw=raw,
        raw_headers=raw_headers,
        exact=flow.exact,
    )


def _request_key(flow: CompiledFlow, message: Message, arrival: Arrival, message_id: str | None) -> str | None:
    if flow.trigger.dedupe_key is not None:
        return flow.trigger.dedupe_key.text(arrival_scope(message, arrival, flow.vars))
    if message_id is not None:
        return shortened_key(f"m:{message_id}")
    return None if arrival.scheme_id is None else shortened_key(f"v:{arrival.scheme_id}")


def manual_envelope(
    flow: CompiledFlow,
    message: Message,
    *,
    execution_id: str,
    now: datetime,
    verified_by: str,
    use: str = MANUAL,
    dedupe_key: str | None = None,
) -> Envelope:
    """The envelope of a message with which an operator starts a flow, whatever its trigger.

    A message with the same `dedupe_key` starts nothing within 7 days.
    """
    return Envelope(
        execution_id=execution_id,
        flow_id=flow.id,
        message=message,
        arrival=Arrival(use, received_at=now, verified_by=verified_by),
        accepted_at=now,
        dedupe_key=None if dedupe_key is None else key_text(dedupe_key),
        dedupe_until=None if dedupe_key is None else now + _MANUAL_WINDOW,
        exact=flow.exact,
    )


def schedule_envelope(
    flow: CompiledFlow, *, scheduled_at: datetime, previous_at: datetime | None, now: datetime
) -> Envelope:
    """The envelope of the message that a schedule makes for one of its times.

    The id of its execution is derived from that time, so that repeating the commit starts nothing twice.
    """
    at = rfc3339(scheduled_at)
    body = msgspec.to_builtins(Firing(at, rfc3339(now), None if previous_at is None else rfc3339(previous_at)))
    return Envelope(
        execution_id=derived_id(scheduled_at, flow.id, "schedule", at),
        flow_id=flow.id,
        message=Message(body),
        arrival=Arrival(flow.trigger.use, received_at=now),
        accepted_at=now,
        exact=flow.exact,
    )


def poll_envelope(
    flow: CompiledFlow,
    message: Message,
    *,
    use: str,
    item_id: str,
    polled_at: datetime,
    accepted_at: datetime,
    dedupe_window: timedelta,
) -> Envelope:
    """The envelope of an item that a poll returned; the item's id is its dedupe key."""
    return Envelope(
        execution_id=derived_id(polled_at, flow.id, "poll", item_id),
        flow_id=flow.id,
        message=message,
        arrival=Arrival(use, received_at=polled_at),
        accepted_at=accepted_at,
        dedupe_key=key_text(item_id),
        dedupe_until=polled_at + dedupe_window,
        body_json=json_to_store(message.body),
        exact=flow.exact,
    )


def broker_envelope(
    flow: CompiledFlow,
    message: Message,
    *,
    use: str,
    execution_id: str,
    message_id: str | None,
    received_at: datetime,
    accepted_at: datetime,
    dedupe_window: timedelta,
    body_json: bytes | None,
    raw: bytes | None,
) -> Envelope:
    """The envelope of a message that a broker delivered.

    Its dedupe key comes from the flow's `dedupe_key`, or else from the id that the broker's message has. Raises
    SchemaViolation if the flow has a dedupe key and the message gives none.
    """
    arrival = Arrival(use, received_at=received_at, scheme_id=message_id)
    key = None if message_id is None else key_text(message_id)
    if flow.trigger.dedupe_key is not None:
        key = flow.trigger.dedupe_key.text(arrival_scope(message, arrival, flow.vars))
    return Envelope(
        execution_id=execution_id,
        flow_id=flow.id,
        message=message,
        arrival=arrival,
        accepted_at=accepted_at,
        dedupe_key=key,
        dedupe_until=None if key is None else accepted_at + dedupe_window,
        body_json=body_json,
        raw=raw,
        exact=flow.exact,
    )


def child_envelope(
    flow_id: str,
    message: Message,
    *,
    use: str,
    parent: Parent,
    execution_id: str,
    now: datetime,
    exact: bool,
    hidden: tuple[str, ...] = (),
) -> Envelope:
    """The envelope of a message that another execution gives to a flow: by a step that calls it, or by its failure.

    `use` says which of the two. `exact` and `hidden` are the parent's.
    """
    return Envelope(
        execution_id=execution_id,
        flow_id=flow_id,
        message=message,
        arrival=Arrival(use, received_at=now, parent=parent),
        accepted_at=now,
        exact=exact,
        hidden=hidden,
    )


def replay_envelope(original: Envelope, *, execution_id: str, now: datetime) -> Envelope:
    """The envelope of a replay: the original's message and arrival, with an id of its own and without keys."""
    return msgspec.structs.replace(
        original,
        execution_id=execution_id,
        arrival=msgspec.structs.replace(original.arrival, replay_of=original.execution_id, parent=None),
        accepted_at=now,
        dedupe_key=None,
        dedupe_until=None,
        order_key=None,
        order_holds=False,
        tags={},
        data_key=None,
    )


def simulation_envelope(
    flow: CompiledFlow, message: Message, arrival: Arrival, *, execution_id: str, now: datetime
) -> Envelope:
    """The envelope of a message of a case or a recording, with which a flow is simulated."""
    return Envelope(
        execution_id=execution_id,
        flow_id=flow.id,
        message=message,
        arrival=arrival,
        accepted_at=now,
        exact=flow.exact,
    )


def with_keys(flow: CompiledFlow, envelope: Envelope) -> Envelope:
    """Return the envelope with the order key and the tags that its flow gives it, if any.

    Raises SchemaViolation if the flow has an `order_by` and the message gives no value.
    """
    if flow.trigger.one_at_a_time:
        # Executions that an operator starts must not overlap either.
        envelope = msgspec.structs.replace(envelope, order_key=ONE_AT_A_TIME)
    if flow.order_by is None and flow.tags is None:
        return envelope
    scope = arrival_scope(envelope.message, envelope.arrival, flow.vars)
    if flow.order_by is not None:
        holds = flow.settings.order_on_failure == "hold"
        envelope = msgspec.structs.replace(envelope, order_key=flow.order_by.text(scope), order_holds=holds)
    return envelope if flow.tags is None else msgspec.structs.replace(envelope, tags=flow.tags.of(scope))
