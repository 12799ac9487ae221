"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Publishes messages to brokers that speak AMQP 0-9-1, such as RabbitMQ, and starts flows with the messages in their
queues.

The credential's user needs the permission to write to the exchanges of flows, to read from their queues, and to
configure the queues and exchanges that they declare.
"""

ERRORS: Final[Mapping[str, str]] = {
    "amqp.access": "The user lacks the permission, or the virtual host doesn't exist.",
    "amqp.auth": "The broker doesn't accept the user name and password.",
    "amqp.body": "Several bodies are given.",
    "amqp.connection": "No connection could be made, or it was lost. It can be retried.",
    "amqp.file": "`file` matches no attachment of the message, or several.",
    "amqp.invalid": "A name is longer than 255 bytes, or a property can't be encoded.",
    "amqp.locked": "Another connection has exclusive access to the queue. It can be retried.",
    "amqp.not_found": "The exchange or queue doesn't exist, or was deleted.",
    "amqp.precondition": "The queue or exchange exists with other properties, or the broker doesn't accept the "
    "message.",
    "amqp.rejected": "The broker rejects the message now, for example because a queue is full. It can be retried.",
    "amqp.timeout": "The broker didn't answer in time. It can be retried.",
    "amqp.tls": "The broker's certificate isn't trusted, or TLS failed.",
    "amqp.too_large": "The file has more than 128 MB, which no broker accepts.",
    "amqp.unroutable": "No queue gets the message: bind one, or set `mandatory` to false.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "paid-orders",
    "trigger": {
        "use": "amqp.messages",
        "with": {
            "queue": "paid-orders",
            "declare": {
                "dead_letter_exchange": "rejected",
                "bindings": [{"exchange": "orders", "type": "topic", "routing_key": "order.paid"}],
            },
        },
        "credential": "rabbit",
    },
    "schema": {"type": "object", "required": ["id"]},
    "steps": [
        {"id": "invoice", "use": "map", "with": {"body": {"order": "$.body.id", "due": "$.body.due"}}},
        {
            "id": "publish",
            "use": "amqp.publish",
            "with": {"exchange": "invoices", "routing_key": "invoice.new"},
            "credential": "rabbit",
            "retry": {"attempts": 5, "wait": "2s", "factor": 2},
        },
    ],
}
