"""The names in expressions that come from messages: `body`, `headers`, `attachments` and `trigger`.

`hookline.flows.types.type_scope` declares the same names with their types.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from hookline.kernel.clocks import rfc3339
from hookline.model.message import Arrival, Message


def message_view(message: Message) -> dict[str, Any]:
    """The current message, as expressions see it."""
    return {
        "body": message.body,
        "headers": message.headers,
        "attachments": msgspec.to_builtins(list(message.attachments)) if message.attachments else [],
    }


def trigger_view(message: Message, arrival: Arrival) -> dict[str, Any]:
    """The first message and how it came in: `trigger` in expressions."""
    return {
        **message_view(message),
        "method": arrival.method,
        "path": arrival.path,
        "query": arrival.query,
        "received_at": rfc3339(arrival.received_at) if arrival.received_at else None,
        "verified_by": arrival.verified_by,
        "scheme_id": arrival.scheme_id,
    }


def arrival_scope(message: Message, arrival: Arrival, vars: Mapping[str, Any]) -> dict[str, Any]:
    """The scope of expressions that are evaluated before there is an execution, such as keys."""
    return {**message_view(message), "trigger": trigger_view(message, arrival), "vars": vars}
