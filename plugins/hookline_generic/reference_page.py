"""The texts of the connectors' pages in the reference: descriptions, errors and example flows."""

from collections.abc import Mapping
from typing import Any, Final

GENERIC: Final = """
Actions that no service owns: they shape the message, direct the flow, or say something about it. They have no prefix.
"""

GENERIC_ERRORS: Final[Mapping[str, str]] = {
    "failed": "What `fail` gives where its `code` says nothing else.",
    "pick.limit": "There are more than 250,000 values to go through.",
    "pick.missing": "A path of `keep` leads nowhere, and `missing` is `fail`.",
    "rename.limit": "There are more than 250,000 values to go through.",
    "rename.missing": "An old path leads nowhere, and `missing` is `fail`.",
    "rename.taken": "A new path is there already, or leads through what is no object.",
    "reply.attachment": "An answer has both a body and an attachment, or one that the message doesn't have.",
    "reply.header": "A header is none that an answer can have.",
    "sleep.settings": "Neither `for` nor `until` is given, or both.",
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
What a flow keeps from one execution to the next: values under keys, and counters.
"""

STATE_ERRORS: Final[Mapping[str, str]] = {
    "state.not_a_number": "`add` is given, and what is kept is no number.",
    "state.settings": "Neither `value` nor `add` is given, or both.",
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
