"""Converting a broker's message to a message of the flow."""

from base64 import b64encode

from paho.mqtt.client import MQTTMessage

from hookline.api import BrokerMessage, Payload
from hookline_mqtt.connection import Connection


def as_delivery(connection: Connection, message: MQTTMessage, id_property: str) -> BrokerMessage:
    """Return a message with its acknowledgement; one of QoS 0 needs none, because the broker has forgotten it."""
    headers = _headers(message)

    async def accepted() -> None:
        connection.taken(message)

    return BrokerMessage(
        Payload(bytes(message.payload), headers.get("content-type")),
        id=headers.get(id_property) or None,
        headers=headers,
        accepted=accepted if message.qos else None,
    )


def _headers(message: MQTTMessage) -> dict[str, str]:
    properties, made = message.properties, dict[str, str]()
    for name, value in getattr(properties, "UserProperty", ()):
        key = name.lower()
        if not key.startswith("mqtt-"):
            made[key] = f"{made[key]}, {value}" if key in made else value
    for name, header in (("ContentType", "content-type"), ("ResponseTopic", "response-topic")):
        if (given := getattr(properties, name, None)) is not None:
            made[header] = given
    if (data := getattr(properties, "CorrelationData", None)) is not None:
        made["correlation-data"] = _text(data)
    made["mqtt-topic"] = message.topic
    made["mqtt-qos"] = str(message.qos)
    made["mqtt-retain"] = "true" if message.retain else "false"
    return made


def _text(data: bytes) -> str:
    """Return bytes as text if they are text, otherwise in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()
