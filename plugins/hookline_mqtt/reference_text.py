"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Publishes messages to brokers that speak MQTT 5 or 3.1.1, such as Mosquitto, and starts flows with the messages of
topics.

The credential's user needs the permission to publish and to subscribe to the topics of flows.
"""

ERRORS: Final[Mapping[str, str]] = {
    "mqtt.access": "The user may not publish or subscribe to the topic.",
    "mqtt.auth": "The broker doesn't accept the user name and password.",
    "mqtt.body": "Several bodies are given.",
    "mqtt.client_id": "The broker rejects the client id, or another client with the same id has taken over the "
    "session.",
    "mqtt.connection": "No connection could be made, or it was lost. It can be retried.",
    "mqtt.file": "`file` matches no attachment of the message, or several.",
    "mqtt.protocol": "The broker doesn't support the credential's `version`.",
    "mqtt.rejected": "The broker rejects the message. It can be retried if the reason is temporary.",
    "mqtt.timeout": "The broker didn't answer in time. It can be retried.",
    "mqtt.tls": "The broker's certificate isn't trusted, or TLS failed.",
    "mqtt.too_large": "The file is larger than MQTT allows.",
    "mqtt.topic": "It is not a valid topic or topic filter.",
}

EXAMPLE: Final[Mapping[str, Any]] = {
    "id": "cold-rooms",
    "trigger": {
        "use": "mqtt.messages",
        "with": {"topics": ["rooms/+/temperature"], "qos": 1},
        "credential": "mosquitto",
    },
    "steps": [
        {"id": "cold", "use": "filter", "with": {"keep": "{{ body < 15 }}"}},
        {
            "id": "heat",
            "use": "mqtt.publish",
            "with": {
                "topic": "{{ trigger.headers['mqtt-topic'].split('/')[1] }}/heating",
                "json": {"on": True},
                "retain": True,
            },
            "credential": "mosquitto",
            "retry": {"attempts": 5, "wait": "2s"},
        },
    ],
}
