"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Publishes messages to brokers that speak AMQP 0-9-1, such as RabbitMQ, and starts flows with what is in their queues.

The user of the credential needs the right to write to the exchanges that flows publish to, to read from the queues that
they listen to, and to configure what they declare.
"""

ERRORS: Final[Mapping[str, str]] = {
    "amqp.access": "The user may not do that there, or there is no such virtual host.",
    "amqp.auth": "The broker doesn't take the user name and the password.",
    "amqp.body": "Several bodies are given.",
    "amqp.connection": "No connection came about, or it broke; it can be tried again.",
    "amqp.file": "`file` names no attachment of the message, or several.",
    "amqp.invalid": "A name is longer than 255 bytes, or a property can't be written.",
    "amqp.locked": "Somebody else has the queue for itself; it can be tried again.",
    "amqp.not_found": "There is no such exchange or queue, or there is none any more.",
    "amqp.precondition": "It is declared otherwise than it is there, or the broker takes no message like this one.",
    "amqp.rejected": "The broker rejects the message now, as where a queue is full; it can be tried again.",
    "amqp.timeout": "The broker didn't answer in time; it can be tried again.",
    "amqp.tls": "The broker's certificate isn't trusted, or TLS failed.",
    "amqp.too_large": "The file has more than 128 MB, which no broker takes.",
    "amqp.unroutable": "No queue gets the message: bind one, or say `mandatory: false`.",
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
