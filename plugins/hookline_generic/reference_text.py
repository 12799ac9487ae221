"""The texts of the connectors' pages in the reference: descriptions, errors and example flows."""

from collections.abc import Mapping
from typing import Any, Final

GENERIC: Final = """
Actions that belong to no service: they change the message, direct the flow, or write about it to the log. They have no
prefix.
"""

GENERIC_ERRORS: Final[Mapping[str, str]] = {
    "failed": "The code of `fail`, unless its `code` gives another one.",
    "pick.limit": "There are more than 250,000 values to visit.",
    "pick.missing": "A path of `keep` doesn't exist, and `missing` is `fail`.",
    "rename.limit": "There are more than 250,000 values to visit.",
    "rename.missing": "An old path doesn't exist, and `missing` is `fail`.",
    "rename.taken": "A new path exists already, or leads through a value that is not an object.",
    "reply.attachment": "Both `body` and `attachment` are given, or the message doesn't have the attachment.",
    "reply.header": "A header is one that a reply can't have.",
    "sleep.settings": "Neither `for` nor `until` is given, or both are.",
}

GENERIC_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "large-orders",
    "trigger": {
        "use": "webhook",
        "with": {"verify": {"scheme": "bearer", "credential": "shop"}, "respond": "reply"},
    },
    "steps": [
        {"id": "answer", "use": "reply", "with": {"status": 202, "body": {"received": "$.body.id"}}},
        {"id": "large", "use": "filter", "with": {"keep": "{{ body.total > 1000 }}"}},
        {"id": "cool_off", "use": "sleep", "with": {"for": "10m"}},
        {"id": "note", "use": "map", "with": {"body": {"text": "Order {{ body.id }} is large: {{ body.total }}"}}},
        {"id": "say", "use": "log", "with": {"message": "$.body.text"}},
    ],
}

STATE: Final = """
Values and counters that a flow keeps from one execution to the next.
"""

STATE_ERRORS: Final[Mapping[str, str]] = {
    "state.not_a_number": "`add` is given, and the stored value is not a number.",
    "state.settings": "Neither `value` nor `add` is given, or both are.",
}

STATE_EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "numbered-invoices",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "steps": [
        {"id": "number", "use": "state.set", "with": {"key": "invoices", "add": 1}},
        {
            "id": "invoice",
            "use": "map",
            "with": {"body": {"number": "INV-{{ steps.number.body }}", "order": "$.trigger.body.id"}},
        },
    ],
}
