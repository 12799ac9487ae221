"""AMQP 0-9-1 brokers, such as RabbitMQ: `amqp.publish`, and the trigger `amqp.messages`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_amqp import credential_check, messages_trigger, publish  # noqa: F401 - they add to the connector
from hookline_amqp.connector import amqp


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the AMQP connector."""
    return [amqp]
