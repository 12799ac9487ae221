"""MQTT brokers, such as Mosquitto: `mqtt.publish`, and the trigger `mqtt.messages`."""

from collections.abc import Sequence

from hookline.api import Connector, hookimpl
from hookline_mqtt import credential_check, messages_trigger, publish  # noqa: F401 - they add to the connector
from hookline_mqtt.connector import mqtt


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the MQTT connector."""
    return [mqtt]
