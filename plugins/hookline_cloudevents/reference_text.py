"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Sends events of version 1.0 of the CloudEvents specification over HTTP, in binary or structured mode. Flows receive them
with the trigger `cloudevents`, which also accepts batches.
"""

ERRORS: Final[Mapping[str, str]] = {
    "cloudevents.event": "The settings don't make a valid event; the message lists all problems.",
    "cloudevents.file": "`file` matches no attachment of the message, or several, or one that is too large for "
    "structured mode.",
    "http.credential_host": "The credential may not be sent to this host: see its `hosts`.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-as-events",
    "title": "Send an event for each order",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
    "steps": [
        {
            "id": "told",
            "use": "cloudevents.send",
            "with": {
                "url": "https://events.example.com/",
                "type": "com.example.order.created",
                "source": "/shop",
                "subject": "$.body.number",
                "data": "$.body",
            },
            "credential": "events",
            "retry": {"attempts": 5, "wait": "2s", "factor": 2, "cap": "5m"},
        }
    ],
}
