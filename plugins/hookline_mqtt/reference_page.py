"""The text of the connector's page in the reference: a description, its errors and an example flow."""

from collections.abc import Mapping
from typing import Any, Final

DESCRIPTION: Final = """
Publishes messages to brokers that speak MQTT 5 or 3.1.1, such as Mosquitto, and starts flows with what comes under
topics.

The user of the credential needs the right to publish and to subscribe to the topics that flows name.
"""

ERRORS: Final[Mapping[str, str]] = {
    "mqtt.access": "The user may not publish or subscribe there.",
    "mqtt.auth": "The broker doesn't take the user name and the password.",
    "mqtt.body": "Several bodies are given.",
    "mqtt.client_id": "The broker doesn't take the client id, or another client has taken the session over with it.",
    "mqtt.connection": "No connection came about, or it broke; it can be tried again.",
    "mqtt.file": "`file` names no attachment of the message, or several.",
    "mqtt.protocol": "The broker doesn't speak the `version` that the credential says.",
    "mqtt.rejected": "The broker rejects the message; where that is for now, it can be tried again.",
    "mqtt.timeout": "The broker didn't answer in time; it can be tried again.",
    "mqtt.tls": "The broker's certificate isn't trusted, or TLS failed.",
    "mqtt.too_large": "The file is larger than any broker takes.",
    "mqtt.topic": "It is no topic, or no topic filter.",
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
