"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Sends events as version 1.0 of the CloudEvents specification has them, over HTTP, in binary or structured mode. Flows
receive them with the trigger `cloudevents`, which takes batches as well.
"""

ERRORS: Final[Mapping[str, str]] = {
    "cloudevents.event": "What the step says makes no event; the message has everything that is wrong.",
    "cloudevents.file": "`file` names no attachment of the message, or several, or one too large for structured mode.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "orders-as-events",
    "title": "Tell of each order by an event",
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
